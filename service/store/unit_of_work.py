"""One transaction, and the repositories that work in it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from service.clock import Clock, utc_now
from service.errors import StorageFullError, StoreUnavailableError
from service.store.artefacts import ArtefactRepository
from service.store.attempts import AttemptRepository
from service.store.calibrations import CalibrationRepository
from service.store.duties import DutyRepository
from service.store.engine import BUSY_TIMEOUT_S, database_name, first_line, open_engine, reading, writing
from service.store.events import NOW, EventRepository, RecordingSession
from service.store.idempotency import IdempotencyRepository
from service.store.jobs import JobRepository
from service.store.monitoring import MonitoringRepository
from service.store.reports import ReportRepository
from service.store.studies import StudyRepository
from service.store.tokens import TokenRepository
from service.store.trials import TrialRepository
from service.store.workers import WorkerRepository

Value = TypeVar("Value")

MOST_REMEMBERED = 1_000
"""Things that the units of work of a store remember; then they begin anew."""

_NOTHING = object()


class UnitOfWork:
    """What one transaction may do. It is committed or rolled back by the store that made it, never from inside."""

    def __init__(
        self,
        session: Session,
        clock: Clock,
        unanswered_at: datetime | None = None,
        memory: dict[Hashable, Any] | None = None,
    ) -> None:
        self._session = session
        self._clock = clock
        self._memory = {} if memory is None else memory
        self.unanswered_at = unanswered_at
        """When the database last left somebody without an answer; None if never, as far as this process knows."""
        self.studies = StudyRepository(session)
        self.trials = TrialRepository(session)
        self.jobs = JobRepository(session)
        self.attempts = AttemptRepository(session)
        self.reports = ReportRepository(session)
        self.workers = WorkerRepository(session)
        self.artefacts = ArtefactRepository(session)
        self.calibrations = CalibrationRepository(session)
        self.tokens = TokenRepository(session)
        self.duties = DutyRepository(session)
        self.monitoring = MonitoringRepository(session)
        self.events = EventRepository(session)
        self.idempotency = IdempotencyRepository(session)

    @cached_property
    def now(self) -> datetime:
        """The instant of this transaction: all of it happens at once."""
        return self._clock()

    def remembered(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What was made for this key before, in this process, or is now: the key must say all that it depends on."""
        found = self._memory.get(key, _NOTHING)
        if found is _NOTHING:
            found = make()
            if len(self._memory) >= MOST_REMEMBERED:
                self._memory.clear()
            self._memory[key] = found
        value: Value = found
        return value

    def flush(self) -> None:
        """Sends what was changed so far, so that the next query sees it."""
        self._session.flush()


class Store:
    """The database behind the service; may be used from several threads.

    Raises:
        StoreUnavailableError: from any unit of work, when the database does not answer or is busy for too long.
    """

    def __init__(self, database_url: str, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._database = database_name(database_url)
        self._unanswered_at: datetime | None = None
        self._memory: dict[Hashable, Any] = {}
        self._engine = open_engine(database_url)
        self._reading = reading(self._engine)
        self._writing = writing(self._engine)
        # SQLite has one writer, and whoever finds it busy sleeps before it looks again: threads take turns here.
        self._turn = Lock() if self._engine.dialect.name == "sqlite" else None

    @property
    def has_one_writer(self) -> bool:
        """Whether one transaction writes at a time."""
        return self._turn is not None

    @contextmanager
    def read(self) -> Iterator[UnitOfWork]:
        """A unit of work that only reads, and never waits for a writer. Takes a connection when it is first used."""
        with self._translated(), Session(self._reading, expire_on_commit=False, autoflush=False) as session:
            yield UnitOfWork(session, self._clock, self._unanswered_at, self._memory)

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        """A unit of work that is committed at its end, or not at all if the block raises."""
        session = RecordingSession(self._writing, expire_on_commit=False)
        with self._translated(), self._in_turn(), session, session.begin():
            uow = UnitOfWork(session, self._clock, self._unanswered_at, self._memory)
            session.info[NOW] = lambda: uow.now
            yield uow

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=BUSY_TIMEOUT_S):
            raise StoreUnavailableError("the database did not answer: too many want to write")
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with _translated(self._database):
                yield
        except StoreUnavailableError:
            self._unanswered_at = self._clock()
            raise


_FULL = ("disk is full", "no space left")
"""How SQLite and PostgreSQL say it."""


@contextmanager
def _translated(database: str) -> Iterator[None]:
    try:
        yield
    except (OperationalError, PoolTimeoutError) as error:
        full = next((cause for cause in _causes(error) if any(words in str(cause).lower() for words in _FULL)), None)
        if full is not None:
            raise StorageFullError(f"{database} cannot grow: {first_line(full)}; make room") from error
        raise StoreUnavailableError(f"the database did not answer: {first_line(error)}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnavailableError(f"the database closed the connection: {first_line(error)}") from error
        raise


def _causes(error: BaseException | None) -> Iterator[Exception]:
    """The error and what it came of: on a full disk SQLite ends the whole transaction, with its savepoints."""
    while isinstance(error, Exception):
        yield error
        error = error.__cause__ or error.__context__
