"""Numbers of a study as the pages' first paint shows them; `static/format.js` says the same when it takes over."""

from __future__ import annotations

import math

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
    if value is None or not math.isfinite(value):
        return NONE
    rounded = float(f"{value:.4g}")
    decimals = 0 if rounded == 0 else max(0, 3 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:.{min(decimals, 12)}f}".replace("-", "−")
