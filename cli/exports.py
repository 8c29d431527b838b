"""Finalists' exports as plain folders on this machine."""

from __future__ import annotations

from collections.abc import Sequence
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
    for trial, finalist in finalists(trials):
        if finalist.export is None:
            continue
        target = folder / f"trial-{trial.number}"
        try:
            client.artefacts.download_folder(finalist.export, target)
        except ArtefactError as error:
            raise BadInputError(str(error)) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise BadInputError(
                f"the export cannot be written to {target}: {reason}; make room, then try again"
            ) from error
        folders[trial.number] = target
    return folders
