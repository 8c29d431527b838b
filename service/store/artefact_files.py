"""The artefacts' files: each named by the SHA-256 of its bytes, there in full or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from protocol.artefact import ID_PATTERN, read_manifest
from protocol.errors import ProtocolError
from service.errors import HashMismatchError, InvalidError, StorageFullError

_MANIFEST = b'{"files":'
_LONGEST_MANIFEST_BYTES = 1 << 26

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

    def unusable(self) -> str | None:
        """Why nothing can be stored here; None where it can. A full disk is no reason: people make room, and what is
        stored can be fetched.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                return None
        except OSError as error:
            if error.errno in _FULL:
                return None
            return f"artefacts cannot be stored in {self._folder}: {error.strerror}"

    def upload(self, identity: str) -> Upload:
        """A file in the making; use it as a context manager, so that nothing is left of one that breaks off.

        Raises:
            StorageFullError: there is no room left.
        """
        return Upload(identity, self.path(identity), self._folder)

    def files_of(self, identity: str) -> list[str]:
        """The artefacts that this one consists of, if it is a folder."""
        return _files_of(self.path(identity)) if self.exists(identity) else []

    def discard(self, identity: str) -> None:
        """Puts the file aside; `remove` removes it, `recover` takes it back."""
        self._aside.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            self.path(identity).replace(self._aside / identity)

    def discarded(self) -> list[str]:
        return [path.name for path in self._aside.iterdir()] if self._aside.is_dir() else []

    def recover(self, identity: str) -> None:
        """Takes back what was put aside, unless it was sent again meanwhile."""
        path = self.path(identity)
        if path.is_file():
            (self._aside / identity).unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            (self._aside / identity).replace(path)

    def remove(self, identity: str) -> None:
        """What was put aside, for good."""
        (self._aside / identity).unlink(missing_ok=True)

    def older(self, than: datetime) -> Iterator[tuple[str, int, datetime]]:
        """Name, size and time of every file that was written before. Uploads that broke off then are removed."""
        for folder in sorted(self._folder.glob("[0-9a-f][0-9a-f]")):
            for entry in os.scandir(folder):
                with suppress(FileNotFoundError):
                    status = entry.stat()
                    written_at = datetime.fromtimestamp(status.st_mtime, UTC)
                    if written_at >= than:
                        continue
                    if re.fullmatch(ID_PATTERN, entry.name):
                        yield entry.name, status.st_size, written_at
                    else:
                        Path(entry.path).unlink()

    @property
    def _aside(self) -> Path:
        return self._folder / "discarded"


class Upload:
    """The bytes of one artefact as they arrive."""

    def __init__(self, identity: str, path: Path, folder: Path) -> None:
        self.size_bytes = 0
        self.identity = identity
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
        """The bytes are all there and on the disk when this returns; `place` puts them where they belong.

        Raises:
            HashMismatchError: the bytes are not those that the name stands for.
            StorageFullError: they do not fit.
        """
        found = self._digest.hexdigest()
        if found != self.identity:
            raise HashMismatchError(
                f"the content's SHA-256 is {found}, not {self.identity}: it was changed on its way, or misnamed"
            )
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise _explained(error, self._folder) from error

    def files(self) -> list[str]:
        """The artefacts that this one consists of, if it is a folder; to be asked when it is finished."""
        return _files_of(Path(self._file.name))

    def place(self) -> None:
        """Puts the file in its place, for good. In the transaction that stores its row: a collection locks that, too.

        Raises:
            StorageFullError: the folder has no room for its name.
        """
        try:
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


def _files_of(path: Path) -> list[str]:
    with path.open("rb") as file:
        if file.read(len(_MANIFEST)) != _MANIFEST or path.stat().st_size > _LONGEST_MANIFEST_BYTES:
            return []
    try:
        return sorted(set(read_manifest(path.read_bytes()).values()))
    except ProtocolError:
        return []  # a file of somebody's that begins alike


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
