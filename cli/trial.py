"""`stillhouse trial show`: one trial in full."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from rich.table import Table

from cli.display import make_console, say
from cli.reading import PATIENCE_S
from cli.tables import NONE, latency_text, metric_text, new_table, score_text, speed_up, times_text
from client import Client
from protocol.quantity import format_seconds
from protocol.views import EvaluationView, FinalistView, LatencyView, StudyView, TrialView


def show(url: str, name: str, number: int, *, as_json: bool) -> None:
    with Client(url, patience_s=PATIENCE_S) as client:
        study, trial = client.studies.view(name), client.studies.trial(name, number)
    if as_json:
        print(json.dumps(trial.model_dump(mode="json"), indent=2))
        return
    console = make_console()
    for line in _head(trial):
        say(console, line)
    console.print(_facts("Architecture", {name: str(value) for name, value in trial.architecture.to_dict().items()}))
    if trial.metrics:
        console.print(_facts("Metrics", {name: metric_text(name, value) for name, value in trial.metrics.items()}))
    if trial.latency is not None:
        console.print(_facts("Latency", _latency(study, trial.latency)))
    if trial.evaluation is not None:
        console.print(_facts("Flash distillation", _evaluation(study, trial.evaluation)))
    if trial.finalist is not None:
        console.print(_facts("Finalist", _finalist(study, trial.finalist)))


def _head(trial: TrialView) -> Iterator[str]:
    on_front = "  on the front" if trial.on_front else ""
    yield f"trial {trial.number} of study {trial.study}  {trial.label}  {trial.state}{on_front}"
    yield f"suggested by {trial.origin}"
    if trial.reason:
        yield f"reason: {trial.reason}"
    if trial.progress is not None:
        total = f" {trial.progress.done}/{trial.progress.total}" if trial.progress.total else ""
        yield f"now: {trial.progress.stage}{total}"
    if trial.predicted is not None:
        yield f"latency {trial.predicted.quantile} {format_seconds(trial.predicted.latency_s)} predicted"


def _latency(study: StudyView, latency: LatencyView) -> dict[str, str]:
    low, high = latency.low_s, latency.high_s
    interval = f" [{format_seconds(low)}, {format_seconds(high)}]" if low is not None and high is not None else ""
    return {
        "p50": f"{format_seconds(latency.p50_s)}{interval}",
        "p90": format_seconds(latency.p90_s),
        "p99": format_seconds(latency.p99_s),
        "source": latency.source,
        "verdict": "; ".join([latency.verdict, *latency.notes]),
        "effort": f"{latency.effort}, {latency.samples} samples",
        "speed-up": times_text(speed_up(study, latency)),
        "hardware": "  ".join([latency.hardware_key, latency.environment.get("cpu", "")]).strip(),
        "measured": f"{datetime.fromisoformat(latency.measured_at):%Y-%m-%d %H:%M UTC}",
    }


def _evaluation(study: StudyView, evaluation: EvaluationView) -> dict[str, str]:
    metric = study.spec.task.metric
    curve = "  ".join(f"{point.step}: {point.value:.3f}" for point in evaluation.curve)
    found = {f"{metric}, selection split": score_text(evaluation.selection)}
    if evaluation.report is not None:
        found[f"{metric}, report split"] = score_text(evaluation.report)
    return {**found, "curve": curve or NONE, "training": f"{evaluation.steps} steps, {evaluation.seconds:.0f} s"}


def _finalist(study: StudyView, finalist: FinalistView) -> dict[str, str]:
    found = {"state": f"{finalist.state}{f': {finalist.error}' if finalist.error else ''}"}
    if finalist.evaluation is not None:
        found |= _evaluation(study, finalist.evaluation)
    return {**found, "latency": latency_text(finalist.latency), "export": finalist.export or NONE}


def _facts(title: str, facts: dict[str, str]) -> Table:
    table = new_table(title, "", "")
    table.show_header = False
    for name, value in facts.items():
        table.add_row(name, value)
    return table
