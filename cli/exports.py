"""Finalists' exports as plain folders on this machine."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cli.errors import BadInputError
from cli.tables import finalists
from client import ArtefactError, Client
from protocol.views import TrialView


def download_exports(client: Client, trials: Sequence[TrialView], folder: Path) -> dict[int, Path]:
    """Trial number -> folder, for every finalist that has an export; those already there are not fetched again.

    Raises:
        BadInputError: something else is in the way, or nothing can be written there.
    """
    folders = {}
    with _no_empty_folders(folder):
        for trial, finalist in finalists(trials):
            if finalist.export is not None:
                target = folder / f"trial-{trial.number}"
                _download(client, finalist.export, target)
                folders[trial.number] = target
    return folders


def _download(client: Client, export: str, target: Path) -> None:
    try:
        client.artefacts.download_folder(export, target)
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
