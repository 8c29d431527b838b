"""Commands that ask a running service, and those that only read a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console

from cli.calibrations import kept
from cli.checkpoint_export import ExportOptions, Format, export_checkpoint
from cli.display import make_console, say
from cli.errors import BadInputError
from cli.exports import Owner, download_exports
from cli.paths import expanded
from cli.previewing import constraints_table, costs_table, latencies_table
from cli.study_source import read_study, refused
from cli.summary import closing_lines, shown_loading
from cli.tables import (
    baselines_table,
    counted,
    finalists,
    finalists_table,
    front_table,
    hypervolume_text,
    remaining_text,
    studies_table,
    trials_table,
)
from client import Client, ProblemError
from protocol.problem import INVALID
from protocol.views import FrontView, StudyView, TrialView
from search_space.errors import unknown

PATIENCE_S = 1.0
"""Somebody waits in front of the screen."""


def create(url: str, study_file: Path, *, as_json: bool) -> None:
    spec = read_study(study_file)
    with Client(url, patience_s=PATIENCE_S) as client:
        try:
            study = client.studies.create(spec).view
        except ProblemError as error:
            if error.code != INVALID:
                raise
            raise refused(study_file, error) from error
    if as_json:
        _print_json(study)
    else:
        say(make_console(), f"study {study.name}  {study.state}\n{url}/studies/{study.name}")


def list_studies(url: str, *, as_json: bool) -> None:
    with Client(url, patience_s=PATIENCE_S) as client:
        studies = [study.view for study in client.studies.list()]
    if as_json:
        _print_json(studies)
    else:
        make_console().print(studies_table(studies))


def show(url: str, name: str, *, as_json: bool) -> None:
    study, trials = _study(url, name)
    if as_json:
        print(json.dumps({"study": _plain(study), "trials": _plain(trials)}, indent=2))
        return
    console = make_console()
    _head(console, study)
    console.print(trials_table(study, trials))
    if (others := baselines_table(study, trials)).row_count:
        console.print(others)


def front(url: str, name: str, metrics: Sequence[str], constraints: Sequence[str], *, as_json: bool) -> None:
    """The front in the study's objectives, or in these metrics and within these constraints."""
    with Client(url, patience_s=PATIENCE_S) as client:
        view = client.studies.front(name, metrics=metrics, constraints=constraints)
        study, trials = client.studies.view(name), client.studies.trials(name)
    on_front = [trial.model_copy(update={"on_front": True}) for trial in trials if trial.number in set(view.numbers)]
    if as_json:
        print(json.dumps({"front": _plain(view), "trials": _plain(on_front)}, indent=2))
        return
    console = make_console()
    if not (metrics or constraints):
        _head(console, study)
    else:
        say(console, _asked(study, view, metrics, constraints))
    if not on_front:
        say(console, f"no completed trial is {'within that' if constraints else 'there yet'}")
        return
    console.print(front_table(study, on_front, metrics))
    if finalists(trials) and not (metrics or constraints):
        console.print(finalists_table(study, trials, {}))
        for line in closing_lines(study, trials):
            say(console, line)


def preview(study_file: Path, home: Path, *, as_json: bool) -> None:
    spec = read_study(study_file)
    from service.operations.preview import latency_previews
    from service.operations.preview import preview as preview_of

    records = [(record.id, record) for record in kept(home, spec.target.key)]
    view = preview_of(spec, lambda space: latency_previews(records, spec, space))
    if as_json:
        print(json.dumps({"study": _plain(spec), "preview": _plain(view)}, indent=2))
        return
    console = make_console()
    say(
        console,
        f"study {spec.name} is in order\n"
        f"search space: {view.size:,} architectures of {view.grid_points:,} combinations, before the teacher's own"
        " limits",
    )
    console.print(costs_table(view, spec.target))
    if view.constraints:
        console.print(constraints_table(view, of_teacher=spec.external is None))
    if view.latencies:
        console.print(latencies_table(view))
    say(
        console,
        f"budget: {counted(spec.budget.trials, 'trial')}, {counted(spec.budget.finalists, 'finalist')}\n"
        f"target: {spec.target.label}",
    )


def export(url: str, name: str, folder: Path, owner: Owner, *, as_json: bool) -> None:
    with Client(url, patience_s=PATIENCE_S) as client:
        study, trials = client.studies.view(name), client.studies.trials(name)
        folders = download_exports(client, study, trials, folder, owner)
    if not folders:
        raise BadInputError(f"study {name} has no exported finalist yet")
    if as_json:
        print(json.dumps({"folders": {number: str(target) for number, target in folders.items()}}, indent=2))
        return
    console = make_console()
    for number, target in folders.items():
        say(console, f"trial {number}  {target}")
    say(console, shown_loading(next(iter(folders.values())), study.spec.task.kind))


def convert(checkpoint: Path, form: str, target: Path | None, options: ExportOptions, *, as_json: bool) -> None:
    if form not in tuple(Format):
        raise BadInputError(unknown("format", form, map(str, Format)))
    if target is None:
        raise BadInputError("name the folder to write to with --to")
    checkpoint, target = expanded(checkpoint), target.absolute()
    lines = export_checkpoint(checkpoint, Format(form), target, options)
    if as_json:
        print(json.dumps({"folder": str(target), "notes": lines}, indent=2))
        return
    console = make_console()
    for line in lines:
        say(console, line)


def _study(url: str, name: str) -> tuple[StudyView, tuple[TrialView, ...]]:
    with Client(url, patience_s=PATIENCE_S) as client:
        return client.studies.view(name), client.studies.trials(name)


def _asked(study: StudyView, view: FrontView, metrics: Sequence[str], constraints: Sequence[str]) -> str:
    """What leads a front that is not the study's own: of what it is."""
    judged = ", ".join(metrics or [objective.metric for objective in study.spec.objectives])
    bounds = f" within {', '.join(constraints)}" if constraints else ""
    volume = hypervolume_text(view.hypervolume)
    return f"study {study.name}  {study.state}  front of {judged}{bounds}  hypervolume {volume}"


def _head(console: Console, study: StudyView) -> None:
    say(
        console,
        f"study {study.name}  {study.state}  front {study.front_size}"
        f"  hypervolume {hypervolume_text(study.hypervolume)}  remaining {remaining_text(study)}",
    )
    if study.error:
        say(console, f"error: {study.error}")
    for line in study.machines:
        say(console, f"note: {line}")


def _print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    print(json.dumps(_plain(value), indent=2))


def _plain(value: BaseModel | Sequence[BaseModel]) -> object:
    return (
        value.model_dump(mode="json")
        if isinstance(value, BaseModel)
        else [item.model_dump(mode="json") for item in value]
    )
