"""Trials in the database, with what was found out about them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Row, Select, Text, cast, func, select, type_coerce
from sqlalchemy.orm import Session, undefer

from distillation.values import Fidelity
from protocol.views import FinalistState, TrialState
from service.store.tables import Evaluation, Finalist, MeasurementRow, Trial, core_table
from service.store.trial_pages import TrialFilter, TrialOrder, metric_value, page_of


@dataclass(frozen=True, slots=True)
class Known:
    """A trial's values of some metrics."""

    number: int
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Completed(Known):
    """A trial that was completed; without values where one of them is not known."""

    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Plain:
    """A trial as it is stored; JSON is unchecked."""

    id: int
    number: int
    state: str
    origin: str
    architecture_key: str
    metrics: dict[str, float]
    variances: dict[str, float]
    predicted: dict[str, float]
    predicted_latency: dict[str, Any] | None


MOST_NAMED = 500
"""Of more, it is faster to read all than to look each up."""


class TrialRepository:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._kept: dict[int, Trial] = {}

    def add(self, trial: Trial) -> None:
        """The trial has its id from now on."""
        self._session.add(trial)
        self._session.flush()

    def get(self, identity: int) -> Trial:
        """The trial, which is read once: a session forgets what nobody holds, and needs it again to write events."""
        with self._session.no_autoflush:  # what has a number was flushed
            trial = self._kept[identity] = self._session.get_one(Trial, identity)
        return trial

    def numbered(self, study: int, number: int) -> Trial | None:
        """The study's trial of this number."""
        statement = select(Trial).where(Trial.study_id == study, Trial.number == number)
        return self._session.scalars(statement).one_or_none()

    def of(self, study: int, *states: TrialState) -> Sequence[Trial]:
        """The study's trials by number; all of them unless states are given."""
        statement = select(Trial).where(Trial.study_id == study).order_by(Trial.number)
        return self._session.scalars(statement.where(Trial.state.in_(states)) if states else statement).all()

    def page(
        self, study: int, which: TrialFilter, order: TrialOrder, after: tuple[Any, ...] | None, limit: int
    ) -> Sequence[Trial]:
        """The first trials of this order after a place; see `trial_pages`."""
        return self._session.scalars(page_of(study, which, order, after, limit)).all()

    def known(self, study: int, metrics: Collection[str], *states: TrialState) -> list[Known]:
        """Of the trials in these states (of all unless some are given) that have each of the metrics, their values,
        by number. Nothing else of the trials is read.
        """
        values = [metric_value(name) for name in metrics]
        statement = select(Trial.number, *values).where(Trial.study_id == study)
        statement = statement.where(*(value.is_not(None) for value in values))
        statement = statement.where(Trial.state.in_(states)) if states else statement
        rows = self._rows(statement.order_by(Trial.number))
        return [Known(number, dict(zip(metrics, found, strict=True))) for number, *found in rows]

    def completed_since(self, study: int, metrics: Collection[str], since: datetime | None) -> list[Completed]:
        """The study's completed trials that ended at this instant or later, or all of them, in no order."""
        values = [metric_value(name) for name in metrics]
        statement = select(Trial.number, Trial.ended_at, *values).where(Trial.study_id == study)
        statement = statement.where(Trial.state == TrialState.COMPLETED)
        rows = self._rows(statement if since is None else statement.where(Trial.ended_at >= since))
        return [
            Completed(number, {} if None in found else dict(zip(metrics, found, strict=True)), ended_at)
            for number, ended_at, *found in rows
        ]

    def metrics(self, study: int, state: TrialState) -> list[dict[str, float]]:
        """Those of the study's trials in this state, by number."""
        statement = select(Trial.metrics).where(Trial.study_id == study, Trial.state == state)
        return list(self._session.scalars(statement.order_by(Trial.number)))

    def spent(self, study: int) -> list[int]:
        """The numbers of the trials that count against the budget, in the order in which they ended."""
        states = [state for state in TrialState if state.spent]
        statement = select(Trial.number).where(Trial.study_id == study, Trial.state.in_(states))
        return list(self._session.scalars(statement.order_by(Trial.ended_at, Trial.number)))

    def ended_by(self, study: int, moment: datetime) -> dict[int, TrialState]:
        """By number, the states of the trials that had ended by then."""
        statement = select(Trial.number, Trial.state).where(Trial.study_id == study, Trial.ended_at <= moment)
        return {row[0]: row[1] for row in self._session.execute(statement)}

    def columns(self, study: int) -> list[Plain]:
        """What plots are drawn from of every trial, by number; JSON as it is stored, unchecked."""
        table = core_table(Trial).c
        stored = (table.metrics, table.variances, table.predicted, table.predicted_latency)
        statement = select(
            table.id, table.number, type_coerce(table.state, Text), table.origin, table.architecture_key,
            *(cast(column, Text) for column in stored),
        )  # fmt: skip
        statement = statement.where(table.study_id == study).order_by(table.number)
        rows = self._rows(statement)
        decoded = [_decoded([row[5 + place] for row in rows]) for place in range(len(stored))]
        return [Plain(*row[:5], *values) for row, *values in zip(rows, *decoded, strict=True)]

    def architectures(self, study: int, keys: Collection[str]) -> dict[str, dict[str, Any]]:
        """By key, as it is stored and unchecked, the architecture of trials of the study."""
        table = core_table(Trial).c
        statement = select(table.architecture_key, cast(table.architecture, Text)).where(table.study_id == study)
        if len(keys) <= MOST_NAMED:
            statement = statement.where(table.architecture_key.in_(keys))
        rows = self._rows(statement)
        return dict(zip([row[0] for row in rows], _decoded([row[1] for row in rows]), strict=True))

    def ends_of(self, study: int) -> list[tuple[int, datetime, datetime | None, str | None]]:
        """Number, creation, end, and why it ended, of every trial."""
        statement = select(Trial.number, Trial.created_at, Trial.ended_at, Trial.reason)
        return [
            (row[0], row[1], row[2], row[3]) for row in self._session.execute(statement.where(Trial.study_id == study))
        ]

    def report_values(self, study: int) -> dict[int, float]:
        """By the trial's number, the finalists' values on the report split."""
        value = type_coerce(Evaluation.report, JSON)["value"].as_float()
        statement = select(Trial.number, value).join(Trial).where(Trial.study_id == study, value.is_not(None))
        return {row[0]: row[1] for row in self._session.execute(statement)}

    def full_values(self, study: int) -> dict[int, float]:
        """By trial, the finalists' values on the selection split at full fidelity."""
        statement = (
            select(Evaluation.trial_id, type_coerce(Evaluation.selection, JSON)["value"].as_float())
            .join(Trial)
            .where(Trial.study_id == study, Evaluation.fidelity == Fidelity.FULL)
        )
        return {row[0]: row[1] for row in self._session.execute(statement)}

    def saved_steps(self, study: int) -> int:
        """Steps of distillation that early stopping left out altogether."""
        saved = func.sum(type_coerce(Trial.early_stop, JSON)["saved_steps"].as_integer())
        return self._session.scalar(select(saved).where(Trial.study_id == study)) or 0

    def counts(self, study: int) -> dict[TrialState, int]:
        """How many of the study's trials are in each state."""
        statement = select(Trial.state, func.count()).where(Trial.study_id == study)
        statement = statement.group_by(Trial.state).order_by(Trial.state)
        return {row[0]: row[1] for row in self._session.execute(statement)}

    def numbers(self, trials: Collection[int]) -> dict[int, int]:
        """By trial, the number that it has in its study."""
        rows = self._session.execute(select(Trial.id, Trial.number).where(Trial.id.in_(trials))) if trials else ()
        return {row[0]: row[1] for row in rows}

    def next_number(self, study: int) -> int:
        """Numbers count from 1."""
        last = self._session.scalar(select(func.max(Trial.number)).where(Trial.study_id == study))
        return (last or 0) + 1

    def keys(self, study: int) -> set[str]:
        """The keys of the architectures that were tried."""
        return set(self._session.scalars(select(Trial.architecture_key).where(Trial.study_id == study)))

    def add_evaluation(self, evaluation: Evaluation) -> None:
        self._session.add(evaluation)

    def evaluations(
        self, study: int, trials: Collection[int] | None = None, fidelity: Fidelity | None = None
    ) -> Sequence[Evaluation]:
        """Those of the study's trials; of some of them, and of one fidelity, where these are given."""
        statement = select(Evaluation).join(Trial).where(Trial.study_id == study)
        if trials is not None:
            statement = statement.where(Evaluation.trial_id.in_(trials))
        if fidelity is not None:
            statement = statement.where(Evaluation.fidelity == fidelity)
        return self._session.scalars(statement).all()

    def measurements(
        self, study: int, trials: Collection[int] | None = None, *, samples: bool = False
    ) -> Sequence[MeasurementRow]:
        """What was measured of the study's trials, the oldest first; of some of them, where these are given. Samples
        are read only if they are asked for.
        """
        statement = select(MeasurementRow).where(MeasurementRow.study_id == study, MeasurementRow.trial_id.is_not(None))
        if trials is not None:
            statement = statement.where(MeasurementRow.trial_id.in_(trials))
        if samples:
            statement = statement.options(undefer(MeasurementRow.samples_s))
        return self._session.scalars(statement.order_by(MeasurementRow.id)).all()

    def add_finalist(self, finalist: Finalist) -> None:
        self._session.add(finalist)

    def finalist(self, trial: int) -> Finalist:
        return self._session.get_one(Finalist, trial)

    def finalists(self, study: int, trials: Collection[int] | None = None) -> Sequence[Finalist]:
        """The study's finalists by the number of their trial; those of these trials, where some are given."""
        statement = select(Finalist).join(Trial).where(Trial.study_id == study).order_by(Trial.number)
        if trials is not None:
            statement = statement.where(Finalist.trial_id.in_(trials))
        return self._session.scalars(statement).all()

    def finalist_counts(self, study: int) -> dict[FinalistState, int]:
        """How many of the study's finalists are in each state."""
        statement = (
            select(Finalist.state, func.count())
            .join(Trial)
            .where(Trial.study_id == study)
            .group_by(Finalist.state)
            .order_by(Finalist.state)
        )
        return {row[0]: row[1] for row in self._session.execute(statement)}

    def _rows(self, statement: Select[*tuple[Any, ...]]) -> Sequence[Row[*tuple[Any, ...]]]:
        """Of plain columns, past what makes objects of rows: that takes longer than reading them."""
        if self._session.autoflush:
            self._session.flush()
        return self._session.connection().execute(statement).all()


def _decoded(texts: Sequence[str | None]) -> list[Any]:
    """The values of these JSON texts, several times as fast together as one by one."""
    found: list[Any] = json.loads(f"[{','.join('null' if text is None else text for text in texts)}]")
    return found
