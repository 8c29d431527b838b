"""`stillhouse reproduce`: a checkpoint distilled again from its provenance, and compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from cli.display import make_console, say
from cli.distilling import watching
from cli.errors import BadInputError, ExitCode
from cli.home import open_home
from cli.interrupts import Interrupts
from cli.tables import new_table
from cli.waiting import passive_waiting
from cli.watching import Stop
from distillation.values import Estimate
from protocol.jobs import PrepareWork
from protocol.study import Strict

if TYPE_CHECKING:
    from cli.workbench import Materials, Order
    from distillation.provenance import Provenance, Surroundings
    from worker.finished import Finished


class Verdict(Strict):
    """What came out, and what was different from the first time."""

    reproduced: bool
    weights_equal: bool
    metrics_equal: bool
    within_interval: bool
    differences: tuple[str, ...]

    @property
    def words(self) -> str:
        if self.weights_equal and self.metrics_equal:
            return "reproduced: the weights are equal bit for bit, and so are the metrics"
        if self.metrics_equal:
            return "reproduced: the metrics are equal, the weights are not"
        if self.within_interval:
            return "reproduced: the metrics lie within the 95 % intervals; the weights differ"
        return "not reproduced: a metric lies outside of its 95 % interval"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    split: str
    then: Estimate
    now: Estimate

    @property
    def within(self) -> bool:
        return self.then.low <= self.now.value <= self.then.high


def reproduce(checkpoint: Path, home: Path, interrupts: Interrupts, *, as_json: bool) -> ExitCode:
    """Distil the checkpoint again and compare.

    Raises:
        BadInputError: no provenance, or data or teacher are not those of then.
        CliError: something broke. KeyboardInterrupt: stopped; the same command goes on.
    """
    if not checkpoint.is_dir():
        raise BadInputError(f"no checkpoint at {checkpoint}: there is no such folder")
    with passive_waiting():
        from cli import workbench
    from distillation.provenance import ProvenanceError, read_provenance

    try:
        provenance = read_provenance(checkpoint)
    except ProvenanceError as error:
        raise BadInputError(str(error)) from error
    console = make_console(stderr=as_json)
    with workbench.told():
        _check_export(provenance, checkpoint)
        then, made = provenance.surroundings, provenance.preparation
        device = then.device if workbench.has(then.device) else "cpu"
        teachers = made.device if workbench.has(made.device) else "cpu"
        differences = tuple(_differences(then, workbench.here(device)))
        _tell_differences(console, differences)
        open_home(home)
        stop = Stop()
        interrupts.stopping(stop.ask)
        with watching(console, stop, provenance.task.metric) as watch:
            workbench.set_up(device=teachers, threads=made.threads)
            materials = workbench.prepared(home, _preparation(provenance), watch, device=teachers)
            workbench.set_up(device=device, threads=then.threads)
            order = _order(provenance, device)
            _check_materials(provenance, materials)
            again = workbench.distilled(home, materials, order, watch)
    verdict, pairs = _compared(provenance, again, differences)
    workbench.forget(home, materials, order)
    if as_json:
        print(json.dumps(_described(verdict, pairs), indent=2))
    else:
        _print_verdict(console, provenance, verdict, pairs)
    return ExitCode.DONE if verdict.reproduced else ExitCode.FAILED


def _check_export(provenance: Provenance, checkpoint: Path) -> None:
    from distillation.provenance import WEIGHTS, file_hash

    path, expected = checkpoint / WEIGHTS, provenance.hashes.export
    if not path.is_file():
        raise BadInputError(f"no checkpoint at {checkpoint}: there is no {WEIGHTS}")
    found = file_hash(path)
    if expected != found:
        raise BadInputError(f"{path} was changed: its hash is {found}, hashes.export of its provenance {expected}")


def _preparation(provenance: Provenance) -> PrepareWork:
    made = provenance.preparation
    return PrepareWork(task=provenance.task, teacher=made.teacher, recipe=provenance.recipe, seed=made.seed)


def _order(provenance: Provenance, device: str) -> Order:
    from cli.workbench import Order
    from distillation.schedule import DIRECT

    # A finalist nearly as large as the teacher had no assistant, whatever its study's schedule.
    recipe = provenance.recipe if provenance.assistance is not None else replace(provenance.recipe, schedule=DIRECT)
    return Order(
        name=f"{provenance.name}, again",
        architecture=provenance.architecture,
        recipe=recipe,
        previous=provenance.previous,
        fidelity=provenance.fidelity,
        steps=provenance.steps,
        seed=provenance.seed,
        device=device,
        is_cached=provenance.is_cached,
    )


def _check_materials(provenance: Provenance, materials: Materials) -> None:
    """That the inputs are those of then: with others nothing is reproduced."""
    from cli.workbench import hashes_of

    then = provenance.hashes
    now = hashes_of(materials, provenance.previous)
    task, teacher = provenance.task, provenance.preparation.teacher
    sources = {
        "tokenizer": f"the tokenizer of {teacher.model}",
        "data": f"the data of {task.dataset.source}",
        "teacher": f"the teacher {teacher.model}",
        "previous": f"the student in {provenance.previous}",
    }
    for name, source in sources.items():
        before, after = getattr(then, name), now[name]
        if before != after:
            raise BadInputError(f"{source} is not what it was: hashes.{name} is {before}, and now {after}")


def _differences(then: Surroundings, now: Surroundings) -> Iterator[str]:
    """One line for each, but for the threads, that are what they were."""
    for name in sorted({*then.versions, *now.versions}):
        before, after = then.versions.get(name, "absent"), now.versions.get(name, "absent")
        if before != after:
            yield f"{name}: {before} then, {after} now"
    for name in sorted({*then.machine, *now.machine}):
        before, after = then.machine.get(name, "none"), now.machine.get(name, "none")
        if before != after:
            yield f"{name.replace('_', ' ')}: {before} then, {after} now"
    for name in ("device", "processes"):
        before, after = getattr(then, name), getattr(now, name)
        if before != after:
            yield f"{name}: {before} then, {after} now"


def _tell_differences(console: Console, differences: tuple[str, ...]) -> None:
    if not differences:
        say(console, "versions and hardware are those of then")
    for line in differences:
        say(console, f"different  {line}")


def _compared(provenance: Provenance, again: Finished, differences: tuple[str, ...]) -> tuple[Verdict, list[_Pair]]:
    now = again.provenance
    if now is None:
        raise AssertionError("what is distilled here says where it comes from")
    pairs = [
        _Pair(split="selection", then=provenance.selection, now=now.selection),
        _Pair(split="report", then=provenance.report, now=now.report),
    ]
    within = all(pair.within for pair in pairs)
    verdict = Verdict(
        reproduced=within,
        weights_equal=now.hashes.final == provenance.hashes.final,
        metrics_equal=all(pair.then == pair.now for pair in pairs),
        within_interval=within,
        differences=differences,
    )
    return verdict, pairs


def _print_verdict(console: Console, provenance: Provenance, verdict: Verdict, pairs: list[_Pair]) -> None:
    metric = provenance.task.metric
    table = new_table("", f"{metric}", "then [95 % interval]", "now")
    for pair in pairs:
        then = f"{pair.then.value:.4f} [{pair.then.low:.4f}, {pair.then.high:.4f}]"
        table.add_row(f"{pair.split} split", then, f"{pair.now.value:.4f}")
    console.print(table)
    say(console, verdict.words)


def _described(verdict: Verdict, pairs: list[_Pair]) -> dict[str, object]:
    metrics = {
        pair.split: {"then": pair.then.value, "low": pair.then.low, "high": pair.then.high, "now": pair.now.value}
        for pair in pairs
    }
    return {**verdict.model_dump(), "metrics": metrics}
