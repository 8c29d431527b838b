"""Functions called in fresh processes, each forked from a server that has the runtime loaded."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hardware.errors import CompilationError, HangError, MeasurementError, OutOfMemoryError, UnsupportedProfileError
from hardware.settings import passed_on

START_LIMIT_S = 180.0
GRACE_S = 10.0
"""What the server is given beyond a call's limit before it is killed itself."""

FORKABLE = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "TORCHINDUCTOR_COMPILE_THREADS",
        "PYTORCH_NVML_BASED_CUDA_CHECK",
    ),
    "1",
)
"""Environment of the server, so that it may fork: without threads, and without CUDA.

OpenBLAS and torch's compiler start threads on import. Libraries on top of torch ask on import whether there is CUDA,
which starts the driver unless NVML is asked, and a driver that was started does not survive a fork. JAX has no threads
until it is first used, in the fresh process; ONNX Runtime starts one on import, so its backend imports it there. A
backend then sets its runtime's own number of threads.
"""


OURS = {kind.__name__: kind for kind in (CompilationError, UnsupportedProfileError)}
"""Errors that cross from the fresh process as they are: they say all that there is to say."""

NO_MEMORY = ("MemoryError", "_ArrayMemoryError", "OutOfMemoryError")
"""Types that Python, numpy and PyTorch (on a GPU) raise where memory runs out."""

NO_MEMORY_WORDS = (
    "can't allocate memory",  # PyTorch on the CPU
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "RESOURCE_EXHAUSTED",  # XLA, on every device
    "Failed to allocate memory",  # ONNX Runtime
    "bad_alloc",
)
"""What the others say, whose errors have no type of their own for it."""


class ForkServer:
    """A server with these modules imported, no threads, and of the environment what `hardware.settings` passes on.

    A fresh process from here need not import them again. Not for two threads at once.
    """

    def __init__(self, modules: tuple[str, ...]) -> None:
        """Raises: MeasurementError if a module cannot be imported."""
        root = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.modules, self._owner = modules, os.getpid()
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "hardware.fork_server", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=passed_on(os.environ) | {"PYTHONPATH": path} | FORKABLE,
        )
        with self._closed_on_trouble():
            _value(self._reply(START_LIMIT_S))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be called from this process (not after a fork of ours)."""
        return self._owner == os.getpid() and self._process.poll() is None

    def call(self, function: str, argument: Any, *, limit_s: float) -> Any:
        """Call "module:function" with one argument in a fresh process; both are JSON values, and so is the result.

        Raises:
            HangError: the process did not end within `limit_s` and was killed.
            OutOfMemoryError: it ran out of memory, or was killed for that.
            MeasurementError: it died otherwise, or the function raised; its traceback is a note on the error.
        """
        request = json.dumps({"function": function, "argument": argument, "limit_s": limit_s}).encode() + b"\n"
        with self._closed_on_trouble():
            self._write(request)
            reply = self._reply(limit_s + GRACE_S)
        return _value(reply)

    def close(self) -> None:
        """End the server and whatever it has running."""
        if self._owner != os.getpid():
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    @contextlib.contextmanager
    def _closed_on_trouble(self) -> Iterator[None]:
        """After anything unexpected (Ctrl-C too) request and reply may be out of step: such a server is no more use."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _write(self, request: bytes) -> None:
        stream = self._process.stdin
        assert stream is not None
        try:
            while request:
                request = request[stream.write(request) or 0 :]
        except BrokenPipeError:
            raise MeasurementError(f"the measuring server has ended ({_exit(self._process.wait())})") from None

    def _reply(self, limit_s: float) -> dict[str, Any]:
        stream = self._process.stdout
        assert stream is not None
        deadline = time.monotonic() + limit_s
        line = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise HangError(f"the measuring server gave no answer for {limit_s:g} s and was killed")
                chunk = os.read(stream.fileno(), 1 << 20)
                if not chunk:
                    raise MeasurementError(f"the measuring server has ended ({_exit(self._process.wait())})")
                line += chunk
        reply: dict[str, Any] = json.loads(line)
        return reply


_current: ForkServer | None = None
_current_lock = threading.Lock()


@contextlib.contextmanager
def fork_server(modules: tuple[str, ...]) -> Iterator[ForkServer]:
    """This process's own server for these modules, started when needed and kept for the next call.

    Only one is kept: one with other modules replaces it. One thread at a time.
    """
    global _current
    with _current_lock:
        if _current is None or not _current.alive or _current.modules != modules:
            if _current is not None:
                _current.close()
                _current = None
            _current = ForkServer(modules)
        yield _current


@atexit.register
def close() -> None:
    """End the kept server; the next call starts another."""
    global _current
    if _current is not None:
        _current.close()
        _current = None


def _value(reply: dict[str, Any]) -> Any:
    if "value" in reply:
        return reply["value"]
    if "hang_s" in reply:
        raise HangError(f"a measuring process did not end within {reply['hang_s']:g} s and was killed")
    if "died" in reply:
        # The kernel kills with SIGKILL where memory runs out; nobody else of ours does.
        kind = OutOfMemoryError if reply["died"] == -signal.SIGKILL else MeasurementError
        hint = ", most likely because memory ran out" if kind is OutOfMemoryError else ""
        raise kind(f"a measuring process died ({_exit(reply['died'])}){hint}")
    failure = reply["failure"]
    kind = OutOfMemoryError if _out_of_memory(failure) else OURS.get(failure["type"], MeasurementError)
    said = (
        failure["message"] if failure["type"] in OURS else f"measuring failed: {failure['type']}: {failure['message']}"
    )
    error = kind(said)
    error.add_note(failure["traceback"])
    raise error


def _out_of_memory(failure: dict[str, str]) -> bool:
    return failure["type"] in NO_MEMORY or any(words in failure["message"] for words in NO_MEMORY_WORDS)


def _exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
