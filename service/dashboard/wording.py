"""Numbers of a study as the pages' first paint shows them; `static/format.js` says the same when it takes over."""

from __future__ import annotations

import math

from optimization.values import Direction
from protocol.metrics import METRICS, info_of
from protocol.quantity import format_duration
from protocol.study import StudySpec
from protocol.views import StudyState, StudyView

NONE = "–"


def is_over(study: StudyView) -> bool:
    return study.state in (StudyState.COMPLETED, StudyState.FAILED)


def remaining_time(study: StudyView) -> str:
    """An estimate, or an honest word where there is none."""
    if is_over(study) or study.state is StudyState.STOPPED:
        return NONE
    return "not known yet" if study.remaining_s is None else format_duration(study.remaining_s)


def time_taken(study: StudyView) -> str:
    """From the study's creation to its end."""
    return NONE if study.ended_at is None else format_duration((study.ended_at - study.created_at).total_seconds())


def trials_text(study: StudyView) -> str:
    """How many trials of how many are spent."""
    return f"{study.spent_trials:,} of {study.spec.budget.trials:,}"


def device_time(study: StudyView) -> str:
    """How long its jobs have had workers, all together."""
    seconds = sum(study.device_seconds.values())
    return format_duration(seconds) if seconds else NONE


def subject(study: StudyView) -> str:
    """What it is about: teacher and data, or, of a study that somebody else evaluates, what it searches for."""
    spec = study.spec
    if spec.external is None:
        return f"{spec.teacher.model} → {spec.task.dataset.source}"
    return f"evaluated elsewhere: {', '.join(objective.metric for objective in spec.objectives)}"


def wanted(spec: StudySpec) -> str:
    """What the study searches for, in its own names: `the most accuracy and the least p50 latency, ...`."""
    ends = {Direction.MAXIMIZE: "most", Direction.MINIMIZE: "least"}
    aims = [f"the {ends[one.direction]} {_in_text(one.metric)}" for one in spec.objectives]
    bounds = [
        f"{_in_text(one.metric)} at {'least' if one.at_least else 'most'} {metric_text(one.bound, one.metric)}"
        for one in spec.constraints
    ]
    return f"{_listed(aims)}{', with ' if bounds else ''}{_listed(bounds)}"


def shown_metrics(spec: StudySpec) -> tuple[str, ...]:
    """What a trial is summed up by: the metrics of its study's objectives, and its size."""
    names = spec.judged_metrics if spec.external else [objective.metric for objective in spec.objectives]
    return tuple(dict.fromkeys((*names, "parameters")))


def metric_title(name: str) -> str:
    """A metric as a heading: `p50 latency`; one that only its study knows has the name that it was given."""
    if name not in METRICS:
        return name
    if name.startswith("latency_"):
        return f"{name.removeprefix('latency_')} latency"
    return name.replace("_", " ").capitalize()


def _in_text(name: str) -> str:
    title = metric_title(name)
    return title if name not in METRICS else title.lower()


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def hypervolume_text(value: float | None) -> str:
    """Four significant digits: 0.4123."""
    return NONE if value is None or not math.isfinite(value) else _significant(value, 4)


def metric_text(value: float | None, metric: str) -> str:
    """A value of this metric with its unit: 4.20 ms, 25.4M, 0.748."""
    if value is None or not math.isfinite(value):
        return NONE
    unit = info_of(metric).unit
    if unit == "seconds":
        return f"{_significant(value * 1e3, 3)}\u00a0ms"
    if unit == "number":
        return _significant(value, 4)
    if unit == "share":
        return f"{value:.3f}".replace("-", "−")
    for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * factor:
            return f"{_significant(value / factor, 3)}{suffix}"
    return f"{value:g}"


def _significant(value: float, digits: int) -> str:
    """So many significant digits, zeros at the end among them."""
    rounded = float(f"{value:.{digits}g}")
    decimals = 0 if rounded == 0 else max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:.{min(decimals, 12)}f}".replace("-", "−")
