"""Calibration: some architectures measured on a device, and a model of how long all others take there."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from encoders.values import Head
from hardware.errors import MeasurementError, OutOfMemoryError, UnsupportedProfileError
from hardware.fitting import FEWEST, FitError, Fitted, agreement, fit_latency
from hardware.pace import Reading, paces, reading
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

MOST_FAILED = 0.25
"""Share of the architectures whose measurement may fail: of more, the others hardly stand for the space."""

SHOWN, LONGEST_REASON = 3, 300
"""Of many reasons or labels a note names so many; characters of a reason."""

Measure = Callable[[Architecture], Measurement]
Observe = Callable[[int, int, Architecture], None]
"""Called before each measurement with how many of how many are done; may raise to stop there."""


class CalibrationError(HardwareError):
    """A calibration that cannot be had; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRow:
    """One measured architecture. `latency_s` is the calibration's quantile, `low_s` and `high_s` its 95 % interval,
    `predicted_s` what a model says that was not shown this row, at the machine's pace when it was measured.
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

    What does not fit into the device's memory is left out, and up to `MOST_FAILED` of all that cannot be measured for
    another reason (a hang, a compiler that does not take it); notes tell how many, and why. With a folder `kept` each
    measurement is written there as it comes and read again after an interruption; those of these architectures are
    removed in the end.

    Raises:
        CalibrationError: too few could be measured, too many failed, or the machine kept changing meanwhile.
        UnsupportedProfileError: this machine cannot measure the profile at all.
        What `measure` and `observe` raise; what was measured before is kept.
    """
    ledger = _Ledger(kept, [profile.key, asdict(head), effort, quantile])
    measured, left_out = _measured(architectures, measure, ledger, quantile, observe)
    if len(measured) < FEWEST:
        few = f"{len(measured)} architectures could be measured, a calibration needs at least {FEWEST}"
        raise CalibrationError("; ".join([few, *_left_out_notes(left_out)]))
    result = _calibrated(measured, profile, head, effort, quantile, space_key, seed, left_out)
    ledger.clear(architectures)
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
    reading: Reading | None = None


_LeftOut = dict[str, str | None]
"""Why an architecture, by its key, could not be measured; None of one that does not fit into memory."""


def _measured(
    architectures: Sequence[Architecture],
    measure: Measure,
    ledger: _Ledger,
    quantile: QuantileName,
    observe: Observe | None,
) -> tuple[list[_Measured], _LeftOut]:
    """All that could be measured, under one hardware key, and why the others could not."""
    wanted = {architecture.key: architecture for architecture in architectures}
    rows = {key: row for key, row in ledger.read().items() if key in wanted}
    left_out: _LeftOut = {}
    # The machine may have changed since the first part was measured: that part is then measured again, once.
    for _ in range(2):
        for key, architecture in wanted.items():
            if key in rows or key in left_out:
                continue
            if observe is not None:
                observe(len(rows) + len(left_out), len(wanted), architecture)
            try:
                row = _row(architecture, measure(architecture), quantile)
            except UnsupportedProfileError:  # of the profile: every other architecture would meet it too
                raise
            except MeasurementError as error:
                is_too_large = isinstance(error, OutOfMemoryError)
                left_out[key] = None if is_too_large else " ".join(str(error).split())[:LONGEST_REASON]
                _check_failed(left_out, len(wanted))
                continue
            rows.pop(key, None)
            rows[key] = row
            ledger.write(row)
        newest = max((row.measured_at, row.hardware_key) for row in rows.values())[1] if rows else ""
        rows = {key: row for key, row in rows.items() if row.hardware_key == newest}
        if len(rows) + len(left_out) == len(wanted):
            return [rows[key] for key in wanted if key in rows], left_out
    raise CalibrationError("the machine or its software changed while it was calibrated; the same command starts anew")


def _check_failed(left_out: _LeftOut, of: int) -> None:
    failed = _failed(left_out)
    if len(failed) > MOST_FAILED * of:
        raise CalibrationError(
            f"{len(failed)} of {of} architectures could not be measured, more than the {MOST_FAILED:.0%} that may be"
            f" left out: {_summed_up(failed)}"
        )


def _failed(left_out: _LeftOut) -> list[str]:
    return [reason for reason in left_out.values() if reason is not None]


def _summed_up(reasons: Sequence[str]) -> str:
    """The most frequent ones, with how often each was met."""
    met = Counter(reasons)
    shown = [reason if count == 1 else f"{reason} ({count} times)" for reason, count in met.most_common(SHOWN)]
    return "; ".join([*shown, "..."] if len(met) > SHOWN else shown)


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
        reading=reading(measurement),
    )


def _calibrated(
    measured: list[_Measured],
    profile: DeviceProfile,
    head: Head,
    effort: Effort,
    quantile: QuantileName,
    space_key: str,
    seed: int,
    left_out: _LeftOut,
) -> Calibration:
    features = features_of([row.architecture for row in measured], batch=profile.batch, length=profile.length)
    slower = np.array(paces([row.reading for row in measured]))
    latencies_s = np.array([row.latency_s for row in measured]) * np.exp(-slower)
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
        rows=tuple(
            _with_prediction(row, math.exp(mean + pace))
            for row, mean, pace in zip(measured, fitted.log_means, slower, strict=True)
        ),
        model=fitted.model,
        cross_validated=fitted.agreement,
        held_out=_held_out(features, latencies_s, variances, seed),
        flat=dependence(latencies_s, fitted.agreement),
        notes=tuple(_notes(measured, fitted, left_out)),
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


def _notes(measured: list[_Measured], fitted: Fitted, left_out: _LeftOut) -> list[str]:
    notes = _left_out_notes(left_out)
    verdicts = Counter(row.verdict for row in measured)
    notes += [f"{count} of {len(measured)} measurements are {verdict}" for verdict, count in sorted(verdicts.items())]
    if fitted.ill_fitting:
        labels = [measured[place].architecture.label for place in fitted.ill_fitting]
        shown = ", ".join(labels[:SHOWN]) + (", ..." if len(labels) > SHOWN else "")
        notes.append(f"{len(labels)} of {len(measured)} hardly count, because they do not fit the others: {shown}")
    return notes


def _left_out_notes(left_out: _LeftOut) -> list[str]:
    failed = _failed(left_out)
    too_large = len(left_out) - len(failed)
    told = {"too large for the device's memory": too_large, _summed_up(failed): len(failed)}
    return [f"{count} architecture{'s' * (count > 1)} left out: {why}" for why, count in told.items() if count]


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

    def clear(self, architectures: Sequence[Architecture]) -> None:
        """Remove the rows of these. Others and the folder stay: another process may be about to write there."""
        if self._folder is None:
            return
        for architecture in architectures:
            with suppress(OSError):
                (self._folder / f"{architecture.key}.json").unlink()


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
