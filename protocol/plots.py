"""What plots and tables of a study are drawn from: its trials as columns, and what follows from them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from hardware.values import Measurement
from protocol.jobs import CurvePoint
from protocol.views import TrialState

Numbers = tuple[float | None, ...]


class _View(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class PointsView(_View):
    """All trials of a study as columns, by number; None where a trial has no such value.

    `metrics` are those that strategy and front see, `deviations` the standard deviations of their observation noise;
    `dimensions` what the search varies. `full` are the finalists' values on the selection split at full fidelity;
    `predicted` what the strategy, or else a calibration of the target, expected before anything was measured.
    """

    numbers: tuple[int, ...]
    states: tuple[TrialState, ...]
    labels: tuple[str, ...]
    origins: tuple[str, ...]
    on_front: tuple[bool, ...]
    metrics: dict[str, Numbers]
    deviations: dict[str, Numbers]
    dimensions: dict[str, tuple[int | bool | str | tuple[int, ...], ...]]
    full: dict[str, Numbers]
    predicted: dict[str, Numbers]


Importance = dict[str, dict[str, float] | None]
"""Of each objective, how much of its ranks' variance goes with each dimension, as shares of 1; None where too few
trials tell.
"""


class CurvesView(_View):
    """A trial's learning curves on the selection split: of its flash and its full distillation, and of the one that
    runs; `teacher` is the teacher's value there.
    """

    flash: tuple[CurvePoint, ...]
    full: tuple[CurvePoint, ...]
    running: tuple[CurvePoint, ...]
    teacher: float | None


class MeasurementView(_View):
    """One measurement of a trial: of its architecture, or (`role` export) of what a finalist was exported as.

    `measurement.samples_s` is empty unless samples were asked for; there are `samples` of them.
    """

    role: str
    measurement: Measurement
    samples: int
    created_at: datetime
