"""What a finished study says at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cli.display import say
from cli.tables import (
    baselines_table,
    counted,
    finalists,
    finalists_table,
    front_table,
    latency_text,
    speed_up,
    times_text,
)
from encoders.loading import loading_lines
from encoders.values import HeadKind
from protocol.metrics import metric_info, shortfall
from protocol.quantity import format_count
from protocol.views import StudyView, TrialState, TrialView

POINTS = (3, 8)
"""How many points below the teacher the two closing lines allow; per cent where the metric is no share."""

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """A finalist within some points of the teacher on the selection split, and its score on the report split."""

    trial: TrialView
    report: float
    speed_up: float


def best_within(points: float, study: StudyView, trials: Sequence[TrialView]) -> Best | None:
    """The fastest finalist that is at most `points` worse than the teacher, both on the selection split."""
    if study.prepared is None:
        return None
    metric, teacher = study.spec.task.metric, study.prepared.teacher_selection.value
    candidates = [
        Best(trial=trial, report=finalist.evaluation.report.value, speed_up=factor)
        for trial, finalist in finalists(trials)
        if finalist.evaluation is not None
        and finalist.evaluation.report is not None
        and (factor := speed_up(study, finalist.latency)) is not None
        and shortfall(metric, finalist.evaluation.selection.value, teacher) <= points / 100 + _ROUNDING
    ]
    return max(candidates, key=lambda best: best.speed_up, default=None)


def print_summary(
    console: Console, study: StudyView, trials: Sequence[TrialView], folders: dict[int, Path], address: str
) -> None:
    """Front, finalists, baselines, the best within reach of the teacher, and how to go on."""
    shown = {number: _short(folder) for number, folder in folders.items()}
    for table in (front_table(study, trials), finalists_table(study, trials, shown), baselines_table(study, trials)):
        console.print(table)
        console.print()
    for line in (*(f"note: {note}" for note in study.notes), *_stopped_lines(study), *closing_lines(study, trials)):
        say(console, line)
    say(console, f"\ndashboard: {address}/studies/{study.name}")
    if folders:
        say(console, "\nload a finalist:\n" + shown_loading(_showpiece(study, trials, folders), study.spec.task.kind))


def closing_lines(study: StudyView, trials: Sequence[TrialView]) -> Iterator[str]:
    metric = study.spec.task.metric
    unit = "points" if metric_info(metric).unit == "share" else "%"
    for points in POINTS:
        within = f"best within {points} {unit} of the teacher on the selection split"
        best = best_within(points, study, trials)
        if best is None or study.prepared is None:
            yield f"{within}: none"
            continue
        finalist = best.trial.finalist
        yield (
            f"{within}: {times_text(best.speed_up)} its speed"
            f" (trial {best.trial.number},"
            f" {metric} {best.report:.3f} against {study.prepared.teacher_report.value:.3f} on the report split,"
            f" {latency_text(finalist.latency if finalist else None)})"
        )


def _stopped_lines(study: StudyView) -> Iterator[str]:
    if study.saved_steps:
        trials = counted(study.trials.get(TrialState.STOPPED, 0), "trial")
        yield f"stopped early: {trials}, which saved {format_count(study.saved_steps)} steps of flash distillation"


def shown_loading(folder: Path, kind: HeadKind, *, trusted: bool = True) -> str:
    """Three lines that load an export; `trusted` where code lies beside the weights."""
    return "\n".join(f"    {line}" for line in loading_lines(folder, kind, trusted=trusted))


def _showpiece(study: StudyView, trials: Sequence[TrialView], folders: dict[int, Path]) -> Path:
    for points in POINTS:
        best = best_within(points, study, trials)
        if best is not None and best.trial.number in folders:
            return folders[best.trial.number]
    return next(iter(folders.values()))


def _short(folder: Path) -> str:
    """Relative to the working directory where it lies below it."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)
