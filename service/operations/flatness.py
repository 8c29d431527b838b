"""Whether latency depends on the search space at all: where it does not, a search over it follows noise."""

from __future__ import annotations

from hardware.values import Measurement
from service.operations.early_stopping import BASELINE
from service.store.tables import Study, Trial
from service.store.unit_of_work import UnitOfWork

FLAT = 1.2
"""Slowest over fastest, below which it hardly does."""

FIRST = 8
"""Measured trials that tell it."""

HARDLY = "latency hardly depends on"
"""How a study is told so, also by its calibration: once is enough."""


def note_ends(study: Study, smallest: Measurement, largest: Measurement) -> None:
    """By the two ends of the space."""
    ratio = largest.p50.value_s / smallest.p50.value_s
    if max(ratio, 1 / ratio) < FLAT:
        _note(study, f"its largest architecture takes {ratio:.2f} times as long as its smallest one")


def note_first(uow: UnitOfWork, study: Study, trial: Trial) -> None:
    """By the first trials that were chosen from the space, when the last of them, this one, was measured.

    Later ones are not waited for: those that a strategy has learned to choose resemble each other.
    """
    if trial.number > 2 * FIRST or trial.origin.startswith(BASELINE) or any(HARDLY in note for note in study.notes):
        return
    chosen = [one.metrics for one in uow.trials.of(study.id) if not one.origin.startswith(BASELINE)]
    latencies_s = [metrics["latency_p50"] for metrics in chosen if "latency_p50" in metrics]
    if len(latencies_s) == FIRST and (ratio := max(latencies_s) / min(latencies_s)) < FLAT:
        _note(study, f"the slowest of its first {FIRST} trials takes {ratio:.2f} times as long as the fastest")


def _note(study: Study, why: str) -> None:
    line = f"{HARDLY} the search space: {why}, so a search over latency mostly follows noise"
    study.notes = (*study.notes, line)
