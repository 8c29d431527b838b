"""A backup: one state of the database, and every artefact that it knows, each verified by its SHA-256.

FOLDER/manifest.json is written last; a folder without it is of a backup that was interrupted. Taken while studies run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from service.duties import DutyHolder
from service.errors import BackupError
from service.settings import Settings
from service.store.artefact_files import ArtefactFiles
from service.store.duties import COLLECT
from service.store.migrate import knows
from service.store.snapshot import Tick, dump, load, refuse_unless_empty, rows_of
from service.store.unit_of_work import Store

FORMAT = 1
MANIFEST = "manifest.json"

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupManifest:
    """What a backup holds. `tables` are rows and SHA-256 of each table's file."""

    format: int
    stillhouse: str
    revision: str
    taken_at: str
    tables: dict[str, dict[str, Any]]
    artefacts: int
    artefact_bytes: int

    @property
    def rows(self) -> int:
        return sum(int(told["rows"]) for told in self.tables.values())


def back_up(settings: Settings, folder: Path) -> BackupManifest:
    """Writes a backup into this folder, which is made; studies go on meanwhile.

    Raises:
        BackupError: there is something in the folder, or an artefact lacks or is damaged.
        StoreUnusableError: the database cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(f"{folder} is there already: name a folder that is empty or not there")
    (folder / "store").mkdir(parents=True)
    store = Store(settings.database_url)
    try:
        # Nothing is collected from the snapshot on until its artefacts are copied.
        with DutyHolder(store, COLLECT).held(patience_s=60.0) as keep:
            taken_at = datetime.now(UTC)
            revision, tables = dump(settings.database_url, folder / "store", keep)
            copied = list(_copy_all(settings.artefacts, folder / "artefacts", folder / "store", keep))
    finally:
        store.close()
    manifest = BackupManifest(
        format=FORMAT,
        stillhouse=version("stillhouse"),
        revision=revision,
        taken_at=taken_at.isoformat(timespec="seconds"),
        tables=tables,
        artefacts=len(copied),
        artefact_bytes=sum(copied),
    )
    os.sync()
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n")
    return manifest


def restore(settings: Settings, folder: Path) -> BackupManifest:
    """Fills an empty database and the artefacts' folder from a backup. May be repeated where it was interrupted.

    Raises:
        BackupError: it is no backup, or damaged, or of a newer version. StoreUnusableError: the database is not empty,
            or cannot be used.
    """
    manifest = read_manifest(folder)
    if not knows(manifest.revision):
        raise BackupError(f"{folder} was made by Stillhouse {manifest.stillhouse}, which is newer: upgrade this one")
    for name, told in manifest.tables.items():
        if _sha256(folder / "store" / f"{name}.jsonl") != told["sha256"]:
            raise BackupError(f"{folder}/store/{name}.jsonl is damaged: its SHA-256 is not the manifest's")
    settings.home.mkdir(parents=True, exist_ok=True)
    refuse_unless_empty(settings.database_url)
    for _ in _copy_all(folder / "artefacts", settings.artefacts, folder / "store", lambda: None):
        pass
    load(settings.database_url, folder / "store", manifest.revision, list(manifest.tables))
    return manifest


def read_manifest(folder: Path) -> BackupManifest:
    """Raises: BackupError."""
    try:
        values = json.loads((folder / MANIFEST).read_text())
        if values.get("format") != FORMAT:
            raise BackupError(f"{folder} is of format {values.get('format')}; this version reads format {FORMAT}")
        return BackupManifest(**values)
    except FileNotFoundError as error:
        raise BackupError(f"{folder} has no {MANIFEST}: it is no backup, or one that was interrupted") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BackupError(f"{folder}/{MANIFEST} cannot be read: {error}") from error


def _copy_all(source: Path, target: Path, tables: Path, keep: Tick) -> Iterator[int]:
    """The sizes of the artefacts that the snapshot knows, each copied; what is there already and right is left."""
    come_from, go_to = ArtefactFiles(source), ArtefactFiles(target)
    for row in rows_of(tables / "artefacts.jsonl"):
        identity = str(row["id"])
        path = come_from.path(identity)
        if not path.is_file():
            raise BackupError(f"artefact {identity} is not in {source}, although the database knows it")
        if not go_to.exists(identity) or _sha256(go_to.path(identity), keep) != identity:
            _copy(path, go_to.path(identity), identity, keep)
        yield int(row["size_bytes"])


def _copy(source: Path, target: Path, identity: str, keep: Tick) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"upload-{identity[:16]}")
    try:
        digest = hashlib.sha256()
        with source.open("rb") as read, part.open("wb") as written:
            while block := read.read(_BLOCK):
                digest.update(block)
                written.write(block)
                keep()
            written.flush()
            os.fsync(written.fileno())
        if digest.hexdigest() != identity:
            raise BackupError(f"artefact {source} is damaged: its SHA-256 is not its name")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _sha256(path: Path, keep: Tick = lambda: None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            keep()
    return digest.hexdigest()
