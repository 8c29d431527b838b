"""Who may use a device on this machine: one measurement alone, or any number of computations.

Measurements take the device's lock exclusively, everything else of ours that computes on it shares it. The locks are
kernel locks on files: they end with their process, however that ends. Both kinds pass one turnstile first, so that a
stream of computations cannot keep a measurement out, nor the other way round.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from hardware.errors import BusyError, LockError
from hardware.values import Device

DIRECTORY_VARIABLE = "STILLHOUSE_LOCK_DIR"
"""Environment variable that names the folder of the locks; all processes of a machine must agree on it."""

DIRECTORY = Path("/tmp/stillhouse-locks")  # noqa: S108 (shared on purpose)
"""The folder without it. Not the system's choice for temporary files: that depends on what each process is told, and
on which disk has room at the moment.
"""


@contextlib.contextmanager
def measuring(device: Device, *, wait: bool = True) -> Iterator[None]:
    """Have the device alone: waits until nothing of ours computes or measures on it, and keeps others out.

    Inside itself it does nothing.

    Raises:
        LockError: this thread is `computing` on the device, and would wait for itself; or there can be no lock.
        BusyError: it would have to wait, and shall not.
    """
    if _mode(device) not in (None, fcntl.LOCK_EX):
        raise LockError(f"this thread is computing on {device} and cannot measure there at the same time")
    with _held(device, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB):
        yield


@contextlib.contextmanager
def computing(device: Device, *, wait: bool = True) -> Iterator[None]:
    """Share the device with other computations: waits while something of ours measures on it.

    Hold it for seconds, not minutes: measurements wait for it. Inside itself or `measuring` it does nothing.

    Raises:
        LockError: there can be no lock.
        BusyError: it would have to wait, and shall not.
    """
    with _held(device, fcntl.LOCK_SH if wait else fcntl.LOCK_SH | fcntl.LOCK_NB):
        yield


_modes = threading.local()


def _mode(device: Device) -> int | None:
    mode: int | None = getattr(_modes, device, None)
    return mode


@contextlib.contextmanager
def _held(device: Device, mode: int) -> Iterator[None]:
    if _mode(device) is not None:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            with _locked(f"{device}.turnstile", fcntl.LOCK_EX | mode & fcntl.LOCK_NB):
                stack.enter_context(_locked(f"{device}.lock", mode))
        except BlockingIOError:
            what = "measures" if mode & fcntl.LOCK_SH else "computes or measures"
            raise BusyError(f"something of ours {what} on {device}, or is about to") from None
        setattr(_modes, device, mode & ~fcntl.LOCK_NB)
        stack.callback(setattr, _modes, device, None)
        yield


@contextlib.contextmanager
def _locked(name: str, mode: int) -> Iterator[None]:
    try:
        handle = _open(_directory() / name)
    except OSError as error:
        raise LockError(
            f"no lock of the device can be had in {error.filename}: {error.strerror}; mend that, or name another folder"
            f" with {DIRECTORY_VARIABLE}, the same for all processes of this machine"
        ) from error
    try:
        fcntl.flock(handle, mode)
        yield
    finally:
        # Closing alone would leave the lock with a process that was forked meanwhile and has the same handle.
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def _directory() -> Path:
    """The folder of the locks, shared by all users of the machine."""
    named = os.environ.get(DIRECTORY_VARIABLE)
    folder = Path(named) if named else DIRECTORY
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        if not named:
            with contextlib.suppress(PermissionError):  # another user's process was first
                folder.chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO | stat.S_ISVTX)
    return folder


def _open(path: Path) -> int:
    """A handle that can be locked; a file that another user made can be locked too, though not written."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        with contextlib.suppress(PermissionError):  # another user's process was first
            os.fchmod(handle, 0o644)  # whatever the umask
        return handle
