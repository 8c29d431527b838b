"""Finalists' exports as plain folders on this machine."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cli.errors import BadInputError
from cli.tables import finalists
from client import ArtefactError, Client, Finalist
from protocol.views import StudyView, TrialView


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """What only the owner of a model can say of it, for its card."""

    license: str | None = None
    language: str | None = None


def download_exports(
    client: Client, study: StudyView, trials: Sequence[TrialView], folder: Path, owner: Owner | None = None
) -> dict[int, Path]:
    """Trial number -> folder, for every finalist that has an export; those already there are not fetched again.

    Raises:
        BadInputError: something else is in the way, or nothing can be written there.
    """
    folders = {}
    with _no_empty_folders(folder):
        for trial, finalist in finalists(trials):
            if finalist.export is not None:
                target = folder / f"trial-{trial.number}"
                made = Finalist(trial, finalist, study.spec, client.artefacts)
                _download(made, target, owner or Owner())
                folders[trial.number] = target
    return folders


def _download(finalist: Finalist, target: Path, owner: Owner) -> None:
    try:
        finalist.download(target, license=owner.license, language=owner.language)
    except ArtefactError as error:
        raise BadInputError(str(error)) from error
    except OSError as error:
        raise BadInputError(f"the export cannot be written to {target}: {_advice(error)}") from error


def _advice(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.strerror}; make room, then try again"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return "a file is in the way; name another folder with `stillhouse export --to`"
    return f"{error.strerror or error}; name another folder with `stillhouse export --to`"


@contextmanager
def _no_empty_folders(folder: Path) -> Iterator[None]:
    """Of the folder and those above it that are not there yet, none is left empty."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield
    finally:
        for place in missing:
            with suppress(OSError):
                place.rmdir()
