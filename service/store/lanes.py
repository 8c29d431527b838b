"""The order in which jobs are given out: whose turn it is, lane by lane."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    Subquery,
    bindparam,
    exists,
    func,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import aliased

from protocol.jobs import JobKind, JobState
from protocol.targets import Need, Target
from protocol.views import StudyState
from service.store.tables import Job, Study

ACTIVE = (StudyState.PREPARING, StudyState.CALIBRATING, StudyState.SEARCHING, StudyState.FINALIZING)
"""The states of a study in which its jobs are given out."""

MOST_COUNTED = 100
"""So many jobs of a lane are told from none; how many more there are changes nothing for those who wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The queued jobs of one kind of one study: they need the same of their machine."""

    study_id: int
    kind: JobKind
    target: str | None
    hardware_key: str | None

    def suits(self, kinds: Collection[JobKind], targets: Collection[Target]) -> bool:
        """Whether somebody who can do these kinds, and measure these targets, could take such a job."""
        return self.kind in kinds and (
            self.target is None or serves(targets, Need.parse(self.target), self.hardware_key)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Where jobs wait, the lane whose turn it is first; and whether leases have ended that nobody swept."""

    lanes: list[Lane]
    is_overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A lane, and how many jobs wait in it: `MOST_COUNTED` are that many or more."""

    lane: Lane
    count: int


def serves(targets: Collection[Target], need: Need, hardware_key: str | None) -> bool:
    """Whether one of the targets is what is needed, on this hardware if one is named."""
    return any(target.serves(need, hardware_key) for target in targets)


ONE = literal_column("1", Integer)
"""As a limit; see `fixed`."""


def fixed(word: StrEnum) -> ColumnElement[str]:
    """A word of a closed set in the text of a statement that is asked all the time.

    As a parameter it would cost a plan each time: PostgreSQL keeps a plan only if that suits any value, and there are
    far more jobs that have ended than jobs that wait.
    """
    return literal_column(f"'{word}'", String)


@lru_cache(maxsize=64)
def lanes_of(kinds: tuple[JobKind, ...], *, of_one: bool) -> Select[*tuple[Any, ...]]:
    """The lanes of these kinds in order; of one study, the parameter `study`, or of all."""
    lanes = _placed(kinds, of_one=of_one)
    return select(lanes.c.study_id, lanes.c.kind, lanes.c.target, lanes.c.hardware_key).order_by(lanes.c.place)


@lru_cache(maxsize=64)
def queue_of(kinds: tuple[JobKind, ...], *, of_one: bool) -> Select[*tuple[Any, ...]]:
    """The same, behind whether a lease has ended at the parameter `now`: one row without a lane where there is none."""
    ended = exists().where(Job.state == fixed(JobState.LEASED), Job.expires_at <= bindparam("now"))
    overdue, lanes = select(ended.label("overdue")).subquery(), _placed(kinds, of_one=of_one)
    return (
        select(overdue.c.overdue, lanes.c.study_id, lanes.c.kind, lanes.c.target, lanes.c.hardware_key)
        .select_from(overdue.outerjoin(lanes, true()))
        .order_by(lanes.c.place)
    )


def _placed(kinds: tuple[JobKind, ...], *, of_one: bool) -> Subquery:
    """Each lane with its place in the order."""
    heads = _heads(kinds, of_one=of_one)
    head, busy = aliased(Job), _busy()
    leased = func.coalesce(busy.c.leased, 0)
    turn = (Study.priority.desc(), leased, Study.created_at, Study.id, head.failures, head.id)
    return (
        select(
            head.study_id,
            head.kind,
            head.target,
            head.hardware_key,
            func.row_number().over(order_by=turn).label("place"),
        )
        .join(heads, heads.c.job == head.id)
        .join(Study, Study.id == head.study_id)
        .outerjoin(busy, busy.c.study_id == head.study_id)
        .subquery()
    )


def _heads(kinds: tuple[JobKind, ...], *, of_one: bool) -> Subquery:
    """The first job of each lane."""
    named = union_all(*(select(fixed(kind).label("kind")) for kind in kinds)).subquery()
    first = aliased(Job)
    job = (
        select(first.id)
        .where(first.study_id == Study.id, first.state == fixed(JobState.QUEUED), first.kind == named.c.kind)
        .order_by(first.failures, first.id)
        .limit(ONE)
        .correlate(Study, named)
        .scalar_subquery()
    )
    wanted: ColumnElement[bool] = Study.state.in_([fixed(state) for state in ACTIVE])
    if of_one:
        wanted = wanted & (Study.id == bindparam("study"))
    return select(job.label("job")).select_from(Study).join(named, true()).where(wanted).subquery()


def _busy() -> Subquery:
    """How many jobs of each study are leased; fewer than there are workers."""
    return (
        select(Job.study_id, func.count().label("leased"))
        .where(Job.state == fixed(JobState.LEASED))
        .group_by(Job.study_id)
        .subquery()
    )
