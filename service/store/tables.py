"""What is stored: one class per table, one attribute per column.

Rows are changed by assigning attributes inside a unit of work. JSON columns hold frozen values: they are replaced,
never changed in place.
"""

from __future__ import annotations

import enum
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, MetaData, String, UniqueConstraint
from sqlalchemy import Table as RelationalTable
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

from distillation.values import Fidelity
from hardware.values import Measurement, QuantileName
from protocol.calibration import CalibrationRecord, PredictedLatency
from protocol.early_stop import EarlyStop
from protocol.events import EventKind, Topic
from protocol.jobs import (
    AttemptEnd,
    CurvePoint,
    FailureReason,
    FinalizeWork,
    JobKind,
    JobState,
    MeasureWork,
    Prepared,
    Progress,
    Score,
    Work,
)
from protocol.study import StudySpec
from protocol.suggestion import SuggestionRecord
from protocol.targets import AnyTarget
from protocol.tokens import Scope
from protocol.views import FinalistState, StudyState, TrialState
from search_space import Architecture
from service.store.columns import ClosedSet, Frozen, Identity, Instant, Json, Words

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Table(MappedAsDataclass, DeclarativeBase, kw_only=True):
    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {enum.Enum: ClosedSet, datetime: Instant, str: Words}  # noqa: RUF012


def core_table(kind: type[Table]) -> RelationalTable:
    """For statements that are made without the ORM."""
    return kind.metadata.tables[kind.__tablename__]


class Study(Table):
    """`suggester*` is the lease of whoever is choosing trials for the study; the attempt fences it."""

    __tablename__ = "studies"

    id: Mapped[int] = mapped_column(Identity, primary_key=True, init=False)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    spec: Mapped[StudySpec] = mapped_column(Frozen(StudySpec))
    state: Mapped[StudyState] = mapped_column(index=True)
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    prepared: Mapped[Prepared | None] = mapped_column(Frozen(Prepared), default=None)
    reference: Mapped[dict[str, float] | None] = mapped_column(Json(dict[str, float]), default=None)
    """The hypervolume's reference point, inferred once."""
    hardware_key: Mapped[str | None] = mapped_column(String(64), default=None)
    """Of the hardware that all its latencies are from: that which measured its references."""
    notes: Mapped[tuple[str, ...]] = mapped_column(Json(tuple[str, ...]), default=())
    error: Mapped[str | None] = mapped_column(default=None)
    failure: Mapped[FailureReason | None] = mapped_column(default=None)
    priority: Mapped[int] = mapped_column(default=0)
    """Its spec's, to be sorted by."""
    suggester: Mapped[str | None] = mapped_column(default=None)
    suggester_attempt: Mapped[int] = mapped_column(default=0)
    suggester_expires_at: Mapped[datetime | None] = mapped_column(default=None)
    suggestions: Mapped[int] = mapped_column(default=0)
    """How often its strategy was asked, and `suggesting_s` how long that took altogether."""
    suggesting_s: Mapped[float] = mapped_column(default=0.0)
    stopped_from: Mapped[StudyState | None] = mapped_column(default=None)
    """The state to which a stopped study returns."""
    stopped_at: Mapped[datetime | None] = mapped_column(default=None)


class Trial(Table):
    """`variances` are of the metrics' observation noise; `predicted` is what the strategy expected, and
    `predicted_latency` what a calibration of the target said.
    """

    __tablename__ = "trials"
    __table_args__ = (
        UniqueConstraint("study_id", "number"),
        UniqueConstraint("study_id", "architecture_key"),
        Index(None, "study_id", "state"),
    )

    id: Mapped[int] = mapped_column(Identity, primary_key=True, init=False)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    number: Mapped[int]
    state: Mapped[TrialState]
    architecture: Mapped[Architecture] = mapped_column(Json(Architecture))
    architecture_key: Mapped[str] = mapped_column(String(16))
    origin: Mapped[str]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    metrics: Mapped[dict[str, float]] = mapped_column(Json(dict[str, float]), default_factory=dict)
    variances: Mapped[dict[str, float]] = mapped_column(Json(dict[str, float]), default_factory=dict)
    predicted: Mapped[dict[str, float]] = mapped_column(Json(dict[str, float]), default_factory=dict)
    predicted_latency: Mapped[PredictedLatency | None] = mapped_column(Json(PredictedLatency), default=None)
    reason: Mapped[str | None] = mapped_column(default=None)
    suggestion: Mapped[SuggestionRecord | None] = mapped_column(Json(SuggestionRecord), default=None)
    """Why it was suggested; None of a baseline."""
    early_stop: Mapped[EarlyStop | None] = mapped_column(Json(EarlyStop), default=None)
    """The decision to stop it, once there is one; see `service.operations.early_stopping`."""


class Finalist(Table):
    """A trial of the front that is distilled in full."""

    __tablename__ = "finalists"

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id"), primary_key=True)
    state: Mapped[FinalistState]
    export: Mapped[str | None] = mapped_column(String(64), default=None)
    error: Mapped[str | None] = mapped_column(default=None)
    failure: Mapped[FailureReason | None] = mapped_column(default=None)


class Job(Table):
    """`attempt` fences writes, +1 at every grant; `released` of them were given back and count for nothing.

    `target` is what its machine must be able to measure, the text of a `Need`, and `hardware_key` on which hardware, if
    any: all queued jobs of one kind and study need the same. `reported_attempt` and `reported_digest` are of the last
    report that was accepted, so that a repeated one is known. `failures` attempts broke: it waits behind those of its
    study that have fewer.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "state", "id"),
        Index(None, "study_id", "state", "kind", "failures", "id"),
        Index(None, "trial_id"),
        # SQLite gives no number twice, also after a study was deleted: a late report must not meet another job.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Identity, primary_key=True, init=False)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    trial_id: Mapped[int | None] = mapped_column(ForeignKey("trials.id"))
    kind: Mapped[JobKind]
    target: Mapped[str | None] = mapped_column(String(64))
    hardware_key: Mapped[str | None] = mapped_column(String(64))
    work: Mapped[Work] = mapped_column(Json(Work))
    created_at: Mapped[datetime]
    state: Mapped[JobState] = mapped_column(default=JobState.QUEUED)
    attempt: Mapped[int] = mapped_column(default=0)
    released: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(default=None)
    leased_at: Mapped[datetime | None] = mapped_column(default=None)
    expires_at: Mapped[datetime | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    progress: Mapped[Progress | None] = mapped_column(Json(Progress), default=None)
    checkpoint: Mapped[str | None] = mapped_column(String(64), default=None)
    curve: Mapped[tuple[CurvePoint, ...] | None] = mapped_column(Json(tuple[CurvePoint, ...]), default=None)
    """The learning curve so far, of all attempts."""
    error: Mapped[str | None] = mapped_column(default=None)
    reported_attempt: Mapped[int | None] = mapped_column(default=None)
    reported_digest: Mapped[str | None] = mapped_column(String(64), default=None)
    renewal: Mapped[int] = mapped_column(default=0)
    """The number of this attempt's newest renewal."""
    stale_writes: Mapped[int] = mapped_column(default=0)
    """How many were refused."""

    @property
    def is_of_finalist(self) -> bool:
        """Whether it finalizes a trial that has ended, or measures what was exported of one."""
        return is_of_finalist(self.work)


def is_of_finalist(work: Work) -> bool:
    """Whether this is done for a finalist."""
    return isinstance(work, FinalizeWork) or (isinstance(work, MeasureWork) and work.checkpoint is not None)


class Attempt(Table):
    """One lease of a job, from its grant to its end; `seconds` long, once it has ended.

    `request` is the worker's name of what it was granted for: asked again, it gets the same job.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("request"),
        Index(None, "study_id", "kind", "worker"),
        Index(None, "study_id", "ended_at"),
    )

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    kind: Mapped[JobKind]
    worker: Mapped[str]
    leased_at: Mapped[datetime]
    request: Mapped[str | None] = mapped_column(String(64), default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    seconds: Mapped[float | None] = mapped_column(default=None)
    reason: Mapped[AttemptEnd | None] = mapped_column(default=None)
    message: Mapped[str | None] = mapped_column(default=None)


class StaleWrite(Table):
    """A write that was refused because its attempt had lost the job, with what it said; `state` was the job's."""

    __tablename__ = "stale_writes"
    __table_args__ = (Index(None, "job_id", "id"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True, init=False)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    attempt: Mapped[int] = mapped_column(BigInteger)
    call: Mapped[str] = mapped_column(String(16))
    worker: Mapped[str | None]
    """Whose attempt it was; None of one that was never granted."""
    state: Mapped[JobState]
    job_attempt: Mapped[int]
    said: Mapped[str]
    received_at: Mapped[datetime]


class Evaluation(Table):
    """A trial's quality at one fidelity."""

    __tablename__ = "evaluations"

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id"), primary_key=True)
    fidelity: Mapped[Fidelity] = mapped_column(primary_key=True)
    selection: Mapped[Score] = mapped_column(Json(Score))
    report: Mapped[Score | None] = mapped_column(Json(Score))
    curve: Mapped[tuple[CurvePoint, ...]] = mapped_column(Json(tuple[CurvePoint, ...]))
    steps: Mapped[int]
    seconds: Mapped[float]
    weights: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]


class MeasurementRole(StrEnum):
    REFERENCE = "reference"
    """Of the study: the teacher, the smallest, the largest architecture."""
    TRIAL = "trial"
    EXPORT = "export"
    """Of a finalist's exported artefact."""


class MeasurementRow(Table):
    """One measurement; `samples_s` is kept apart from the rest, which is read far more often."""

    __tablename__ = "measurements"
    __table_args__ = (Index(None, "study_id", "role"), Index(None, "trial_id"))

    id: Mapped[int] = mapped_column(Identity, primary_key=True, init=False)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    trial_id: Mapped[int | None] = mapped_column(ForeignKey("trials.id"))
    role: Mapped[MeasurementRole]
    name: Mapped[str | None] = mapped_column(String(64))
    """Which reference it is."""
    measurement: Mapped[Measurement] = mapped_column(Json(Measurement))
    """Without its samples."""
    samples: Mapped[int]
    samples_s: Mapped[list[list[float]]] = mapped_column(Json(list[list[float]]), deferred=True)
    created_at: Mapped[datetime]


class CalibrationRow(Table):
    """One calibration; `profile_key`, `hardware_key` and `quantile` are the record's own, to be found by."""

    __tablename__ = "calibrations"
    __table_args__ = (Index(None, "profile_key", "measured_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    profile_key: Mapped[str] = mapped_column(String(64))
    hardware_key: Mapped[str] = mapped_column(String(64))
    quantile: Mapped[QuantileName]
    measured_at: Mapped[datetime]
    record: Mapped[CalibrationRecord] = mapped_column(Frozen(CalibrationRecord), deferred=True)
    created_at: Mapped[datetime]


class ArtefactRow(Table):
    """An artefact whose file was verified; the row is written after the file.

    `touched_at` is when somebody last sent it, asked for it in order to name it, or named it, to the minute: it stays
    for a while after that. `examined` says that its parts are known, if it is a folder.
    """

    __tablename__ = "artefacts"
    __table_args__ = (Index(None, "touched_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    touched_at: Mapped[datetime]
    examined: Mapped[bool] = mapped_column(default=False)


class ArtefactPart(Table):
    """A file of a folder: it stays as long as the folder does, which the database itself sees to."""

    __tablename__ = "artefact_parts"
    __table_args__ = (Index(None, "file_id"),)

    folder_id: Mapped[str] = mapped_column(ForeignKey("artefacts.id", ondelete="CASCADE"), primary_key=True)
    file_id: Mapped[str] = mapped_column(ForeignKey("artefacts.id"), primary_key=True)


class Duty(Table):
    """What one process of the service does at a time; whoever holds it says so until `expires_at`."""

    __tablename__ = "duties"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    holder: Mapped[str]
    expires_at: Mapped[datetime]


class Worker(Table):
    """Who asked for jobs, and what it said that it can do."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    kinds: Mapped[tuple[JobKind, ...]] = mapped_column(Json(tuple[JobKind, ...]))
    targets: Mapped[tuple[AnyTarget, ...]] = mapped_column(Json(tuple[AnyTarget, ...]))
    seen_at: Mapped[datetime]


class ReadingRow(Table):
    """How long the reference architecture took on a worker's machine, once."""

    __tablename__ = "readings"
    __table_args__ = (Index(None, "hardware_key", "target"), Index(None, "worker"))

    id: Mapped[int] = mapped_column(Identity, primary_key=True, init=False)
    worker: Mapped[str]
    hardware_key: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(64))
    p50_s: Mapped[float]
    disturbed: Mapped[bool]
    tolerance: Mapped[float]
    measured_at: Mapped[datetime]


class TokenRow(Table):
    """An access token, or with a `parent` the session that somebody opened in a browser with that token.

    `digest` is the SHA-256 of the whole token. No slow hash with a salt: that makes guessing passwords dear, and here
    256 random bits are to be guessed; it would only make every request slow.
    """

    __tablename__ = "tokens"
    __table_args__ = (Index(None, "parent"),)

    id: Mapped[str] = mapped_column(String(8), primary_key=True)
    name: Mapped[str]
    scope: Mapped[Scope]
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None] = mapped_column(default=None)
    last_used_at: Mapped[datetime | None] = mapped_column(default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)
    parent: Mapped[str | None] = mapped_column(String(8), default=None)
    """No foreign key: a backup is restored in the order of the ids, which are random."""


class EventRow(Table):
    """Something that changed; written by the transaction that changed it.

    `number` is given to what was committed, in one transaction after the other: whoever has seen a number has seen all
    below it. `id` cannot serve for that, as transactions do not end in the order in which they began.
    """

    __tablename__ = "events"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Identity, primary_key=True, init=False)
    number: Mapped[int | None] = mapped_column(BigInteger, index=True, unique=True)
    topic: Mapped[Topic]
    kind: Mapped[EventKind]
    study: Mapped[str | None] = mapped_column(String(64))
    """Its name: it may have been deleted since."""
    trial: Mapped[int | None]
    created_at: Mapped[datetime]


class IdempotencyRow(Table):
    """An answer that is given again to whoever sends the same request with the same key."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    """Of the request."""
    status: Mapped[int]
    answer: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(index=True)
