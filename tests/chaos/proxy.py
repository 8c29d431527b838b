"""A load balancer on loopback that behaves as networks do: it drops, delays, repeats and reorders what passes."""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from enum import StrEnum

_LONGEST_S = 100.0


class Fault(StrEnum):
    DROPPED_REQUEST = "dropped request"
    DROPPED_ANSWER = "dropped answer"
    DUPLICATED = "duplicated"
    DELAYED_REQUEST = "delayed request"
    DELAYED_ANSWER = "delayed answer"
    REORDERED = "reordered"


class FaultyProxy:
    """Passes each request to one of the replicas that listen on these ports; `rate` of them meet a fault."""

    def __init__(self, ports: Sequence[int], *, rate: float, seed: int) -> None:
        self.rate = rate
        self.met: Counter[str] = Counter()
        self._ports = list(ports)
        self._random = random.Random(seed)
        self._turn = threading.Condition()
        self._answered = 0
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(_LONGEST_S)
        with closing(connection), suppress(OSError, _CutError):
            request = _read_request(connection)
            fault = self._choose()
            if fault is Fault.DROPPED_REQUEST:
                return
            if fault is Fault.DELAYED_REQUEST:
                self._wait_for_others(0.3)
            answer = self._forward(request)
            if fault is Fault.DUPLICATED:
                with suppress(OSError, _CutError):
                    answer = self._random.choice([answer, self._forward(request)])
            if fault is Fault.DROPPED_ANSWER:
                return
            if fault in (Fault.DELAYED_ANSWER, Fault.REORDERED):
                self._wait_for_others(0.3 if fault is Fault.DELAYED_ANSWER else 1.0, answers=fault is Fault.REORDERED)
            connection.sendall(answer)
            with self._turn:
                self._answered += 1
                self._turn.notify_all()

    def _choose(self) -> Fault | None:
        with self._turn:
            if self._random.random() >= self.rate:
                return None
            fault = self._random.choice(list(Fault))
            self.met[fault] += 1
            return fault

    def _wait_for_others(self, longest_s: float, answers: bool = False) -> None:
        """Until somebody else who asked later has been answered, or for so long."""
        with self._turn:
            before = self._answered
            self._turn.wait_for(lambda: answers and self._answered > before, self._random.uniform(0, longest_s))

    def _forward(self, request: bytes) -> bytes:
        ports = self._random.sample(self._ports, len(self._ports))
        for port in ports:
            try:
                replica = socket.create_connection(("127.0.0.1", port), timeout=_LONGEST_S)
            except OSError:
                continue
            with closing(replica):
                replica.sendall(request)
                return _read_answer(replica, has_body=not request.startswith(b"HEAD "))
        raise _CutError("no replica listens")


class _CutError(Exception):
    """The connection broke off."""


def _read_request(connection: socket.socket) -> bytes:
    """One request with its body; it asks for the connection to be closed after the answer."""
    known = b""
    while b"\r\n\r\n" not in known:
        known += _some(connection)
    head, _, body = known.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    if fields.get(b"transfer-encoding") == b"chunked":
        while not body.endswith(b"0\r\n\r\n"):
            body += _some(connection)
    else:
        while len(body) < int(fields.get(b"content-length", b"0")):
            body += _some(connection)
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*kept, b"Connection: close"]) + b"\r\n\r\n" + body


def _read_answer(connection: socket.socket, *, has_body: bool) -> bytes:
    """An answer, complete or not at all."""
    answer = b""
    while block := connection.recv(1 << 16):
        answer += block
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        raise _CutError("no answer")
    for line in head.lower().split(b"\r\n"):
        if has_body and line.startswith(b"content-length:") and len(body) < int(line.split(b":")[1]):
            raise _CutError("half an answer")
    return answer


def _some(connection: socket.socket) -> bytes:
    block = connection.recv(1 << 16)
    if not block:
        raise _CutError("half a request")
    return block
