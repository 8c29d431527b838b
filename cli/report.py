"""`stillhouse study report`: a study as one HTML file, for people without the service.

It is built as a tree: whatever a name holds, it is text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import yaml
from rich.table import Table

from cli.plots import Axis, Line, Mark, plot
from cli.report_style import STYLE
from cli.summary import closing_lines
from cli.tables import (
    TEACHER,
    baselines_table,
    counted,
    finalists,
    finalists_table,
    front_table,
    hypervolume_text,
    latency_name,
    latency_s,
    latency_text,
    metric_text,
    quality_name,
    trials_table,
)
from protocol.study import StudySpec
from protocol.views import FrontView, LatencyView, StudyState, StudyView, TrialState, TrialView

LATENCY = "latency_"
"""How the names of latencies begin."""

HOW_TO_READ = (
    "Trials are compared at flash fidelity, a short distillation, on the selection split. Finalists were distilled in"
    " full and evaluated once on the report split, which nothing was chosen by. Intervals cover 95 %. A latency says"
    " where it comes from: measured on the device, by the compiler of a chip that was not there, or predicted from a"
    " calibration; and whether it was steady."
)


def report_html(study: StudyView, trials: Sequence[TrialView], front: FrontView, written_at: datetime) -> str:
    """The whole file. It loads nothing from anywhere and runs nothing."""
    page = Element("html", {"lang": "en"})
    head = SubElement(page, "head")
    SubElement(head, "meta", {"charset": "utf-8"})
    SubElement(head, "meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"})
    SubElement(head, "title").text = f"{study.name} – Stillhouse"
    SubElement(head, "style").text = STYLE
    body = SubElement(SubElement(page, "body"), "main")
    _opening(body, study, written_at)
    _results(body, study, trials)
    _plots(body, study, trials, front)
    _tables(body, study, trials)
    _recipe(body, study)
    _environment(body, study, trials)
    return "<!doctype html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def _opening(body: Element, study: StudyView, written_at: datetime) -> None:
    spec = study.spec
    SubElement(body, "h1").text = study.name
    facts = {
        "state": f"{study.state}{f': {study.error}' if study.error else ''}",
        **_subject(spec),
        "objectives": ", ".join(f"{one.metric}: {one.direction}" for one in spec.objectives),
        "constraints": ", ".join(
            f"{one.metric} {'>=' if one.at_least else '<='} {metric_text(one.metric, one.bound)}"
            for one in spec.constraints
        ),
        "trials": f"{study.spent_trials} of {spec.budget.trials}",
        "front": f"{counted(study.front_size, 'trial')}, hypervolume {hypervolume_text(study.hypervolume)}",
        "started": _time(study.created_at),
        "ended": "" if study.ended_at is None else _time(study.ended_at),
        "written": _time(written_at),
    }
    _facts(body, facts)
    for note in (*study.notes, *study.machines):
        SubElement(body, "p", {"class": "note"}).text = f"note: {note}"


def _subject(spec: StudySpec) -> dict[str, str]:
    if spec.external is not None:
        return {"evaluated": "elsewhere, and told to the service"}
    return {
        "task": f"{spec.task.kind} by {spec.task.metric}, {spec.task.dataset.source}",
        "teacher": spec.teacher.model,
        "target": spec.target.label,
    }


def _results(body: Element, study: StudyView, trials: Sequence[TrialView]) -> None:
    SubElement(body, "h2").text = "What came out"
    if study.spec.external is not None:
        _told(body, study)
        return
    if study.state is StudyState.COMPLETED and finalists(trials):
        for line in closing_lines(study, trials):
            SubElement(body, "p").text = line
    else:
        SubElement(body, "p").text = "There is no finalist yet." if trials else "There is no trial yet."
    if finalists(trials):
        _table(body, finalists_table(study, trials, {}), hidden=("export",))
    _table(body, baselines_table(study, trials))
    SubElement(body, "p", {"class": "fine"}).text = HOW_TO_READ


def _told(body: Element, study: StudyView) -> None:
    """Of an external study the front is what remains."""
    many = f"{counted(study.front_size, 'trial')} {'is' if study.front_size == 1 else 'are'}"
    SubElement(body, "p").text = f"{many} on the front." if study.front_size else "There is no completed trial yet."
    SubElement(body, "p", {"class": "fine"}).text = "Metrics are as they were told by whoever evaluated the trials."


def _plots(body: Element, study: StudyView, trials: Sequence[TrialView], front: FrontView) -> None:
    metric, other = _axes(study)
    is_latency = other.startswith(LATENCY)
    drawn = {
        f"{metric} over {other}, as the trials were compared. {_legend(study)}": plot(
            "the front",
            Axis(
                title=other,
                words=partial(metric_text, other),
                is_log=is_latency,
            ),
            Axis(title=metric, words=lambda value: f"{value:.3g}"),
            list(_marks(study, trials)),
            [Line(points=_staircase(study, trials), steps=True)],
        ),
        "Hypervolume of the front over the trials": plot(
            "the hypervolume",
            Axis(title="trials", words=lambda value: f"{value:g}"),
            Axis(title="hypervolume", words=lambda value: f"{value:.3g}"),
            [],
            [Line(points=[(point.trials, point.hypervolume) for point in front.history], steps=True)],
        ),
        "Learning curves of the finalists, selection split": _curves(study, trials),
    }
    for title, figure in drawn.items():
        if figure is not None:
            place = SubElement(body, "figure")
            place.append(figure)
            SubElement(place, "figcaption").text = title
    outside = [trial for trial in trials if trial.state is TrialState.INFEASIBLE]
    if outside:
        was, has = ("was", "has") if len(outside) == 1 else ("were", "have")
        when = "" if study.spec.external else " before any training"
        text = f"{counted(len(outside), 'trial')} {was} out of bounds{when}, and {has} no point here."
        SubElement(body, "p", {"class": "fine"}).text = text


def _legend(study: StudyView) -> str:
    """What the marks of the front's plot are; by size and shape, for colours are lost on paper."""
    triangles = "named baselines" if study.spec.external else "the teacher and named baselines"
    return (
        "Large dots are the front, with 95 % intervals where they are known, small ones other completed trials,"
        f" triangles {triangles}."
    )


def _axes(study: StudyView) -> tuple[str, str]:
    """The metrics of the plot: quality upwards, latency across, or the first other objective where there is none."""
    quality = quality_name(study)
    others = [objective.metric for objective in study.spec.objectives if objective.metric != quality]
    return quality, next((name for name in others if name.startswith(LATENCY)), others[0])


def _marks(study: StudyView, trials: Sequence[TrialView]) -> Iterator[Mark]:
    metric, other = _axes(study)
    for trial in trials:
        if trial.state is not TrialState.COMPLETED or not {metric, other} <= trial.metrics.keys():
            continue
        is_baseline = trial.origin.startswith("baseline")
        value = trial.metrics[metric]
        latency = "" if trial.latency is None else f"  {latency_text(trial.latency, latency_name(study))}"
        score = trial.evaluation.selection if trial.evaluation and trial.on_front else None
        yield Mark(
            x=trial.metrics[other],
            y=value,
            text=f"trial {trial.number}  {trial.label}  {metric} {metric_text(metric, value)}{latency}",
            shape="baseline" if is_baseline else "best" if trial.on_front else "trial",
            low=None if score is None else score.low,
            high=None if score is None else score.high,
            label=trial.origin.partition(":")[2].strip() if is_baseline else "",
        )
    teacher = study.references.get(TEACHER)
    if teacher is not None and study.prepared is not None and other.startswith(LATENCY):
        selection, quantile = study.prepared.teacher_selection, latency_name(study)
        yield Mark(
            x=latency_s(teacher, quantile),
            y=selection.value,
            text=f"the teacher  {metric} {selection.value:.3f}  {latency_text(teacher, quantile)}",
            shape="teacher",
            label=TEACHER,
        )


def _staircase(study: StudyView, trials: Sequence[TrialView]) -> list[tuple[float, float]]:
    metric, other = _axes(study)
    if len(study.spec.objectives) > 2:
        return []  # of more objectives the front is no line
    metrics = [trial.metrics for trial in trials if trial.on_front]
    return sorted((known[other], known[metric]) for known in metrics if {metric, other} <= known.keys())


def _curves(study: StudyView, trials: Sequence[TrialView]) -> Element | None:
    lines = [
        Line(
            points=[(point.step, point.value) for point in finalist.evaluation.curve],
            shape="curve",
            label=f"trial {trial.number}",
        )
        for trial, finalist in finalists(trials)
        if finalist.evaluation is not None and finalist.evaluation.curve
    ]
    if not lines:
        return None
    if study.prepared is not None:
        steps = [step for line in lines for step, _ in line.points]
        level = study.prepared.teacher_selection.value
        lines.append(Line(points=[(min(steps), level), (max(steps), level)], shape="teacher", label=TEACHER))
    return plot(
        "the learning curves",
        Axis(title="steps", words=lambda value: f"{value:g}"),
        Axis(title=str(study.spec.task.metric), words=lambda value: f"{value:.3g}"),
        [],
        lines,
    )


def _tables(body: Element, study: StudyView, trials: Sequence[TrialView]) -> None:
    SubElement(body, "h2").text = "Front and trials"
    if any(trial.on_front for trial in trials):
        _table(body, front_table(study, trials))
    place = SubElement(body, "details")
    SubElement(place, "summary").text = f"Every trial ({len(trials)})"
    _table(place, trials_table(study, trials))


def _recipe(body: Element, study: StudyView) -> None:
    SubElement(body, "h2").text = "Study" if study.spec.external else "Recipe and study"
    spec = study.spec
    if spec.external is not None:
        _details(body, {"The whole study": spec.canonical()})
        return
    fidelity = f"flash fidelity {spec.flash_steps} steps, full {spec.distillation.steps} steps"
    SubElement(body, "p").text = f"Students were distilled by the recipe below: {fidelity}."
    told = spec.canonical()
    _details(body, {"Recipe": told["distillation"], "The whole study": told})


def _details(body: Element, parts: dict[str, Any]) -> None:
    for title, values in parts.items():
        place = SubElement(body, "details")
        SubElement(place, "summary").text = title
        SubElement(place, "pre").text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _environment(body: Element, study: StudyView, trials: Sequence[TrialView]) -> None:
    found = {latency.hardware_key: latency for latency in _latencies(study, trials)}
    if not found:
        return
    SubElement(body, "h2").text = "Environment of the latencies"
    for key, latency in found.items():
        SubElement(body, "h3").text = f"hardware {key}"
        _facts(body, {**latency.environment, "last measured": _time(datetime.fromisoformat(latency.measured_at))})


def _latencies(study: StudyView, trials: Sequence[TrialView]) -> Iterator[LatencyView]:
    yield from study.references.values()
    for trial in trials:
        if trial.latency is not None:
            yield trial.latency
        if trial.finalist is not None and trial.finalist.latency is not None:
            yield trial.finalist.latency


def _facts(body: Element, facts: dict[str, str]) -> None:
    made = SubElement(body, "dl")
    for name, value in facts.items():
        if value:
            SubElement(made, "dt").text = name
            SubElement(made, "dd").text = value


def _table(body: Element, table: Table, hidden: Sequence[str] = ()) -> None:
    """A terminal's table as one of the page, so that both say the same."""
    if not table.row_count:
        return
    columns = [(str(column.header), list(map(str, column.cells))) for column in table.columns]
    shown = [(header, cells) for header, cells in columns if header not in hidden]
    made = SubElement(SubElement(body, "div", {"class": "wide"}), "table")
    if table.title:
        SubElement(made, "caption").text = str(table.title)
    row = SubElement(SubElement(made, "thead"), "tr")
    for header, _ in shown:
        SubElement(row, "th", {"scope": "col"}).text = header
    rows = SubElement(made, "tbody")
    for number in range(table.row_count):
        row = SubElement(rows, "tr")
        for _, cells in shown:
            SubElement(row, "td").text = cells[number]


def _time(value: datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M UTC")
