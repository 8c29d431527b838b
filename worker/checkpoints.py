"""Checkpoints of a running job on their way to the service."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from client import ClientError

log = logging.getLogger(__name__)


class Checkpoints:
    """Sends the newest of the offered folders in a thread of its own; those overtaken meanwhile are never sent.

    `offer` is the job's side, everything else the loop's.
    """

    def __init__(self, outbox: Path, upload: Callable[[Path], str]) -> None:
        self._outbox = outbox
        self._upload = upload
        self._lock = threading.Lock()
        self._waiting: Path | None = None
        self._count = 0
        self._sending: Future[str] | None = None
        self._sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self.newest: str | None = None
        """The newest checkpoint that the service has."""

    def offer(self, folder: Path) -> None:
        """Take a copy of the folder, by hard links: a writer of checkpoints replaces files and never changes them."""
        self._count += 1
        copy = self._outbox / str(self._count)
        shutil.copytree(folder, copy, copy_function=_link)
        with self._lock:
            overtaken, self._waiting = self._waiting, copy
        if overtaken is not None:
            shutil.rmtree(overtaken, ignore_errors=True)

    def advance(self) -> bool:
        """Take in what was sent and start sending what waits. Returns whether all that was offered has been sent."""
        if self._sending is not None:
            if not self._sending.done():
                return False
            self._take_in(self._sending)
            self._sending = None
        with self._lock:
            folder, self._waiting = self._waiting, None
        if folder is None:
            return True
        self._sending = self._sender.submit(self._send, folder)
        return False

    def close(self) -> None:
        """Send nothing more. What is on its way is not waited for: nobody renews the lease meanwhile."""
        self._sender.shutdown(wait=False, cancel_futures=True)

    def _send(self, folder: Path) -> str:
        try:
            return self._upload(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _take_in(self, sent: Future[str]) -> None:
        try:
            self.newest = sent.result()
        except (ClientError, OSError) as error:
            # The job goes on: a checkpoint that could not be sent only costs steps if this worker is lost.
            log.warning("a checkpoint could not be sent: %s", error)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
