"""Server-sent events of the service, as they come."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from client.errors import UnexpectedAnswer, Unreachable
from client.transport import Transport
from protocol.events import Event, EventData, Topic

SILENCE_S = 45.0
"""The service says something every 15 s, if only that nothing happened."""

AGAIN_S = 0.5
"""Before a stream that ended is asked for again."""


def events(transport: Transport, path: str, after: int | None = None) -> Iterator[Event | None]:
    """Every event from now on, or after the one of that number; None for a sign of life, of which the first is at once.

    A connection that breaks is made again, and what happened meanwhile is told then. Does not end by itself.

    Raises:
        Unreachable: the service does not answer any more.
    """
    while True:
        heard = False
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        try:
            with transport.stream(path, headers=headers, timeout_s=SILENCE_S) as blocks:
                heard = True
                for fields in _messages(_lines(blocks)):
                    event = _event(fields)
                    after = after if event is None else event.number
                    yield event
        except Unreachable:
            if not heard:
                raise
        transport.pause(AGAIN_S)


def _lines(blocks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from (line.decode(errors="replace").removesuffix("\r") for line in lines)


def _messages(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """The fields of each message; none of one that is only a comment."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            yield fields
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")


def _event(fields: dict[str, str]) -> Event | None:
    if "data" not in fields:
        return None
    try:
        data = EventData.model_validate_json(fields["data"])
        return Event(number=int(fields["id"]), topic=Topic(fields["event"]), data=data)
    except (KeyError, ValueError, ValidationError) as error:
        raise UnexpectedAnswer(f"an event that this version does not understand: {fields!r:.200}") from error
