"""`stillhouse distill`: one student from its file to its checkpoint, in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from cli.assistants import assistants_tables
from cli.display import make_console, say
from cli.errors import BadInputError, ChildError, ExitCode
from cli.home import open_home
from cli.interrupts import Interrupts
from cli.ranks import rank, run_ranks, world_size
from cli.resuming import DistillOptions
from cli.study_source import placed, read_distillation
from cli.summary import shown_loading
from cli.supervised import when_orphaned
from cli.tables import difference_text, new_table, score_text
from cli.waiting import passive_waiting
from cli.watching import Stop, Watch
from distillation.recipe import FROM_TEACHER, flash_floor, flash_steps
from distillation.values import Fidelity
from encoders.values import Pooling
from protocol.baseline import beyond
from protocol.distillation import DistillationSpec
from protocol.jobs import Prepared, PrepareWork, Score
from protocol.quantity import format_count
from protocol.study import Budget
from search_space import Architecture, InvalidArchitectureError, parameter_count

if TYPE_CHECKING:
    from cli.workbench import Exported, Materials, Order
    from worker.finished import Finished


def distill(options: DistillOptions, interrupts: Interrupts, *, as_json: bool) -> ExitCode:
    """Distil, or go on with it, and print what came out.

    Raises:
        BadInputError: what was asked for cannot be done; the output is as it was.
        CliError: something broke.
        KeyboardInterrupt: stopped at once; what was checkpointed is kept.
    """
    spec = read_distillation(options.file)
    output = options.home / "distilled" / spec.name if options.output is None else options.output
    check_free(output)
    with passive_waiting():
        from cli import workbench
    work = PrepareWork(task=spec.task, teacher=spec.teacher, recipe=spec.distillation, seed=spec.seed)
    console = make_console(stderr=as_json)
    number, stop = rank(), Stop()
    interrupts.stopping(stop.ask)
    if number is not None:
        if world_size() != options.processes:
            raise BadInputError("a launcher has started this command several times; use --processes instead")
        when_orphaned(lambda: os._exit(ExitCode.FAILED))
    with workbench.told(partial(placed, options.file)):
        workbench.set_up(device=options.device, threads=options.threads, processes=options.processes)
        _check_size(spec, workbench.teacher_shape(options.home, work), options.file)
        open_home(options.home)
        with watching(console, stop, spec.task.metric) as watch:
            # With several processes it is prepared before they start.
            materials = workbench.prepared(options.home, work, watch, device=options.device)
            order = _order(spec, materials, options, watch)
        if number:
            workbench.assist(options.home, materials, order)
            return ExitCode.DONE
        if options.processes > 1 and number is None and not workbench.has_ended(options.home, materials, order):
            return _in_processes(options, interrupts, stop, as_json=as_json)
        with watching(console, stop, spec.task.metric) as watch:
            finished = workbench.distilled(options.home, materials, order, watch)
            watch.stage("exporting")
            export = workbench.exported(finished, materials, output)
    if as_json:
        print(json.dumps(_described(finished, materials.outcome, order, export), indent=2))
    else:
        _print_outcome(console, finished, materials.outcome, order, export)
    return ExitCode.DONE


def _in_processes(options: DistillOptions, interrupts: Interrupts, stop: Stop, *, as_json: bool) -> ExitCode:
    """The same command in several processes, of which the first tells what came out."""
    import torch

    if stop():
        raise KeyboardInterrupt
    code = run_ranks(
        options.processes,
        [*options.words, *(["--json"] if as_json else [])],
        threads=torch.get_num_threads(),
        logs=options.home / "logs",
        interrupts=interrupts,
    )
    if code not in list(ExitCode):
        raise ChildError(f"the first process of the distillation ended with code {code}; the same command goes on")
    return ExitCode(code)


@contextmanager
def watching(console: Console, stop: Stop, metric: str) -> Iterator[Watch]:
    """A watch for the block, in which a training stops where it can go on, once that is asked for.

    Raises:
        KeyboardInterrupt: it was stopped.
    """
    from distillation.errors import Interrupted
    from worker.turns import computing_in_turns

    try:
        with computing_in_turns() as turns:

            def should_stop() -> bool:
                turns.offer()
                return stop()

            with Watch(console, should_stop, metric=metric) as watch:
                yield watch
    except Interrupted as error:
        raise KeyboardInterrupt from error


def check_free(output: Path) -> None:
    """Raises: BadInputError: something is there already, or nothing can be."""
    if output.exists() and not output.is_dir():
        raise BadInputError(f"{output} is a file; name a new folder with --output")
    if output.is_dir() and any(output.iterdir()):
        raise BadInputError(f"{output} is not empty; remove it, or name a new folder with --output")
    above = next(place for place in output.parents if place.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise BadInputError(f"{output} cannot be written: {above} is no folder to write in; name another with --output")


def _check_size(spec: DistillationSpec, teacher: Architecture, file: Path) -> None:
    """Before hours are spent on the teacher: whether it can teach this student."""
    if spec.sparsity is not None:
        return  # a part of the teacher
    try:
        student = spec.architecture(teacher, pools_first_token=True)
    except InvalidArchitectureError as error:
        raise BadInputError(placed(file, f"student: {error}")) from error
    recipe = spec.distillation
    if recipe.initialisation in FROM_TEACHER:
        excess = beyond(student, teacher)
        if excess:
            advice = "and it starts as a slice of it; make it smaller, or write `initialisation: random`"
            raise BadInputError(placed(file, f"student: {excess}, {advice}"))
    elif recipe.needs_teachers_depth and student.layers > teacher.layers:
        message = f"student: its {student.layers} layers are more than the teacher's {teacher.layers} that teach them"
        raise BadInputError(placed(file, message))


def _order(spec: DistillationSpec, materials: Materials, options: DistillOptions, watch: Watch) -> Order:
    from cli.workbench import Order, slice_of

    prepared = materials.outcome
    _check_size(spec, prepared.architecture, options.file)
    recipe = spec.distillation
    steps = flash_steps(recipe, Budget().flash, flash_floor(spec.task.kind)) if options.flash else recipe.steps
    pools_first_token = prepared.head.pooling is Pooling.CLS
    if spec.sparsity is None:
        architecture = spec.architecture(prepared.architecture, pools_first_token=pools_first_token)
    else:
        architecture = slice_of(options.home, materials, recipe, spec.sparsity, watch, device=options.device)
    return Order(
        name=spec.name,
        architecture=architecture,
        recipe=recipe,
        previous=spec.previous,
        fidelity=Fidelity.FLASH if options.flash else Fidelity.FULL,
        steps=steps,
        seed=spec.seed,
        device=options.device,
        processes=options.processes,
    )


def _print_outcome(console: Console, finished: Finished, prepared: Prepared, order: Order, export: Exported) -> None:
    training = finished.training
    say(console, f"{order.name}  {order.architecture.label}  {training.steps} steps, {training.seconds:.0f} s")
    console.print(_table(finished, prepared, order, export.metric))
    assistance = None if finished.provenance is None else finished.provenance.assistance
    for table in () if assistance is None else assistants_tables(assistance, export.metric):
        console.print(table)
    for note in prepared.notes:
        say(console, f"note: {note}")
    lines = shown_loading(export.folder, export.kind, trusted=export.needs_remote_code)
    say(console, f"\n{export.folder}\n{lines}")


def _table(finished: Finished, prepared: Prepared, order: Order, metric: str) -> Table:
    table = new_table("", "", "parameters", f"{metric}, selection split", f"{metric}, report split", "report - teacher")

    def row(name: str, shape: Architecture | None, selection: Score | None, report: Score) -> None:
        size = "" if shape is None else format_count(parameter_count(shape))
        difference = difference_text(metric, report.value, prepared.teacher_report.value)
        table.add_row(name, size, score_text(selection), score_text(report), difference)

    row("student", order.architecture, finished.training.selection, finished.training.report)
    row("teacher", prepared.architecture, prepared.teacher_selection, prepared.teacher_report)
    for name, score in prepared.baselines.items():
        row(name, None, None, score)
    return table


def _described(finished: Finished, prepared: Prepared, order: Order, export: Exported) -> dict[str, object]:
    training = finished.training
    assistance = None if finished.provenance is None else finished.provenance.assistance
    return {
        "name": order.name,
        "folder": str(export.folder),
        "architecture": order.architecture.label,
        "parameters": parameter_count(order.architecture),
        "fidelity": order.fidelity,
        "steps": training.steps,
        "seconds": training.seconds,
        "metric": export.metric,
        "selection": training.selection.model_dump(),
        "report": training.report.model_dump(),
        "curve": [point.model_dump() for point in training.curve],
        "teacher": {
            "parameters": parameter_count(prepared.architecture),
            "selection": prepared.teacher_selection.model_dump(),
            "report": prepared.teacher_report.model_dump(),
        },
        "baselines": {name: score.model_dump() for name, score in prepared.baselines.items()},
        "assistance": None if assistance is None else asdict(assistance),
        "notes": list(prepared.notes),
    }
