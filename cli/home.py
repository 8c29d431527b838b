"""Whether a folder can be a home."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from cli.errors import BadInputError

PROBE_BYTES = 1 << 16


def open_home(home: Path) -> None:
    """Make the folder, and see that it can be written to and that its disk is not full.

    Raises:
        BadInputError: something is in the way.
    """
    with usable(home):
        home.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=home, buffering=0) as probe:
            probe.write(bytes(PROBE_BYTES))


@contextmanager
def usable(home: Path) -> Iterator[None]:
    """What the system says in the block is said of the home."""
    try:
        yield
    except OSError as error:
        raise BadInputError(
            f"the home {home} cannot be used: {_why(error)}; mend that, or name another one with --home"
        ) from error


def _why(error: OSError) -> str:
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"{os.fsdecode(error.filename) if error.filename else 'part of its path'} is a file, not a folder"
    return error.strerror or str(error)
