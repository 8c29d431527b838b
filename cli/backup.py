"""`stillhouse backup`, `restore` and `migrate`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import BadInputError, CliError
from service.backup import BackupManifest, back_up, restore
from service.errors import BackupError, DutyTakenError, ServiceError, SettingsError, StoreUnusableError
from service.settings import Settings
from service.store.migrate import upgrade


def run_backup(home: Path, database_url: str | None, folder: Path) -> None:
    """Raises: BadInputError, CliError."""
    with _explained():
        print(f"{folder}: {_words(back_up(_settings(home, database_url), folder))}")


def run_restore(home: Path, database_url: str | None, folder: Path) -> None:
    """Raises: BadInputError, CliError."""
    with _explained():
        manifest = restore(_settings(home, database_url), folder)
    print(f"restored {_words(manifest)}, taken at {manifest.taken_at}; start the service, and its workers again")


def run_migration(home: Path, database_url: str | None) -> None:
    """Raises: BadInputError, CliError."""
    with _explained():
        upgrade(_settings(home, database_url).database_url)
    print("the database is up to date")


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
