"""Where a worker keeps its things, and what its runners share."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from protocol.jobs import Grant
from worker.errors import WorkerSetupError
from worker.settings import CACHE_BYTES


class ArtefactsPort(Protocol):
    """How artefacts come and go; `client.artefacts` is one."""

    def upload_file(self, path: Path) -> str: ...

    def upload_folder(self, folder: Path) -> str: ...

    def download_folder(self, identity: str, folder: Path) -> None: ...

    def shared_folder(self, identity: str) -> Path:
        """The artefact as a folder that others may read too; never written to."""
        ...


def prepared_folder(home: Path, fingerprint: str) -> Path:
    """Where the result of this preparation is kept, whether or not it is there yet."""
    return home / "cache" / "prepared" / fingerprint


def teachers_outputs(home: Path) -> Path:
    """What teachers said of the texts that they teach, for the next distillation."""
    return home / "cache" / "teachers"


def unfinished_calibrations(home: Path) -> Path:
    """Measurements of calibrations that have not ended."""
    return home / "cache" / "calibrating"


@contextmanager
def preparing(home: Path, fingerprint: str) -> Iterator[Path | None]:
    """A folder for a preparation's checkpoints, which outlives a block that raises, and the process.

    None while another process is in such a block for this home.
    """
    folder = home / "cache" / "preparing" / fingerprint
    folder.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield folder
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """`home` holds what is kept from job to job (`cache/`) and what is not (`work/`). `threads` are for training;
    `cache_bytes` bound the teachers' outputs in the cache.
    """

    home: Path
    artefacts: ArtefactsPort
    threads: int
    cache_bytes: int = CACHE_BYTES

    @property
    def teachers_outputs(self) -> Path:
        return teachers_outputs(self.home)

    @property
    def calibrations(self) -> Path:
        return unfinished_calibrations(self.home)

    @property
    def work(self) -> Path:
        return self.home / "work"

    def prepared(self, fingerprint: str) -> Path:
        return prepared_folder(self.home, fingerprint)

    def checkpoints(self, fingerprint: str) -> AbstractContextManager[Path | None]:
        return preparing(self.home, fingerprint)

    @contextmanager
    def folder(self, grant: Grant) -> Iterator[Path]:
        """An empty folder for this attempt at the job, removed when the block ends.

        Nobody else's: two workers of one home may serve two services, whose jobs have the same numbers.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        name = f"{grant.job}-{grant.attempt}-"
        with TemporaryDirectory(dir=self.work, prefix=name, ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """Be at work here; whoever is the first removes what workers that were killed have left.

        Raises:
            WorkerSetupError: nothing can be written here.
        """
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.work / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise WorkerSetupError(
                f"the home {self.home} cannot be used: {error.strerror}: {error.filename}; name another one with --home"
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                for left in self.work.iterdir():
                    if left.is_dir():
                        shutil.rmtree(left, ignore_errors=True)
            fcntl.flock(handle, fcntl.LOCK_SH)
            yield
        finally:
            os.close(handle)
