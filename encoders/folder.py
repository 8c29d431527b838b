"""A folder that appears whole under its name, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encoders.errors import ExportError


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder to write into; once that is done, it takes the place of `folder`.

    Raises:
        ExportError: the disk refused; what was there is still there then.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that moving it into place is a rename. The last part of the name is kept because
        # transformers names the module of the modelling code after it.
        workshop = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".export-"))
    except OSError as error:
        raise ExportError(f"cannot export to {folder}: {error}") from error
    try:
        written = workshop / folder.name
        written.mkdir()
        yield written
        _move(written, folder, workshop)
    except OSError as error:
        raise ExportError(f"cannot export to {folder}: {error}") from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _move(written: Path, folder: Path, workshop: Path) -> None:
    replaced = workshop / f"{folder.name}.replaced"
    if folder.exists():
        folder.rename(replaced)
    try:
        written.rename(folder)
    except OSError:
        if replaced.exists():
            replaced.rename(folder)
        raise
