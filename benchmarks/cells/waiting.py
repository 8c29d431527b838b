"""A thousand workers that wait for a job: connections of one process, that ask again whenever they were told of none.

They speak HTTP by the line: what a client library takes for each request would be the load's, not the service's.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from cells.stored_study import ARTEFACT, curve, score

from protocol.jobs import PROTOCOL_VERSION, Distilled, Grant, JobKind, LeaseRequest, Report

FIRST_S = 5.0
"""In which they come, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    address: str
    workers: int
    wait_s: float
    lasts_s: float


def wait(fleet: Fleet) -> dict[str, Any]:
    """Which job was granted when, by the system's monotonic clock, and how many requests were answered."""
    return asyncio.run(_wait(fleet))


async def _wait(fleet: Fleet) -> dict[str, Any]:
    found: dict[str, Any] = {"granted_s": {}, "answers": 0, "errors": []}
    end_s = time.monotonic() + fleet.lasts_s
    tasks = [asyncio.create_task(_worker(fleet, number, found)) for number in range(fleet.workers)]
    await asyncio.sleep(end_s - time.monotonic())
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    found["errors"] = sorted({repr(each) for each in ended if not isinstance(each, asyncio.CancelledError)})
    return found


async def _worker(fleet: Fleet, number: int, found: dict[str, Any]) -> None:
    await asyncio.sleep(FIRST_S * number / fleet.workers)
    url = urlsplit(fleet.address)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    asks = LeaseRequest(
        worker=f"idle-{number}", protocol_version=PROTOCOL_VERSION, kinds=(JobKind.DISTILL,), wait_s=fleet.wait_s
    ).model_dump(mode="json")
    result = Distilled(selection=score(0.8), curve=curve(), steps=200, seconds=60.0, weights=ARTEFACT)
    try:
        while True:
            status, body = await _post(reader, writer, "/v1/jobs:lease", {**asks, "request": uuid4().hex})
            found["answers"] += 1
            if status == 204:
                continue
            granted_s = time.monotonic()
            grant = Grant.model_validate_json(body)
            found["granted_s"][grant.job] = granted_s
            report = Report(attempt=grant.attempt, result=result).model_dump(mode="json")
            await _post(reader, writer, f"/v1/jobs/{grant.job}:report", report)
    finally:
        writer.close()


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, message: Any
) -> tuple[int, bytes]:
    body = json.dumps(message).encode()
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    writer.write("\r\n".join((*lines, "", "")).encode() + body)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(maxsplit=2)[1])
    length = next((int(line.partition(":")[2]) for line in head.split("\r\n") if line.startswith("content-length")), 0)
    answer = await reader.readexactly(length)
    if status not in (200, 204):
        raise RuntimeError(f"{path} answered {status}: {answer[:200]!r}")
    return status, answer
