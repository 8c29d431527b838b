"""Server-sent events over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from protocol.events import Event
from service.api.dependencies import Parts, PartsOf
from service.errors import InvalidError
from service.operations.studies import get_study

router = APIRouter(tags=["events"])

LastEventId = Annotated[str | None, Header(description="Resumes after this event.", examples=["42"])]

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy must not wait for more
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream that does not end by itself; a comment line after 15 s without an event.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 42\nevent: trial\ndata: {"study":"demo","trial":3,"kind":"state"}\n\n',
            }
        },
    }
}


@router.get("/events", response_class=StreamingResponse, responses=_STREAM)
async def all_events(parts: PartsOf, last_event_id: LastEventId = None) -> StreamingResponse:
    """What changes in any study, as server-sent events."""
    return _stream(parts, None, last_event_id)


@router.get("/studies/{name}/events", response_class=StreamingResponse, responses=_STREAM)
async def study_events(name: str, parts: PartsOf, last_event_id: LastEventId = None) -> StreamingResponse:
    """What changes in one study, as server-sent events."""
    await run_in_threadpool(_check, parts, name)
    return _stream(parts, name, last_event_id)


def _check(parts: Parts, name: str) -> None:
    with parts.store.read() as uow:
        get_study(uow, name)


def _stream(parts: Parts, study: str | None, last_event_id: str | None) -> StreamingResponse:
    lines = _lines(parts, study, _number(last_event_id))
    return StreamingResponse(lines, media_type="text/event-stream", headers=_HEADERS)


def _number(last_event_id: str | None) -> int | None:
    """Nothing, and an empty text, mean from now on."""
    if not last_event_id:
        return None
    if not last_event_id.isascii() or not last_event_id.isdecimal() or len(last_event_id) > 18:
        raise InvalidError("Last-Event-ID: must be the id of an event, a whole number")
    return int(last_event_id)


async def _lines(parts: Parts, study: str | None, after: int | None) -> AsyncIterator[str]:
    yield ": welcome\n\n"  # so that whoever asks knows at once that it is listened to
    async for event in parts.events.follow(study, after):
        yield ": nothing happened\n\n" if event is None else _written(event)


def _written(event: Event) -> str:
    return f"id: {event.number}\nevent: {event.topic}\ndata: {event.data.model_dump_json()}\n\n"
