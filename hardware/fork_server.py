"""A single-threaded process that has a runtime loaded and forks a fresh process for every call.

Run as `python -m hardware.fork_server MODULE ...`; `hardware.isolation` is its client. Requests come as lines of JSON
on standard input, replies go as lines of JSON to what was standard output at the start; what libraries print goes to
standard error. At the end of its input it kills what it forked and exits, so nothing outlives the client.

multiprocessing's own server is not used: it imports the caller's main module again in every process, it cannot be
given its own environment, and its processes survive their caller.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import math
import os
import select
import signal
import sys
import time
import traceback
from importlib import import_module
from typing import Any, NoReturn

GRACE_S = 5
PR_SET_PDEATHSIG = 1


def main(modules: list[str]) -> int:
    # A terminal and a service manager signal the whole group: that is the client's to handle, which closes our input.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    channel = os.dup(1)
    os.dup2(2, 1)
    try:
        for name in modules:
            import_module(name)
    except Exception as error:
        _send(channel, _failure(error))
        return 1
    gc.collect()
    gc.freeze()  # shared pages stay shared: the collector does not write to what was loaded here
    _send(channel, json.dumps({"value": None}).encode())
    for line in iter(sys.stdin.buffer.readline, b""):
        request = json.loads(line)
        reply = _in_a_fork(request, channel)
        if reply is None:
            break
        _send(channel, reply)
    return 0


def _in_a_fork(request: dict[str, Any], channel: int) -> bytes | None:
    """The reply of a fresh process; None if the client went away meanwhile."""
    reader, writer = os.pipe()
    server = os.getpid()
    child = os.fork()
    if not child:
        os.close(reader)
        os.close(channel)
        _answer(request, writer, server)
    os.close(writer)
    try:
        answer, why = _read(reader, time.monotonic() + request["limit_s"])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(reader)
    if why == "gone":
        return None
    if why == "hang":
        return json.dumps({"hang_s": request["limit_s"]}).encode()
    return answer or json.dumps({"died": status}).encode()


def _read(reader: int, deadline: float) -> tuple[bytes, str]:
    """All that the child writes until it ends, and how it ended: 'end', 'hang', or 'gone' for the client."""
    chunks: list[bytes] = []
    while True:
        ready, _, _ = select.select([reader, 0], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return b"", "hang"
        if 0 in ready:  # the client sends nothing while it waits, so this is its end
            return b"", "gone"
        chunk = os.read(reader, 1 << 20)
        if not chunk:
            return b"".join(chunks), "end"
        chunks.append(chunk)


def _answer(request: dict[str, Any], writer: int, server: int) -> NoReturn:
    """The forked process: call the function, write what it returned, end without any clean-up of the server's."""
    code = 1
    try:
        _die_with(server, request["limit_s"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        try:
            module, name = request["function"].split(":")
            value = getattr(import_module(module), name)(request["argument"])
            reply = json.dumps({"value": value}).encode()
        except Exception as error:
            reply = _failure(error)
        with os.fdopen(writer, "wb") as stream:
            stream.write(reply)
        code = 0
    finally:
        os._exit(code)


def _die_with(server: int, limit_s: float) -> None:
    """End this process when the server ends, however that happens, and soon after its limit in any case."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(math.ceil(limit_s) + GRACE_S)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != server:  # it ended before the line above
            os._exit(1)


def _failure(error: Exception) -> bytes:
    failure = {"type": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}
    return json.dumps({"failure": failure}).encode()


def _send(channel: int, reply: bytes) -> None:
    with os.fdopen(os.dup(channel), "wb") as stream:
        stream.write(reply + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
