"""Which artefacts there are, what they consist of, and who needs them. Their files are in `artefact_files`.

A collection and a report that names an artefact lock its row, one after the other: whoever names one finds it or is
told that it is gone, and one that was just named is too young to be collected.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import ColumnElement, bindparam, delete, exists, func, select, update
from sqlalchemy.orm import Session

from protocol.jobs import JobState
from protocol.views import StudyState
from service.store.inserting import inserting
from service.store.jobs import OPEN
from service.store.tables import ArtefactPart, ArtefactRow, Evaluation, Finalist, Job, Study, Trial, core_table

OVER = (StudyState.COMPLETED, StudyState.FAILED)
"""States from which no study goes on."""

TOUCHED_EVERY = timedelta(minutes=1)
"""One that was touched more lately is far too young to be collected: it is neither written again nor locked."""

_SOME = 500
"""Names in one statement."""


class ArtefactRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, identity: str, size_bytes: int, now: datetime) -> bool:
        """Whether it is new; one that was there is touched. Nobody else changes its row until the transaction ends."""
        values = {"size_bytes": size_bytes, "created_at": now, "touched_at": now, "examined": False}
        statement = inserting(self._session, ArtefactRow).values(id=identity, **values)
        touched = statement.on_conflict_do_update(index_elements=[ArtefactRow.id], set_={"touched_at": now})
        new = not self.known([identity])
        self._session.execute(touched, execution_options=_NO_SYNC)
        return new

    def find(self, identity: str) -> ArtefactRow | None:
        return self._session.get(ArtefactRow, identity)

    def missing(self, identities: Collection[str], now: datetime) -> list[str]:
        """Those of these that nobody uploaded. The others are touched, or were a moment ago: they stay."""
        connection = self._session.connection()
        known: set[str] = set()
        for some in _batches(sorted(set(identities))):
            found = {row.id: row.touched_at for row in connection.execute(_TOUCHED, {"some": some})}
            old = [one for one, touched_at in found.items() if not timedelta() <= now - touched_at < TOUCHED_EVERY]
            known |= found.keys() - set(old)
            known |= set(connection.execute(_TOUCH, {"some": old, "now": now}).scalars()) if old else set()
        return sorted(set(identities) - known)

    def examined(self, identity: str, files: Iterable[str]) -> None:
        """Remembers what the artefact consists of: nothing, if it is a file. The files are there, and locked."""
        rows = [{"folder_id": identity, "file_id": file} for file in sorted(set(files))]
        for some in _batches(rows):
            self._session.execute(inserting(self._session, ArtefactPart).on_conflict_do_nothing(), some)
        statement = update(ArtefactRow).where(ArtefactRow.id == identity).values(examined=True)
        self._session.execute(statement, execution_options=_NO_SYNC)

    def unexamined(self, most: int) -> Sequence[str]:
        """Of before anybody looked."""
        statement = select(ArtefactRow.id).where(ArtefactRow.examined.is_(False)).order_by(ArtefactRow.id).limit(most)
        return self._session.scalars(statement).all()

    def size_bytes(self) -> int:
        """Of all of them."""
        return int(self._session.scalar(select(func.coalesce(func.sum(ArtefactRow.size_bytes), 0))) or 0)

    def untouched(self, since: datetime) -> set[str]:
        """Those that are part of no folder, and that nobody has touched since then."""
        return set(self._session.scalars(select(ArtefactRow.id).where(*_free(since))))

    def named_by_jobs(self) -> set[str]:
        """By jobs that may go on, and by studies that have been prepared."""
        # A cancelled job may come back with its study, unless that has ended for good.
        may_come_back = (Job.state == JobState.CANCELLED) & Study.state.not_in(OVER)
        rows = self._session.execute(
            select(Job.work, Job.checkpoint).join(Study).where(Job.state.in_(OPEN) | may_come_back)
        )
        named = set()
        for work, checkpoint in rows:
            named |= {checkpoint, *(getattr(work, name, None) for name in ("data", "teacher", "checkpoint"))}
        prepared = self._session.scalars(select(Study.prepared).where(Study.prepared.is_not(None)))
        for facts in prepared:
            if facts is not None:
                named |= {facts.data, facts.teacher}
        return {one for one in named if one is not None}

    def named_by_finalists(self) -> set[str]:
        """What was exported, and their weights of the search."""
        exports = set(self._session.scalars(select(Finalist.export).where(Finalist.export.is_not(None))))
        statement = select(Evaluation.weights).join(Finalist, Finalist.trial_id == Evaluation.trial_id)
        weights = set(self._session.scalars(statement.where(Evaluation.weights.is_not(None))))
        return {one for one in exports | weights if one is not None}

    def studies_of(self, weights: Collection[str]) -> set[int]:
        """Whose trials left some of these weights."""
        found: set[int] = set()
        for some in _batches(sorted(weights)):
            statement = select(Trial.study_id).join(Evaluation).where(Evaluation.weights.in_(some)).distinct()
            found |= set(self._session.scalars(statement))
        return found

    def weights(self, study: int, trials: Collection[int]) -> set[str]:
        """Of the study's trials with these numbers."""
        found: set[str] = set()
        for some in _batches(sorted(trials)):
            statement = (
                select(Evaluation.weights)
                .join(Trial)
                .where(Trial.study_id == study, Trial.number.in_(some), Evaluation.weights.is_not(None))
            )
            found |= {one for one in self._session.scalars(statement) if one is not None}
        return found

    def collect(self, identities: Collection[str], since: datetime) -> list[str]:
        """Removes the rows of those that are still untouched; which they were. Waits for nobody: a locked one stays."""
        statement = select(ArtefactRow.id).where(ArtefactRow.id.in_(identities), *_free(since)).order_by(ArtefactRow.id)
        free = list(self._session.scalars(statement.with_for_update(skip_locked=True)))
        self._session.execute(delete(ArtefactRow).where(ArtefactRow.id.in_(free)), execution_options=_NO_SYNC)
        return free

    def known(self, identities: Collection[str]) -> set[str]:
        found: set[str] = set()
        for some in _batches(sorted(identities)):
            found |= set(self._session.scalars(select(ArtefactRow.id).where(ArtefactRow.id.in_(some))))
        return found


_NO_SYNC = {"synchronize_session": False}

_ARTEFACTS = core_table(ArtefactRow)
_TOUCHED = select(_ARTEFACTS.c.id, _ARTEFACTS.c.touched_at).where(
    _ARTEFACTS.c.id.in_(bindparam("some", expanding=True))
)
_touched = _ARTEFACTS.alias().c
# Locked in the order of their names, that two reports which name the same do not wait for each other.
_IN_ORDER = (
    select(_touched.id)
    .where(_touched.id.in_(bindparam("some", expanding=True)))
    .order_by(_touched.id)
    .with_for_update(key_share=True)
)
_TOUCH = (
    update(_ARTEFACTS)
    .where(_ARTEFACTS.c.id.in_(_IN_ORDER))
    .values(touched_at=bindparam("now"))
    .returning(_ARTEFACTS.c.id)
)

_Item = TypeVar("_Item")


def _batches(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    return (items[first : first + _SOME] for first in range(0, len(items), _SOME))


def _free(since: datetime) -> tuple[ColumnElement[bool], ...]:
    part = exists().where(ArtefactPart.file_id == ArtefactRow.id)
    return ArtefactRow.touched_at < since, ArtefactRow.examined.is_(True), ~part
