"""Calibrations in the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import and_, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, undefer

from service.store.tables import CalibrationRow


class CalibrationRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, row: CalibrationRow) -> bool:
        """Whether it was added: False where it is there already, also by a transaction that runs at the same time."""
        if self.find(row.id) is not None:
            return False
        try:
            with self._session.begin_nested():
                self._session.add(row)
        except IntegrityError:
            return False
        return True

    def find(self, identity: str) -> CalibrationRow | None:
        return self._session.get(CalibrationRow, identity)

    def hardware(self) -> set[str]:
        """The hardware keys that calibrations are of."""
        return set(self._session.scalars(select(CalibrationRow.hardware_key).distinct()))

    def on(self, hardware_keys: Collection[str]) -> Sequence[CalibrationRow]:
        """Every calibration of such hardware, the newest first."""
        return self._session.scalars(
            select(CalibrationRow)
            .where(CalibrationRow.hardware_key.in_(hardware_keys))
            .options(undefer(CalibrationRow.record))
            .order_by(CalibrationRow.measured_at.desc(), CalibrationRow.id)
        ).all()

    def page(self, after: tuple[datetime, str] | None, limit: int) -> Sequence[CalibrationRow]:
        """The newest; those that follow on the one with this (measured_at, id)."""
        statement = (
            select(CalibrationRow)
            .options(undefer(CalibrationRow.record))
            .order_by(CalibrationRow.measured_at.desc(), CalibrationRow.id)
            .limit(limit)
        )
        if after is not None:
            measured_at, identity = after
            same = and_(CalibrationRow.measured_at == measured_at, CalibrationRow.id > identity)
            statement = statement.where(or_(CalibrationRow.measured_at < measured_at, same))
        return self._session.scalars(statement).all()

    def of(self, profile_key: str, hardware_key: str | None = None) -> Sequence[CalibrationRow]:
        """Those of a device profile, the newest first; of one machine, or of all. Their records are read when they
        are looked at.
        """
        statement = select(CalibrationRow).where(CalibrationRow.profile_key == profile_key)
        if hardware_key is not None:
            statement = statement.where(CalibrationRow.hardware_key == hardware_key)
        return self._session.scalars(statement.order_by(CalibrationRow.measured_at.desc(), CalibrationRow.id)).all()
