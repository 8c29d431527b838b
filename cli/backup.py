"""`stillhouse backup`, `restore` and `migrate`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from cli.errors import BadInputError, CliError
from service.backup import BackupManifest, back_up, restore
from service.errors import BackupError, DutyTakenError, ServiceError, SettingsError, StoreUnusableError
from service.settings import Settings
from service.store.engine import database_name
from service.store.migrate import upgrade


def run_backup(home: Path, database_url: str | None, folder: Path, *, as_json: bool = False) -> None:
    """Raises: BadInputError, CliError."""
    with _explained():
        manifest = back_up(_settings(home, database_url), folder)
    print(_json(manifest, folder) if as_json else f"{folder}: {_words(manifest)}")


def run_restore(home: Path, database_url: str | None, folder: Path, *, as_json: bool = False) -> None:
    """Raises: BadInputError, CliError."""
    with _explained():
        manifest = restore(_settings(home, database_url), folder)
    if as_json:
        print(_json(manifest, folder))
        return
    print(f"restored {_words(manifest)}, taken at {manifest.taken_at}; start the service, and its workers again")


def run_migration(home: Path, database_url: str | None, *, as_json: bool = False) -> None:
    """Raises: BadInputError, CliError."""
    with _explained():
        url = _settings(home, database_url).database_url
        upgrade(url)
        print(
            json.dumps({"database": database_name(url), "up_to_date": True})
            if as_json
            else "the database is up to date"
        )


def _settings(home: Path, database_url: str | None) -> Settings:
    return Settings.from_environment(home=home, database_url=database_url)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (BackupError, SettingsError, StoreUnusableError, DutyTakenError) as error:
        raise BadInputError(str(error)) from error
    except (ServiceError, OSError) as error:
        raise CliError(str(error)) from error


def _words(manifest: BackupManifest) -> str:
    gigabytes = manifest.artefact_bytes / 1e9
    return f"{manifest.rows} rows, {manifest.artefacts} artefacts ({gigabytes:.3g} GB)"


def _json(manifest: BackupManifest, folder: Path) -> str:
    return json.dumps({"folder": str(folder), **asdict(manifest)}, indent=2)
