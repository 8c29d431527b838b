"""Artefacts: files and folders named by the SHA-256 of their content.

A file's id is the hash of its bytes. A folder's id is the hash of its manifest: a JSON object from relative path to the
id of the file there, so that equal files are stored and sent once.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field

from protocol.errors import ProtocolError

ID_PATTERN = r"^[0-9a-f]{64}$"
ArtefactId = Annotated[str, Field(pattern=ID_PATTERN)]
_BLOCK = 1 << 20


def file_id(path: Path) -> str:
    """SHA-256 of the file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def manifest_of(folder: Path) -> dict[str, str]:
    """Relative path -> file id of every file below the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_id(path) for path in files}


def manifest_bytes(manifest: dict[str, str]) -> bytes:
    """The manifest's canonical bytes; their hash is the folder's id."""
    return json.dumps({"files": manifest}, sort_keys=True, separators=(",", ":")).encode()


def read_manifest(content: bytes) -> dict[str, str]:
    """The manifest in these bytes.

    Raises:
        ProtocolError: not a manifest, a path that leaves the folder, or something else than the id of a file.
    """
    try:
        files = json.loads(content)["files"]
        checked = {str(PurePosixPath(path)): identity for path, identity in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError("the artefact is not a folder's manifest") from error
    for path, identity in checked.items():
        if not isinstance(identity, str) or re.fullmatch(ID_PATTERN, identity) is None:
            raise ProtocolError(f"the manifest names no artefact for {path!r}: {identity!r}")
        parts = PurePosixPath(path).parts
        if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "\\" in path or "\0" in path:
            raise ProtocolError(f"the manifest names a path outside its folder: {path!r}")
    return checked
