"""Calibrations on the wire: what was measured of a device, and the model that predicts from it."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from encoders.values import Head
from hardware.values import DeviceProfile, Effort, QuantileName, Source, Verdict
from search_space import Architecture
from search_space.latency_model import Agreement, LatencyModel

MOST_ROWS = 2_000
CalibrationId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=2_000)]


def _aware(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return text


Instant = Annotated[str, Field(max_length=64), AfterValidator(_aware)]
"""ISO 8601 with a time zone, as it was told."""


class _Told(BaseModel):
    """Also read from the attributes of `hardware.calibration`'s values, that have the same names."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


class MeasuredArchitecture(_Told):
    """One row of a calibration.

    `predicted_s` is what a model says that was not shown this row, at the machine's pace when it was measured.
    """

    architecture: Architecture
    latency_s: Seconds
    low_s: Seconds | None
    high_s: Seconds | None
    log_variance: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    verdict: Verdict
    source: Source
    measured_at: Instant
    predicted_s: Seconds


class CalibrationRecord(_Told):
    """One calibration; what its fields are says `hardware.calibration.Calibration`."""

    profile: DeviceProfile
    head: Head
    quantile: QuantileName
    effort: Effort
    hardware_key: Annotated[str, Field(min_length=1, max_length=64)]
    environment: dict[str, str]
    space_key: Annotated[str, Field(max_length=64)]
    rows: Annotated[tuple[MeasuredArchitecture, ...], Field(min_length=1, max_length=MOST_ROWS)]
    model: LatencyModel
    cross_validated: Agreement
    held_out: Agreement | None
    flat: Text | None
    notes: tuple[Text, ...]
    measured_at: Instant

    @property
    def taken_at(self) -> datetime:
        """When its last measurement was made."""
        return datetime.fromisoformat(self.measured_at)

    @property
    def id(self) -> str:
        """SHA-256 of its canonical form: equal calibrations are one."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class _View(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, from_attributes=True)


class CalibrationView(_View):
    """A calibration without its rows and its model."""

    id: str
    profile: DeviceProfile
    head: Head
    quantile: QuantileName
    effort: Effort
    hardware_key: str
    environment: dict[str, str]
    space_key: str
    architectures: int
    cross_validated: Agreement
    held_out: Agreement | None
    flat: str | None
    notes: tuple[str, ...]
    measured_at: str


class PredictedLatency(_View):
    """What a calibration says of an architecture: never measured. `low_s` and `high_s` are a 95 % interval."""

    quantile: QuantileName
    latency_s: float
    low_s: float
    high_s: float
    calibration: str
    """The calibration's id."""


class LatencyPreview(_View):
    """What a calibration says of a search space: the fastest, the middle and the slowest architecture."""

    calibration: CalibrationView
    fastest_s: float
    median_s: float
    slowest_s: float


def view_of(record: CalibrationRecord, identity: str) -> CalibrationView:
    """The record as it is listed."""
    shared = {name: getattr(record, name) for name in CalibrationView.model_fields if hasattr(record, name)}
    return CalibrationView(**shared | {"id": identity, "architectures": len(record.rows)})
