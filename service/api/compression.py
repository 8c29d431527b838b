"""A large answer, made small on its way. Only routes that ask for it: a stream of events must not wait for a block to
be full, files are compressed already where that helps, and of a small answer nothing is won.
"""

from __future__ import annotations

import gzip

from fastapi import Request, Response

SMALL_BYTES = 16_384
"""Goes as it is: it fits into the first packets anyway."""

LEVEL = 1
"""The fastest: who looks waits for it, and columns of numbers become hardly smaller at a higher one."""


def sent_json(text: str, request: Request) -> Response:
    """The JSON, compressed where whoever asks takes that."""
    body, headers = text.encode(), {"Vary": "Accept-Encoding"}
    if len(body) > SMALL_BYTES and takes_gzip(request.headers.get("Accept-Encoding", "")):
        body, headers["Content-Encoding"] = gzip.compress(body, LEVEL, mtime=0), "gzip"
    return Response(body, media_type="application/json", headers=headers)


def takes_gzip(accepted: str) -> bool:
    """Of the value of `Accept-Encoding` (RFC 9110, section 12.5.3): `gzip`, or `*` without a word on gzip, above 0."""
    weights = {}
    for one in accepted.split(","):
        name, _, parameter = one.partition(";")
        weights[name.strip().lower()] = _weight(parameter)
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weight(parameter: str) -> float:
    """Of `q=0.5`; 1 of nothing, 0 of what says nothing that can be read."""
    if not parameter.strip():
        return 1.0
    try:
        return float(parameter.strip().removeprefix("q="))
    except ValueError:
        return 0.0
