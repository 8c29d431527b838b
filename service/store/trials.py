"""Trials in the database, with what was found out about them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from distillation.values import Fidelity
from protocol.views import FinalistState, TrialState
from service.store.tables import Evaluation, Finalist, MeasurementRow, Trial


class TrialRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, trial: Trial) -> None:
        """The trial has its id from now on."""
        self._session.add(trial)
        self._session.flush()

    def get(self, identity: int) -> Trial:
        return self._session.get_one(Trial, identity)

    def of(self, study: int, *states: TrialState) -> Sequence[Trial]:
        """The study's trials by number; all of them unless states are given."""
        statement = select(Trial).where(Trial.study_id == study).order_by(Trial.number)
        return self._session.scalars(statement.where(Trial.state.in_(states)) if states else statement).all()

    def counts(self, study: int) -> dict[TrialState, int]:
        """How many of the study's trials are in each state."""
        statement = select(Trial.state, func.count()).where(Trial.study_id == study)
        statement = statement.group_by(Trial.state).order_by(Trial.state)
        return {row[0]: row[1] for row in self._session.execute(statement)}

    def next_number(self, study: int) -> int:
        """Numbers count from 1."""
        last = self._session.scalar(select(func.max(Trial.number)).where(Trial.study_id == study))
        return (last or 0) + 1

    def keys(self, study: int) -> set[str]:
        """The keys of the architectures that were tried."""
        return set(self._session.scalars(select(Trial.architecture_key).where(Trial.study_id == study)))

    def add_evaluation(self, evaluation: Evaluation) -> None:
        self._session.add(evaluation)

    def evaluations(self, study: int, *fidelities: Fidelity) -> Sequence[Evaluation]:
        """Of the study's trials; of every fidelity unless some are given."""
        statement = select(Evaluation).join(Trial).where(Trial.study_id == study)
        return self._session.scalars(
            statement.where(Evaluation.fidelity.in_(fidelities)) if fidelities else statement
        ).all()

    def measurements(self, study: int) -> Sequence[MeasurementRow]:
        """What was measured of the study's trials, the oldest first; without samples."""
        return self._session.scalars(
            select(MeasurementRow)
            .where(MeasurementRow.study_id == study, MeasurementRow.trial_id.is_not(None))
            .order_by(MeasurementRow.id)
        ).all()

    def add_finalist(self, finalist: Finalist) -> None:
        self._session.add(finalist)

    def finalist(self, trial: int) -> Finalist:
        return self._session.get_one(Finalist, trial)

    def finalists(self, study: int) -> Sequence[Finalist]:
        """The study's finalists by the number of their trial."""
        statement = select(Finalist).join(Trial).where(Trial.study_id == study).order_by(Trial.number)
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
