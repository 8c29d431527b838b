"""Calibrations of device profiles: kept, found again for a study, and asked for what they predict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from hardware.values import QuantileName
from protocol.calibration import CalibrationRecord, CalibrationView, LatencyPreview, PredictedLatency, view_of
from protocol.mistakes import cut
from protocol.study import FEWEST_CALIBRATED, StudySpec
from search_space import Architecture, SearchSpace, SearchSpaceError
from search_space.design import design, space_key
from search_space.latency_features import Floats
from search_space.latency_model import LatencyModel
from service.errors import InvalidError, NotFoundError
from service.operations.paging import Page, decode_instant, page
from service.operations.preview import latency_previews, serves
from service.operations.queue import prepared
from service.store.tables import CalibrationRow, Study
from service.store.unit_of_work import UnitOfWork

_Z95 = 1.96
_MOST_LOG = 50.0
"""No forward pass takes e^-50 s or e^50 s."""


def store_calibration(uow: UnitOfWork, record: CalibrationRecord) -> tuple[str, bool]:
    """Keeps the calibration; its id, and whether it was not there before.

    Raises:
        InvalidError: its model is not of its own profile, or cannot even tell of its own rows.
    """
    if (record.model.batch, record.model.length) != (record.profile.batch, record.profile.length):
        raise InvalidError(
            f"the calibration is of batch {record.profile.batch} x length {record.profile.length}, its model of "
            f"{record.model.batch} x {record.model.length}"
        )
    try:
        with np.errstate(all="ignore"):
            told = np.concatenate(record.model.predict_architectures([row.architecture for row in record.rows]))
    except (SearchSpaceError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise InvalidError(f"the calibration's model cannot be used: {error}") from error
    if not (np.abs(told) < _MOST_LOG).all():
        raise InvalidError("the calibration's model cannot be used: it predicts what no latency can be")
    row = CalibrationRow(
        id=record.id,
        profile_key=record.profile.key,
        hardware_key=record.hardware_key,
        quantile=record.quantile,
        measured_at=record.taken_at,
        record=record,
        created_at=uow.now,
    )
    return row.id, uow.calibrations.add(row)


def calibration_page(uow: UnitOfWork, limit: int, cursor: str | None) -> Page[CalibrationView]:
    """Some calibrations, the newest first. Raises: InvalidError: a cursor of another list."""
    after = decode_instant(cursor, str)
    place = None if after is None else (after[0], str(after[1]))
    rows = page(uow.calibrations.page(place, limit + 1), limit, lambda row: (row.measured_at.isoformat(), row.id))
    return Page(tuple(view_of(row.record, row.id) for row in rows.items), rows.cursor)


def get_calibration(uow: UnitOfWork, identity: str) -> CalibrationRecord:
    """Raises: NotFoundError."""
    row = uow.calibrations.find(identity)
    if row is None:
        raise NotFoundError(f"there is no calibration {cut(identity)!r}")
    return row.record


def wants_calibration(uow: UnitOfWork, study: Study, space: SearchSpace) -> bool:
    """Whether the study asks for one, and none that was kept serves the whole space on the machine that measured the
    study's references. A space of few architectures needs none.
    """
    if not study.spec.budget.calibration or space.size < FEWEST_CALIBRATED:
        return False
    return not any(record.model.covers(space) for _, record in _of_study(uow, study))


def sample_of(spec: StudySpec, space: SearchSpace) -> tuple[tuple[Architecture, ...], str]:
    """What is measured for a calibration of the study's space, and the key of that."""
    return tuple(space.architectures(design(space, spec.budget.calibration, spec.seed))), space_key(space)


class OfSpace:
    """What a model says of every architecture of one space, asked once: there may be millions."""

    def __init__(self, quantile: QuantileName, model: LatencyModel, space: SearchSpace) -> None:
        self.quantile = quantile
        self._model = model
        self._space = space

    def predict(self, space: SearchSpace) -> tuple[Floats, Floats]:
        """As `LatencyModel.predict`."""
        return self._told if space is self._space else self._model.predict(space)

    @cached_property
    def _told(self) -> tuple[Floats, Floats]:
        return self._model.predict(self._space)


Known = dict[str, OfSpace | None]
"""By the calibration's id, what it says of a study's space; None where it does not serve it."""


def predictors(uow: UnitOfWork, study: Study, space: SearchSpace, known: Known | None = None) -> dict[str, OfSpace]:
    """By the name of its metric, the newest model that says how long each architecture of the space takes; a strategy
    may ask it. Empty where nothing was calibrated for the study.

    `known` is filled with what was found out: whether a model covers the space takes as long as to go through that.
    """
    known = {} if known is None else known
    for row in _rows_of(uow, study):
        if row.id not in known:
            record = row.record
            is_served = serves(record, study.spec, prepared(study).head.kind) and record.model.covers(space)
            known[row.id] = OfSpace(record.quantile, record.model, space) if is_served else None
        found = known[row.id]
        if found is not None:
            return {f"latency_{found.quantile}": found}
    return {}


def predicted_latency(uow: UnitOfWork, study: Study, architecture: Architecture) -> PredictedLatency | None:
    """What the newest calibration that serves the study says of this architecture."""
    for identity, record in _of_study(uow, study):
        if record.model.covers_architecture(architecture):
            means, deviations = record.model.predict_architectures([architecture])
            mean, spread = float(means[0]), _Z95 * float(deviations[0])
            return PredictedLatency(
                quantile=record.quantile,
                latency_s=math.exp(mean),
                low_s=math.exp(mean - spread),
                high_s=math.exp(mean + spread),
                calibration=identity,
            )
    return None


def preview_latencies(uow: UnitOfWork, spec: StudySpec, space: SearchSpace) -> tuple[LatencyPreview, ...]:
    """What the newest calibration of each machine says of the space that the study would search."""
    rows = uow.calibrations.of(spec.target.key)
    return latency_previews(((row.id, row.record) for row in rows), spec, space)


def _of_study(uow: UnitOfWork, study: Study) -> Iterator[tuple[str, CalibrationRecord]]:
    """The calibrations of the study's target, on the machine that measured its references, the newest first."""
    for row in _rows_of(uow, study):
        if serves(row.record, study.spec, prepared(study).head.kind):
            yield row.id, row.record


def _rows_of(uow: UnitOfWork, study: Study) -> Sequence[CalibrationRow]:
    references = uow.studies.references(study.id)
    if not references:
        return ()
    return uow.calibrations.of(study.spec.target.key, references[-1].measurement.hardware_key)
