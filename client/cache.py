"""Artefacts that are already on this machine, by content hash."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from client.errors import ArtefactError


class Cache:
    """Files below one folder, each named by the SHA-256 of its bytes; several processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, identity: str) -> Path | None:
        path = self._path(identity)
        return path if path.is_file() else None

    def put(self, identity: str, blocks: Iterable[bytes]) -> Path:
        """Store content under its name.

        Raises:
            ArtefactError: the blocks have another hash; nothing is stored.
        """
        path = self._path(identity)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_verified(path, identity, blocks)
        return path

    def folder(self, identity: str) -> Path:
        """Where the folder of this name is laid out, whether or not it is there yet."""
        return self._folder / "folders" / identity

    def _path(self, identity: str) -> Path:
        return self._folder / "files" / identity[:2] / identity


def write_verified(path: Path, identity: str, blocks: Iterable[bytes]) -> None:
    """Write the blocks to the path, all or nothing.

    Raises:
        ArtefactError: their SHA-256 is not `identity`; the path is left as it was.
    """
    digest = hashlib.sha256()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:16]}-")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for block in blocks:
                digest.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != identity:
            raise ArtefactError(f"artefact {identity[:12]} arrived with other content ({digest.hexdigest()[:12]})")
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def filled(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which becomes `folder` when the block ends well, and is removed when it does not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:16]}-"))
    try:
        yield part
        part.chmod(0o755)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
