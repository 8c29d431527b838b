"""The artefacts' files: each named by the SHA-256 of its bytes, there in full or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from protocol.artefact import ID_PATTERN
from service.errors import HashMismatchError, InvalidError, StorageFullError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ArtefactFiles:
    """A folder of content-addressed files, for any number of processes at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, identity: str) -> Path:
        """Where the artefact's file is, or would be.

        Raises:
            InvalidError: not the name of an artefact.
        """
        if re.fullmatch(ID_PATTERN, identity) is None:
            raise InvalidError(f"{identity[:80]!r} is not an artefact's name: 64 hexadecimal digits in lower case")
        return self._folder / identity[:2] / identity

    def exists(self, identity: str) -> bool:
        return self.path(identity).is_file()

    def upload(self, identity: str) -> Upload:
        """A file in the making; use it as a context manager, so that nothing is left of one that breaks off.

        Raises:
            StorageFullError: there is no room left.
        """
        return Upload(identity, self.path(identity), self._folder)


class Upload:
    """The bytes of one artefact as they arrive."""

    def __init__(self, identity: str, path: Path, folder: Path) -> None:
        self.size_bytes = 0
        self._identity = identity
        self._path = path
        self._folder = folder
        self._digest = hashlib.sha256()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Beside its final place: renaming must not cross file systems.
            self._file = tempfile.NamedTemporaryFile(dir=path.parent, prefix="upload-", delete=False)  # noqa: SIM115
        except OSError as error:
            raise _explained(error, self._folder) from error

    def write(self, block: bytes) -> None:
        """Raises: StorageFullError."""
        self._digest.update(block)
        self.size_bytes += len(block)
        try:
            self._file.write(block)
        except OSError as error:
            raise _explained(error, self._folder) from error

    def finish(self) -> None:
        """Puts the file in its place; it is on the disk when this returns.

        Raises:
            HashMismatchError: the bytes are not those that the name stands for.
            StorageFullError: they do not fit.
        """
        found = self._digest.hexdigest()
        if found != self._identity:
            raise HashMismatchError(
                f"the content's SHA-256 is {found}, not {self._identity}: it was changed on its way, or misnamed"
            )
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            Path(self._file.name).replace(self._path)
            _sync(self._path.parent)
        except OSError as error:
            raise _explained(error, self._folder) from error

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # closing flushes, which may fail again on a full disk
            self._file.close()
        Path(self._file.name).unlink(missing_ok=True)


def _explained(error: OSError, folder: Path) -> Exception:
    if error.errno in _FULL:
        return StorageFullError(
            f"the artefact cannot be stored in {folder}: {error.strerror}; make room and send it again"
        )
    return error


def _sync(folder: Path) -> None:
    """Makes a rename last; a folder is synchronised like a file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
