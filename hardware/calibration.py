"""Calibration: some architectures measured on a device, and a model of how long all others take there."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from encoders.values import Head
from hardware.errors import OutOfMemoryError
from hardware.fitting import FEWEST, FitError, Fitted, agreement, fit_latency
from hardware.values import DeviceProfile, Effort, HardwareError, Measurement, QuantileName, Source, Verdict
from search_space import Architecture
from search_space.latency_features import Floats, LatencyFeatures, features_of
from search_space.latency_model import Agreement, LatencyModel

COUNT = 64
"""Architectures that are measured unless somebody says otherwise."""

HELD_OUT = 0.2
"""Share of the rows that one more model is not shown."""

FLAT = 1.2
"""Slowest over fastest architecture, without a twentieth at each end: below, latency hardly depends on the space."""

LEAST_RANK = 0.5
"""Rank correlation of held-out predictions below which it hardly does, either."""

Measure = Callable[[Architecture], Measurement]
Observe = Callable[[int, int, Architecture], None]
"""Called before each measurement with how many of how many are done; may raise to stop there."""


class CalibrationError(HardwareError):
    """A calibration that cannot be had; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRow:
    """One measured architecture. `latency_s` is the calibration's quantile, `low_s` and `high_s` its 95 % interval,
    `predicted_s` what a model says that was not shown this row.
    """

    architecture: Architecture
    latency_s: float
    low_s: float | None
    high_s: float | None
    log_variance: float
    verdict: Verdict
    source: Source
    measured_at: str
    predicted_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was measured of one device profile under one hardware key, and the model of it.

    `cross_validated` are the model's errors over all rows, each predicted without it; `held_out` those of a model of
    four fifths of the rows on the others, None where these are too few. `flat` says why a search over latency would
    follow noise; None where latency depends on the space. `space_key` names the space that the rows stand for.
    """

    profile: DeviceProfile
    head: Head
    quantile: QuantileName
    effort: Effort
    hardware_key: str
    environment: dict[str, str]
    space_key: str
    rows: tuple[CalibrationRow, ...]
    model: LatencyModel
    cross_validated: Agreement
    held_out: Agreement | None
    flat: str | None
    notes: tuple[str, ...]
    measured_at: str
    """ISO 8601, UTC: of the last measurement."""


def calibrate(
    architectures: Sequence[Architecture],
    profile: DeviceProfile,
    head: Head,
    measure: Measure,
    *,
    effort: Effort = Effort.SEARCH,
    quantile: QuantileName = QuantileName.P50,
    space_key: str = "",
    seed: int = 0,
    kept: Path | None = None,
    observe: Observe | None = None,
) -> Calibration:
    """Measures these architectures with `measure`, whose profile, head and effort these are, and fits the model.

    What does not fit into the device's memory is left out. With a folder `kept` each measurement is written there as
    it comes and read again after an interruption; they are removed in the end.

    Raises:
        CalibrationError: too few could be measured, or the machine kept changing meanwhile.
        What `measure` and `observe` raise; what was measured before is kept.
    """
    ledger = _Ledger(kept, [profile.key, asdict(head), effort, quantile])
    measured, too_large = _measured(architectures, measure, ledger, quantile, observe)
    if len(measured) < FEWEST:
        raise CalibrationError(
            f"{len(measured)} architectures could be measured, a calibration needs at least {FEWEST}"
            + (f"; {too_large} did not fit into memory" if too_large else "")
        )
    result = _calibrated(measured, profile, head, effort, quantile, space_key, seed, too_large)
    ledger.clear()
    return result


def dependence(latencies_s: Sequence[float] | Floats, agreed: Agreement) -> str | None:
    """Why a search over these latencies would follow noise; None where they depend on the space.

    `agreed` is how predictions of held-out ones agree with them: what cannot be ranked by the shape is noise, or as
    good as that.
    """
    fast_s, slow_s = np.quantile(np.asarray(latencies_s), (0.05, 0.95))
    ratio, rank = float(slow_s / fast_s), agreed.spearman or 0.0
    if ratio >= FLAT and rank >= LEAST_RANK:
        return None
    return (
        f"latency hardly depends on this search space: without a twentieth at each end its slowest architecture takes "
        f"{ratio:.2f} times as long as its fastest, and what is predicted of held-out architectures ranks them with a "
        f"correlation of {rank:.2f}; a search over latency would mostly follow noise"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """A row before there is a model."""

    architecture: Architecture
    latency_s: float
    low_s: float | None
    high_s: float | None
    log_variance: float
    verdict: Verdict
    source: Source
    measured_at: str
    hardware_key: str
    environment: dict[str, str]


def _measured(
    architectures: Sequence[Architecture],
    measure: Measure,
    ledger: _Ledger,
    quantile: QuantileName,
    observe: Observe | None,
) -> tuple[list[_Measured], int]:
    """All that could be measured, under one hardware key, and how many did not fit."""
    wanted = {architecture.key: architecture for architecture in architectures}
    rows = {key: row for key, row in ledger.read().items() if key in wanted}
    too_large: set[str] = set()
    # The machine may have changed since the first part was measured: that part is then measured again, once.
    for _ in range(2):
        for key, architecture in wanted.items():
            if key in rows or key in too_large:
                continue
            if observe is not None:
                observe(len(rows) + len(too_large), len(wanted), architecture)
            try:
                row = _row(architecture, measure(architecture), quantile)
            except OutOfMemoryError:
                too_large.add(key)
                continue
            rows.pop(key, None)
            rows[key] = row
            ledger.write(row)
        newest = max((row.measured_at, row.hardware_key) for row in rows.values())[1] if rows else ""
        rows = {key: row for key, row in rows.items() if row.hardware_key == newest}
        if len(rows) + len(too_large) == len(wanted):
            return [rows[key] for key in wanted if key in rows], len(too_large)
    raise CalibrationError("the machine or its software changed while it was calibrated; the same command starts anew")


def _row(architecture: Architecture, measurement: Measurement, quantile: QuantileName) -> _Measured:
    asked = {QuantileName.P50: measurement.p50, QuantileName.P90: measurement.p90, QuantileName.P99: measurement.p99}
    return _Measured(
        architecture=architecture,
        latency_s=asked[quantile].value_s,
        low_s=asked[quantile].low_s,
        high_s=asked[quantile].high_s,
        log_variance=measurement.log_variance,
        verdict=measurement.verdict,
        source=measurement.source,
        measured_at=measurement.measured_at,
        hardware_key=measurement.hardware_key,
        environment=measurement.environment,
    )


def _calibrated(
    measured: list[_Measured],
    profile: DeviceProfile,
    head: Head,
    effort: Effort,
    quantile: QuantileName,
    space_key: str,
    seed: int,
    too_large: int,
) -> Calibration:
    features = features_of([row.architecture for row in measured], batch=profile.batch, length=profile.length)
    latencies_s = np.array([row.latency_s for row in measured])
    variances = np.array([row.log_variance for row in measured])
    fitted = fit_latency(
        features, latencies_s, log_variances=variances, batch=profile.batch, length=profile.length, seed=seed
    )
    last = max(measured, key=lambda row: row.measured_at)
    return Calibration(
        profile=profile,
        head=head,
        quantile=quantile,
        effort=effort,
        hardware_key=last.hardware_key,
        environment=last.environment,
        space_key=space_key,
        rows=tuple(_with_prediction(row, math.exp(mean)) for row, mean in zip(measured, fitted.log_means, strict=True)),
        model=fitted.model,
        cross_validated=fitted.agreement,
        held_out=_held_out(features, latencies_s, variances, seed),
        flat=dependence(latencies_s, fitted.agreement),
        notes=tuple(_notes(measured, fitted, too_large)),
        measured_at=last.measured_at,
    )


def _with_prediction(row: _Measured, predicted_s: float) -> CalibrationRow:
    shared = {name: getattr(row, name) for name in CalibrationRow.__slots__ if name != "predicted_s"}
    return CalibrationRow(**shared, predicted_s=predicted_s)


def _held_out(features: LatencyFeatures, latencies_s: Floats, variances: Floats, seed: int) -> Agreement | None:
    order = np.random.default_rng(seed).permutation(len(features))
    count = round(HELD_OUT * len(features))
    asked, known = order[:count], order[count:]
    try:
        fitted = fit_latency(features.take(known), latencies_s[known], log_variances=variances[known], seed=seed)
    except FitError:
        return None
    return agreement(*fitted.model.log_latency(features.take(asked)), np.log(latencies_s[asked]))


def _notes(measured: list[_Measured], fitted: Fitted, too_large: int) -> list[str]:
    notes = []
    if too_large:
        notes.append(f"{too_large} architectures are left out: they do not fit into the device's memory")
    verdicts = Counter(row.verdict for row in measured)
    notes += [f"{count} of {len(measured)} measurements are {verdict}" for verdict, count in sorted(verdicts.items())]
    if fitted.ill_fitting:
        labels = [measured[place].architecture.label for place in fitted.ill_fitting]
        shown = ", ".join(labels[:3]) + (", ..." if len(labels) > 3 else "")
        notes.append(f"{len(labels)} of {len(measured)} hardly count, because they do not fit the others: {shown}")
    return notes


class _Ledger:
    """Measurements in a folder, one file for each, named by what they are of; without a folder nothing is kept."""

    def __init__(self, folder: Path | None, conditions: list[Any]) -> None:
        text = json.dumps(conditions, sort_keys=True, separators=(",", ":"))
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._folder = None if folder is None else folder / name

    def read(self) -> dict[str, _Measured]:
        """What was kept, by the key of the architecture; a file that cannot be read is of no use."""
        if self._folder is None or not self._folder.is_dir():
            return {}
        found = [_read(path) for path in sorted(self._folder.glob("*.json"))]
        return {row.architecture.key: row for row in found if row is not None}

    def write(self, row: _Measured) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._folder / f"{row.architecture.key}.json"
        values = asdict(row) | {"architecture": row.architecture.to_dict()}
        partial = target.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(values), encoding="utf-8")
        partial.replace(target)

    def clear(self) -> None:
        if self._folder is not None and self._folder.is_dir():
            for path in self._folder.iterdir():
                path.unlink(missing_ok=True)
            self._folder.rmdir()


def _read(path: Path) -> _Measured | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return _Measured(
            **values
            | {
                "architecture": Architecture.from_dict(values["architecture"]),
                "verdict": Verdict(values["verdict"]),
                "source": Source(values["source"]),
            }
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
