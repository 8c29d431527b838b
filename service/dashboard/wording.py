"""Numbers of a study as the pages' first paint shows them; `static/format.js` says the same when it takes over."""

from __future__ import annotations

import math

from protocol.metrics import METRICS
from protocol.quantity import format_duration
from protocol.views import StudyState, StudyView

NONE = "–"


def is_over(study: StudyView) -> bool:
    return study.state in (StudyState.COMPLETED, StudyState.FAILED)


def remaining_time(study: StudyView) -> str:
    """An estimate, or an honest word where there is none."""
    if is_over(study) or study.state.value == "stopped":
        return NONE
    return "not known yet" if study.remaining_s is None else format_duration(study.remaining_s)


def time_taken(study: StudyView) -> str:
    """From the study's creation to its end."""
    return NONE if study.ended_at is None else format_duration((study.ended_at - study.created_at).total_seconds())


def device_time(study: StudyView) -> str:
    """How long its jobs have had workers, all together."""
    seconds = sum(getattr(study, "device_seconds", {}).values())
    return format_duration(seconds) if seconds else NONE


def hypervolume_text(value: float | None) -> str:
    """Four significant digits: 0.4123."""
    return NONE if value is None or not math.isfinite(value) else _significant(value, 4)


def metric_text(value: float | None, metric: str) -> str:
    """A value of this metric with its unit: 4.20 ms, 25.4M, 0.748."""
    if value is None or not math.isfinite(value):
        return NONE
    unit = METRICS[metric].unit if metric in METRICS else "number"
    if unit == "seconds":
        return f"{_significant(value * 1e3, 3)}\u00a0ms"
    if unit != "count":
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
