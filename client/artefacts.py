"""Artefacts over REST: files and folders, each sent and fetched once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import httpx

from client.cache import Cache, filled, write_verified
from client.errors import ArtefactError
from client.transport import Transport
from protocol.artefact import file_id, manifest_bytes, manifest_of, read_manifest
from protocol.errors import ProtocolError

_BLOCK = 1 << 20


class Artefacts:
    """`client.artefacts`. With a cache, what was fetched once is not fetched again."""

    def __init__(self, transport: Transport, cache: Cache | None = None) -> None:
        self._transport = transport
        self._cache = cache

    def upload_file(self, path: Path) -> str:
        """The file's id; its bytes are sent unless the service has them."""
        identity = file_id(path)
        self._put(identity, path.stat().st_size, lambda: _blocks(path))
        return identity

    def upload_folder(self, folder: Path) -> str:
        """The id of the folder's manifest; files that the service has are not sent again.

        Raises:
            ArtefactError: there is no such folder, or nothing in it.
        """
        manifest = manifest_of(folder)
        if not manifest:
            raise ArtefactError(f"{folder} holds no file to send")
        for name, identity in manifest.items():
            path = folder / name
            self._put(identity, path.stat().st_size, lambda path=path: _blocks(path))  # type: ignore[misc]
        content = manifest_bytes(manifest)
        identity = hashlib.sha256(content).hexdigest()
        self._put(identity, len(content), lambda: iter([content]))
        return identity

    def download_file(self, identity: str, path: Path) -> None:
        """Have the file of this name at `path`, which is replaced.

        Raises:
            ArtefactError: what arrived is not what the name says.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._cache is None:
            with self._transport.stream(f"/artefacts/{identity}") as blocks:
                write_verified(path, identity, blocks)
        else:
            write_verified(path, identity, _blocks(self._cached(self._cache, identity)))

    def download_folder(self, identity: str, folder: Path, *, changed: Collection[str] = ()) -> None:
        """Have the folder of this name at `folder`, complete or not at all.

        Of a folder that is there, files named `changed` may have other content than they came with.

        Raises:
            ArtefactError: it is no folder, or there is something else at `folder`.
        """
        try:
            manifest = read_manifest(self._read(identity))
        except ProtocolError as error:
            raise ArtefactError(f"artefact {identity[:12]} is no folder: {error}") from error
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            if folder.is_dir() and _but(manifest_of(folder), changed) == _but(manifest, changed):
                return
            raise ArtefactError(f"{folder} holds something else; move it away, or name another folder")
        with filled(folder) as part:
            for name, content in manifest.items():
                self.download_file(content, part / name)

    def shared_folder(self, identity: str) -> Path:
        """The folder of this name in the cache. It is shared: read it only.

        Raises:
            ArtefactError: it is no folder; ValueError: there is no cache.
        """
        if self._cache is None:
            raise ValueError("a client without a cache has no shared folders")
        folder = self._cache.folder(identity)
        if not folder.is_dir():
            try:
                self.download_folder(identity, folder)
            except OSError:
                if not folder.is_dir():  # else another process was first
                    raise
        return folder

    def _put(self, identity: str, size_bytes: int, blocks: Callable[[], Iterator[bytes]]) -> None:
        address = f"/artefacts/{identity}"
        known = self._transport.call("HEAD", address, accept=(httpx.codes.NOT_FOUND,))
        if known.status_code == httpx.codes.NOT_FOUND:
            headers = {"Content-Length": str(size_bytes), "Content-Type": "application/octet-stream"}
            self._transport.call("PUT", address, content=blocks, headers=headers, timeout_s=300)

    def _read(self, identity: str) -> bytes:
        if self._cache is not None:
            return self._cached(self._cache, identity).read_bytes()
        content = self._transport.call("GET", f"/artefacts/{identity}").content
        if hashlib.sha256(content).hexdigest() != identity:
            raise ArtefactError(f"artefact {identity[:12]} arrived with other content")
        return content

    def _cached(self, cache: Cache, identity: str) -> Path:
        found = cache.find(identity)
        if found is not None:
            return found
        with self._transport.stream(f"/artefacts/{identity}") as blocks:
            return cache.put(identity, blocks)


def _but(manifest: dict[str, str], names: Collection[str]) -> dict[str, str]:
    return {name: identity for name, identity in manifest.items() if name not in names}


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
