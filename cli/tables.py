"""Studies, fronts and finalists as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from cli.fitting import FittingTable
from optimization.values import Direction
from protocol.jobs import Score
from protocol.metrics import METRICS, metric_info
from protocol.quantity import format_count, format_duration, format_seconds
from protocol.views import FinalistView, LatencyView, StudyView, TrialView
from search_space import parameter_count

NONE = "–"
TEACHER = "teacher"
"""Name of the teacher's latency among a study's references."""

_QUANTILES = {"latency_p50": "p50", "latency_p90": "p90", "latency_p99": "p99"}


def studies_table(studies: Iterable[StudyView]) -> Table:
    table = new_table("", "study", "state", "trials", "front", "hypervolume", "remaining")
    for study in studies:
        table.add_row(
            study.name,
            str(study.state),
            f"{study.spent_trials}/{study.spec.budget.trials}",
            str(study.front_size),
            hypervolume_text(study.hypervolume),
            remaining_text(study),
        )
    return table


def front_table(study: StudyView, trials: Sequence[TrialView], asked: Sequence[str] = ()) -> Table:
    """The front by latency, best quality last: what was seen on the selection split at flash fidelity.

    Of an external study by what it judges, as it was told. `asked` are the metrics of a front that is not the study's
    own; those that have no column get one.
    """
    if study.spec.external is not None:
        return _told_table(study, [trial for trial in trials if trial.on_front], title="Front")
    metric, quantile = quality_name(study), latency_name(study)
    others = other_names(study)
    shown = (metric, f"latency_{quantile}", "parameters", *others)
    others += [name for name in asked if name not in shown]
    table = new_table(
        "Front (flash fidelity, selection split)",
        "trial",
        "architecture",
        str(metric),
        f"latency {quantile}",
        "parameters",
        "speed-up",
        f"{metric} - teacher",
        *others,
    )
    selection = study.prepared.teacher_selection if study.prepared else None
    for trial in by_latency(trial for trial in trials if trial.on_front):
        value = trial.metrics.get(metric)
        table.add_row(
            str(trial.number),
            trial.label,
            NONE if value is None else f"{value:.3f}",
            latency_text(trial.latency, quantile),
            parameters_text(trial),
            times_text(speed_up(study, trial.latency)),
            NONE if value is None or selection is None else difference_text(metric, value, selection.value),
            *_values(trial, others),
        )
    return table


def finalists_table(study: StudyView, trials: Sequence[TrialView], folders: dict[int, str]) -> Table:
    """The finalists at full fidelity; `folders` says where each trial's export lies."""
    metric, quantile = study.spec.task.metric, latency_name(study)
    table = new_table(
        "Finalists (full fidelity, report split)",
        "trial",
        "architecture",
        f"{metric} [95 % interval]",
        f"latency {quantile}",
        "speed-up",
        "parameters",
        "export",
    )
    for trial, finalist in finalists(trials):
        report = finalist.evaluation.report if finalist.evaluation else None
        table.add_row(
            str(trial.number),
            trial.label,
            score_text(report) if finalist.error is None else f"{finalist.state}: {finalist.error}",
            latency_text(finalist.latency, quantile),
            times_text(speed_up(study, finalist.latency)),
            parameters_text(trial),
            folders.get(trial.number, NONE),
        )
    return table


def baselines_table(study: StudyView, trials: Sequence[TrialView]) -> Table:
    """What the finalists stand against: the teacher, methods that are no encoder, and the named shapes."""
    metric, quantile = study.spec.task.metric, latency_name(study)
    table = new_table(
        "To compare with", "", f"{metric} [95 % interval]", "split", f"latency {quantile}", "speed-up", "parameters"
    )
    prepared = study.prepared
    if prepared is not None:
        teacher = study.references.get(TEACHER)
        count = format_count(parameter_count(prepared.architecture))
        speed = times_text(speed_up(study, teacher))
        table.add_row(
            TEACHER, score_text(prepared.teacher_report), "report", latency_text(teacher, quantile), speed, count
        )
        for name, score in prepared.baselines.items():
            table.add_row(name, score_text(score), "report", NONE, NONE, NONE)
    for trial in (trial for trial in trials if trial.origin.startswith("baseline")):
        flash = trial.evaluation.selection if trial.evaluation else None
        table.add_row(
            f"{trial.origin.partition(':')[2].strip() or trial.origin} ({trial.label})",
            score_text(flash) if flash else str(trial.state),
            "selection, flash",
            latency_text(trial.latency, quantile),
            times_text(speed_up(study, trial.latency)),
            parameters_text(trial),
        )
    return table


def trials_table(study: StudyView, trials: Sequence[TrialView], *, last: int | None = None) -> Table:
    """The trials by number, or the last few of them."""
    shown = trials if last is None else trials[-last:]
    if study.spec.external is not None:
        return _told_table(study, shown, by_number=True)
    metric, quantile = quality_name(study), latency_name(study)
    table = new_table(
        "", "trial", "architecture", "state", str(metric), f"latency {quantile}", "parameters", *other_names(study), ""
    )
    for trial in shown:
        value = trial.metrics.get(metric)
        table.add_row(
            str(trial.number),
            trial.label,
            str(trial.state),
            NONE if value is None else f"{value:.3f}",
            _with_prediction(trial, quantile),
            parameters_text(trial),
            *_values(trial, other_names(study)),
            "front" if trial.on_front else trial.reason or trial.origin,
        )
    return table


def _told_table(study: StudyView, trials: Sequence[TrialView], *, title: str = "", by_number: bool = False) -> Table:
    """Trials of an external study: nothing but what somebody told, by the names of the study."""
    names = dict.fromkeys((*study.spec.judged_metrics, "parameters"))
    main = quality_name(study)
    table = new_table(title, "trial", "architecture", *(["state"] if by_number else []), *names, "")
    for trial in trials if by_number else sorted(trials, key=lambda trial: trial.metrics.get(main, 0.0)):
        values = [metric_text(name, trial.metrics[name]) if name in trial.metrics else NONE for name in names]
        state = [str(trial.state)] if by_number else []
        note = "front" if by_number and trial.on_front else trial.reason or trial.origin
        table.add_row(str(trial.number), trial.label, *state, *values, note)
    return table


def by_latency(trials: Iterable[TrialView]) -> list[TrialView]:
    """Fastest first; those without a latency last."""
    return sorted(trials, key=lambda trial: trial.latency.p50_s if trial.latency else float("inf"))


def finalists(trials: Iterable[TrialView]) -> list[tuple[TrialView, FinalistView]]:
    """Every finalist with its trial, fastest first."""
    found = [(trial, trial.finalist) for trial in trials if trial.finalist is not None]
    return sorted(found, key=lambda pair: pair[1].latency.p50_s if pair[1].latency else float("inf"))


def speed_up(study: StudyView, latency: LatencyView | None) -> float | None:
    """How many times faster than the teacher; None where the two were not measured on the same hardware."""
    teacher = study.references.get(TEACHER)
    if latency is None or teacher is None or latency.hardware_key != teacher.hardware_key:
        return None
    return latency_s(teacher, latency_name(study)) / latency_s(latency, latency_name(study))


def latency_name(study: StudyView) -> str:
    """The quantile that the study's objectives judge: p50 if none."""
    named = [_QUANTILES[objective.metric] for objective in study.spec.objectives if objective.metric in _QUANTILES]
    return named[0] if named else "p50"


def latency_s(latency: LatencyView, quantile: str) -> float:
    value: float = {"p50": latency.p50_s, "p90": latency.p90_s, "p99": latency.p99_s}[quantile]
    return value


def latency_text(latency: LatencyView | None, quantile: str = "p50") -> str:
    """`3.1 ms measured`; what is not steady says so."""
    if latency is None:
        return NONE
    doubt = "" if latency.verdict == "steady" else f", {latency.verdict}"
    return f"{format_seconds(latency_s(latency, quantile))} {latency.source}{doubt}"


def _with_prediction(trial: TrialView, quantile: str) -> str:
    """`3.1 ms measured (2.9 ms predicted)`, where a calibration told it."""
    predicted = trial.predicted
    if predicted is None or predicted.quantile != quantile:
        return latency_text(trial.latency, quantile)
    told = f"{format_seconds(predicted.latency_s)} predicted"
    return told if trial.latency is None else f"{latency_text(trial.latency, quantile)} ({told})"


def counted(count: int, noun: str) -> str:
    """`1 trial`, `3 trials`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def metric_text(name: str, value: float) -> str:
    """The value with its unit; of a metric that only the study knows, as it is."""
    unit = METRICS[name].unit if name in METRICS else ""
    match unit:
        case "seconds":
            return format_seconds(value)
        case "count":
            return format_count(value)
        case "share":
            return f"{value:.3f}"
        case _:
            return f"{value:.6g}"


def quality_name(study: StudyView) -> str:
    """The metric of the task; of a study that somebody else evaluates, the first objective that is to be large."""
    names = [objective.metric for objective in study.spec.objectives]
    large = [one.metric for one in study.spec.objectives if one.direction is Direction.MAXIMIZE]
    metric = str(study.spec.task.metric)
    return metric if metric in names else [*large, *names][0]


def other_names(study: StudyView) -> list[str]:
    """The objectives that have no column of their own: those that only this study knows."""
    shown = (quality_name(study), "parameters", *_QUANTILES)
    return [objective.metric for objective in study.spec.objectives if objective.metric not in shown]


def _values(trial: TrialView, names: Iterable[str]) -> list[str]:
    known = trial.metrics
    return [metric_text(name, known[name]) if name in known else NONE for name in names]


def parameters_text(trial: TrialView) -> str:
    return format_count(parameter_count(trial.architecture))


def score_text(score: Score | None) -> str:
    return NONE if score is None else f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


def difference_text(metric: str, value: float, other: float) -> str:
    """A difference of two shares in points, of other numbers relative to the other one: `-2.1 points`, `+4.0 %`."""
    is_share = metric_info(metric).unit == "share"
    return f"{100 * (value - other):+.1f} points" if is_share else f"{100 * (value / other - 1):+.1f} %"


def times_text(factor: float | None) -> str:
    return NONE if factor is None else f"{factor:.2f}x"


def hypervolume_text(value: float | None) -> str:
    return NONE if value is None else f"{value:.4g}"


def remaining_text(study: StudyView) -> str:
    if study.ended_at is not None:
        return NONE
    return "not known yet" if study.remaining_s is None else f"about {format_duration(study.remaining_s)}"


def new_table(title: str, *columns: str) -> Table:
    table = FittingTable(title=title or None, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
