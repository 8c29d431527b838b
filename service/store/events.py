"""Events: written by the transactions that change something, numbered once they are committed, and read in order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Insert,
    Integer,
    Select,
    String,
    bindparam,
    delete,
    event,
    func,
    inspect,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session

from protocol.events import Event, EventData, EventKind, Topic
from protocol.jobs import JobState
from service.store.tables import EventRow, Finalist, Job, Study, Trial, core_table

MOST_KEPT = 100_000
"""Events that can still be resumed after."""

MOST_NUMBERED = 1_000
"""Events that one transaction numbers."""

_LOCK = 7_165_209_022
"""Key of the PostgreSQL advisory lock of whoever numbers events; the number means nothing."""

AT_ONCE = 8
"""Events in one statement."""

NOW = "stillhouse_now"
"""Where in its `info` a session has what answers the instant of its transaction."""

_NOTED = "stillhouse_noted"
_EVENTS = core_table(EventRow)
_PLAIN = ("topic", "kind", "trial", "created_at")
_ORDER = list(EventKind)


@dataclass(frozen=True, slots=True)
class _Subject:
    topic: Topic
    study: int | str | None
    """Its number, or where it is deleted its name."""
    trial: int | None = None


class RecordingSession(Session):
    """A session that writes down, in its own transaction, what it changes of studies and trials."""


class EventRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def note(self, topic: Topic, kind: EventKind, study: int | str | None = None, trial: int | None = None) -> None:
        """Tells of something that is not seen in the rows that the transaction changes."""
        _note(self._session, _Subject(topic, study, trial), kind)

    def leased(self, study: int, trial: int | None) -> None:
        """Tells of a job that was leased: that is one statement, of which the session sees nothing."""
        self.note(Topic.STUDY if trial is None else Topic.TRIAL, EventKind.JOB, study, trial)
        self.note(Topic.WORKER, EventKind.JOB)

    def ended(self, study: int, trial: int | None) -> None:
        """Tells of a trial that ended with its job, of which the session sees nothing."""
        self.note(Topic.TRIAL, EventKind.STATE, study, trial)

    def progressed(self, study: int, trial: int | None) -> None:
        """Tells of a job that is getting on, of which the session sees nothing either."""
        self.note(Topic.STUDY if trial is None else Topic.TRIAL, EventKind.PROGRESS, study, trial)

    def after(self, number: int, limit: int, study: str | None = None) -> list[Event]:
        """The numbered events after this number, the oldest first; of one study, or of all."""
        statement = select(EventRow).where(EventRow.number > number).order_by(EventRow.number).limit(limit)
        if study is not None:
            statement = statement.where(EventRow.study == study)
        return [_event(row) for row in self._session.scalars(statement)]

    def newest(self) -> int:
        """The largest number that was given; 0 before the first."""
        return self._session.scalar(select(func.max(EventRow.number))) or 0

    def oldest(self) -> int:
        """The smallest number that is kept; 0 where there is none."""
        return self._session.scalar(select(func.min(EventRow.number))) or 0

    def waiting(self) -> bool:
        """Whether there are committed events without a number."""
        statement = select(EventRow.id).where(EventRow.number.is_(None)).limit(1)
        return self._session.scalar(statement) is not None

    def number(self) -> int:
        """Gives the next numbers to what was committed without; how many. In a transaction of its own.

        One process does it at a time, so numbers become visible in order. Another one finds nothing to do meanwhile.
        """
        if not self._is_alone():
            return 0
        waiting = select(EventRow.id).where(EventRow.number.is_(None)).order_by(EventRow.id).limit(MOST_NUMBERED)
        rows = self._session.scalars(waiting).all()
        first = self.newest() + 1
        if rows:
            numbers = [{"id": identity, "number": first + place} for place, identity in enumerate(rows)]
            self._session.execute(update(EventRow), numbers)
            self._session.execute(delete(EventRow).where(EventRow.number < first + len(rows) - MOST_KEPT))
        return len(rows)

    def _is_alone(self) -> bool:
        """On SQLite every transaction that writes is."""
        if self._session.get_bind().dialect.name != "postgresql":
            return True
        return bool(self._session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))))

    def prune(self, before: datetime) -> None:
        """Forgets what is older, but for the newest; what was never numbered is first, so that its want is noticed."""
        while self.number():
            pass
        old = (EventRow.created_at < before, EventRow.number < self.newest())
        self._session.execute(delete(EventRow).where(*old))


def _note(session: Session, subject: _Subject, kind: EventKind) -> None:
    noted: dict[_Subject, EventKind] = session.info.setdefault(_NOTED, {})
    known = noted.get(subject)
    if known is None or _ORDER.index(kind) < _ORDER.index(known):
        noted[subject] = kind


@event.listens_for(RecordingSession, "before_flush")
def _look(session: Session, _context: object, _instances: object) -> None:
    for row in session.new:
        if isinstance(row, Trial):
            _note(session, _Subject(Topic.TRIAL, row.study_id, row.number), EventKind.CREATED)
        elif isinstance(row, Finalist):
            _note_trial(session, row.trial_id, EventKind.FINALIST)
    for row in session.dirty:
        changed = inspect(row).committed_state
        if isinstance(row, Study):
            _note(session, _Subject(Topic.STUDY, row.id), _kind(changed))
        elif isinstance(row, Trial):
            _note(session, _Subject(Topic.TRIAL, row.study_id, row.number), _kind(changed))
        elif isinstance(row, Finalist):
            _note_trial(session, row.trial_id, EventKind.FINALIST)
        elif isinstance(row, Job):
            _look_at_job(session, row, changed)


@event.listens_for(RecordingSession, "after_flush")
def _look_again(session: Session, _context: object) -> None:
    for row in session.new:
        if isinstance(row, Study):  # has its number from now on
            _note(session, _Subject(Topic.STUDY, row.id), EventKind.CREATED)


@event.listens_for(RecordingSession, "before_commit")
def _write(session: Session) -> None:
    if session.in_nested_transaction():
        return
    session.flush()
    noted: dict[_Subject, EventKind] = session.info.pop(_NOTED, {})
    if not noted:
        return
    now: datetime = session.info[NOW]()
    rows = [
        {"topic": one.topic, "kind": kind, **_study(one.study), "trial": one.trial, "created_at": now}
        for one, kind in noted.items()
    ]
    for some in (rows[first : first + AT_ONCE] for first in range(0, len(rows), AT_ONCE)):
        values = {f"{name}_{place}": value for place, row in enumerate(some) for name, value in row.items()}
        session.connection().execute(_insertion(len(some)), values)


@lru_cache(maxsize=AT_ONCE)
def _insertion(count: int) -> Insert:
    """Of so many events. Always the same, and no list of values, so that it is compiled once: every transaction of a
    worker writes events.
    """
    rows = union_all(*(_row(place) for place in range(count)))
    return _EVENTS.insert().from_select([*_PLAIN, "study"], rows, include_defaults=False)


def _row(place: int) -> Select[*tuple[Any, ...]]:
    plain = [bindparam(f"{name}_{place}", type_=_EVENTS.c[name].type).label(name) for name in _PLAIN]
    identity = bindparam(f"identity_{place}", type_=Integer)
    found = select(Study.name).where(Study.id == identity).scalar_subquery()
    return select(*plain, func.coalesce(bindparam(f"name_{place}", type_=String), found).label("study"))


def _kind(changed: dict[str, Any]) -> EventKind:
    return EventKind.STATE if "state" in changed else EventKind.CHANGED


def _look_at_job(session: Session, job: Job, changed: dict[str, Any]) -> None:
    is_news = "progress" in changed and changed["progress"] != job.progress
    if "state" in changed and changed["state"] is not job.state:
        kind = EventKind.JOB
    elif is_news or "curve" in changed or "checkpoint" in changed:
        kind = EventKind.PROGRESS
    else:
        return
    if job.trial_id is None:
        _note(session, _Subject(Topic.STUDY, job.study_id), kind)
    else:
        _note_trial(session, job.trial_id, kind)
    if kind is EventKind.JOB and changed["state"] is JobState.LEASED:
        _note(session, _Subject(Topic.WORKER, None), kind)


def _note_trial(session: Session, identity: int, kind: EventKind) -> None:
    with session.no_autoflush:
        trial = session.get_one(Trial, identity)
    _note(session, _Subject(Topic.TRIAL, trial.study_id, trial.number), kind)


def _study(study: int | str | None) -> dict[str, Any]:
    return {"identity": study, "name": None} if isinstance(study, int) else {"identity": None, "name": study}


def _event(row: EventRow) -> Event:
    data = EventData(study=row.study, trial=row.trial, kind=row.kind)
    return Event(number=row.number or 0, topic=row.topic, data=data)
