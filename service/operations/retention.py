"""Artefacts come, are kept while somebody needs them, and go.

Kept are: data and teacher of every study, the front's and the finalists' weights, what was exported, checkpoints of
jobs that may go on, and whatever was sent, asked for or named within the grace period.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from service.errors import StorageFullError, UnknownArtefactError
from service.operations.front import completed, front_numbers
from service.settings import ARTEFACT_QUOTA_VARIABLE, Settings
from service.store.artefact_files import ArtefactFiles, Upload
from service.store.unit_of_work import Store, UnitOfWork

logger = logging.getLogger(__name__)

_SOME = 100
"""Artefacts that go in one transaction: it holds the write lock while their files are put aside."""


def check_quota(uow: UnitOfWork, settings: Settings, size_bytes: int) -> None:
    """Raises: StorageFullError: with so many bytes more the artefacts would take more than they may."""
    if not settings.artefact_quota_bytes:
        return
    taken = uow.artefacts.size_bytes()
    if taken + size_bytes > settings.artefact_quota_bytes:
        raise StorageFullError(
            f"artefacts take {taken / 1e9:.3g} of the {settings.artefact_quota_bytes / 1e9:.3g} GB that they may, and "
            f"this one {size_bytes / 1e9:.3g} GB: raise {ARTEFACT_QUOTA_VARIABLE}, or delete studies; what nobody "
            f"needs goes {settings.artefact_grace_s / 3600:.3g} hours after its last use"
        )


def store_upload(uow: UnitOfWork, settings: Settings, upload: Upload) -> bool:
    """Keeps an upload that is finished; whether it is new.

    Raises:
        StorageFullError: there is no room. UnknownArtefactError: it is a folder, and a file of it was never sent.
    """
    if uow.artefacts.find(upload.identity) is None:
        check_quota(uow, settings, upload.size_bytes)
    new = uow.artefacts.add(upload.identity, upload.size_bytes, uow.now)
    _examine(uow, upload.identity, upload.files())
    upload.place()
    return new


def touch(uow: UnitOfWork, identity: str) -> bool:
    """Whether the artefact is there; if so, it stays for the grace period."""
    return not uow.artefacts.missing([identity], uow.now)


def collect(
    store: Store,
    files: ArtefactFiles,
    settings: Settings,
    go_on: Callable[[], bool] = lambda: True,
    *,
    strays: bool = True,
) -> int:
    """Removes what nobody needs; how many artefacts that were. One process at a time.

    With `strays` also files that no row knows: of processes that were killed in the middle of an upload.
    """
    _recover(store, files)
    with store.read() as uow:
        since = uow.now - timedelta(seconds=settings.artefact_grace_s)
    if strays:
        _adopt(store, files, since)
    _examine_all(store, files, go_on)
    removed = 0
    while go_on():
        with store.read() as uow:
            needless = sorted(_needless(uow, since))
        gone = 0
        for first in range(0, len(needless), _SOME):
            if go_on():
                gone += _remove(store, files, needless[first : first + _SOME], since)
        removed += gone
        if not gone:
            break  # else what was part of a folder may be free now
    if removed:
        logger.info("%d artefacts that nobody needs were removed", removed)
    return removed


def _needless(uow: UnitOfWork, since: datetime) -> set[str]:
    left = uow.artefacts.untouched(since)
    left -= uow.artefacts.named_by_jobs()
    left -= uow.artefacts.named_by_finalists()
    for identity in uow.artefacts.studies_of(left):
        study = uow.studies.get(identity)
        left -= uow.artefacts.weights(identity, front_numbers(study, completed(uow, study)))
    return left


def _remove(store: Store, files: ArtefactFiles, identities: list[str], since: datetime) -> int:
    gone: list[str] = []
    try:
        with store.write() as uow:
            gone = uow.artefacts.collect(identities, since)
            for identity in gone:
                files.discard(identity)
    except BaseException:
        _recover(store, files)  # the rows are still there
        raise
    for identity in gone:
        files.remove(identity)
    return len(gone)


def _recover(store: Store, files: ArtefactFiles) -> None:
    """Of a collection that was killed: what still has a row is taken back."""
    aside = files.discarded()
    if aside:
        with store.read() as uow:
            known = uow.artefacts.known(aside)
        for identity in aside:
            if identity in known:
                files.recover(identity)
            else:
                files.remove(identity)


def _adopt(store: Store, files: ArtefactFiles, since: datetime) -> None:
    """Gives old files without a row one: then they go like all others."""
    found = {identity: (size_bytes, written_at) for identity, size_bytes, written_at in files.older(since)}
    with store.read() as uow:
        known = uow.artefacts.known(found)
    for identity in found.keys() - known:
        with store.write() as uow:
            if uow.artefacts.find(identity) is None:
                uow.artefacts.add(identity, *found[identity])


def _examine_all(store: Store, files: ArtefactFiles, go_on: Callable[[], bool]) -> None:
    """Of artefacts that are older than this examination: what they consist of."""
    while go_on():
        with store.read() as uow:
            identities = uow.artefacts.unexamined(_SOME)
        if not identities:
            return
        for identity in identities:
            with store.write() as uow:
                consists_of = files.files_of(identity)
                known = uow.artefacts.known(consists_of)
                uow.artefacts.examined(identity, known)


def _examine(uow: UnitOfWork, identity: str, consists_of: list[str]) -> None:
    missing = uow.artefacts.missing(consists_of, uow.now)
    if missing:
        raise UnknownArtefactError(f"the folder's file {missing[0]} was never uploaded: send it first")
    uow.artefacts.examined(identity, consists_of)
