"""Reports of distillations in the database. No outcome comes as often, so that what it reads and writes is no object:
the columns that it asks for, in statements that are made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import JSON, Connection, bindparam, select, type_coerce, update
from sqlalchemy.orm import Session

from distillation.values import Fidelity
from protocol.jobs import Distilled, JobKind, JobState
from protocol.views import TrialState
from service.store.tables import Evaluation, Job, Study, Trial, core_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilling:
    """A locked job of a locked study, as far as the outcome of a distillation asks: far less than there is of it.

    `digest` and `reference` are its study's; `trial` is its trial's number and `trial_id` its row. Of another kind of
    job there may be no trial, and no fidelity.
    """

    id: int
    attempt: int
    kind: JobKind
    state: JobState
    leased_at: datetime | None
    reported_attempt: int | None
    reported_digest: str | None
    fidelity: Fidelity | None
    study_id: int
    digest: str
    reference: dict[str, float] | None
    trial_id: int | None
    trial: int | None
    metrics: dict[str, float] | None
    variances: dict[str, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a trial ends; `variances` are of the metrics' observation noise."""

    state: TrialState
    metrics: dict[str, float]
    variances: dict[str, float]
    reason: str | None


class ReportRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def _connection(self) -> Connection:
        return self._session.connection()

    def lock(self, identity: int) -> Distilling | None:
        """The job behind its study, the order in which all lock them; None where there is no such job.

        What is read of the job and its trial is read when the study is this transaction's.
        """
        study = self._connection.execute(_STUDY_OF, {"job": identity}).one_or_none()
        job = None if study is None else self._connection.execute(_JOB, {"identity": identity}).one_or_none()
        return None if study is None or job is None else Distilling(**study._mapping, **job._mapping)

    def end(self, job: Distilling, attempt: int, digest: str, now: datetime) -> None:
        """The job is done, by this report of this attempt."""
        self._connection.execute(_DONE, {"identity": job.id, "told": attempt, "sum": digest, "now": now})

    def distilled(self, job: Distilling, outcome: Distilled, ended: Ended, now: datetime) -> None:
        """The job's trial ends by what its distillation found out."""
        evaluation = {
            "trial_id": job.trial_id,
            "fidelity": job.fidelity,
            "selection": outcome.selection,
            "report": None,
            "curve": outcome.curve,
            "steps": outcome.steps,
            "seconds": outcome.seconds,
            "weights": outcome.weights,
            "created_at": now,
        }
        self._connection.execute(_EVALUATED, evaluation)
        values = {
            "identity": job.trial_id,
            "into": ended.state,
            "found": ended.metrics,
            "noise": ended.variances,
            "why": ended.reason,
            "now": now,
        }
        self._connection.execute(_ENDED, values)

    def refer(self, study: int, reference: dict[str, float]) -> None:
        """From now on the study's hypervolume is counted from here."""
        self._connection.execute(_REFER, {"identity": study, "point": reference})


_JOBS, _TRIALS, _STUDIES, _EVALUATIONS = (core_table(each) for each in (Job, Trial, Study, Evaluation))

_STUDY_OF = (
    select(_STUDIES.c.id.label("study_id"), _STUDIES.c.digest, _STUDIES.c.reference)
    .where(_STUDIES.c.id == select(_JOBS.c.study_id).where(_JOBS.c.id == bindparam("job")).scalar_subquery())
    .with_for_update(key_share=True)
)
_JOB = (
    select(
        _JOBS.c.id,
        _JOBS.c.attempt,
        _JOBS.c.kind,
        _JOBS.c.state,
        _JOBS.c.leased_at,
        _JOBS.c.reported_attempt,
        _JOBS.c.reported_digest,
        type_coerce(type_coerce(_JOBS.c.work, JSON)["fidelity"].as_string(), _EVALUATIONS.c.fidelity.type).label(
            "fidelity"
        ),
        _JOBS.c.trial_id,
        _TRIALS.c.number.label("trial"),
        _TRIALS.c.metrics,
        _TRIALS.c.variances,
    )
    .select_from(_JOBS.outerjoin(_TRIALS, _TRIALS.c.id == _JOBS.c.trial_id))
    .where(_JOBS.c.id == bindparam("identity"))
    .with_for_update(of=_JOBS)
)
_DONE = (
    update(_JOBS)
    .where(_JOBS.c.id == bindparam("identity"))
    .values(
        state=JobState.DONE,
        ended_at=bindparam("now"),
        expires_at=None,
        reported_attempt=bindparam("told"),
        reported_digest=bindparam("sum"),
    )
)
_EVALUATED = _EVALUATIONS.insert()
_ENDED = (
    update(_TRIALS)
    .where(_TRIALS.c.id == bindparam("identity"))
    .values(
        state=bindparam("into"),
        metrics=bindparam("found"),
        variances=bindparam("noise"),
        reason=bindparam("why"),
        ended_at=bindparam("now"),
    )
)
_REFER = update(_STUDIES).where(_STUDIES.c.id == bindparam("identity")).values(reference=bindparam("point"))
