"""Artefacts over HTTP: streamed up and down, named by their content."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable

from protocol.artefact import ID_PATTERN
from protocol.mistakes import cut
from service.api.dependencies import Parts, PartsOf, ReadUnit
from service.errors import NotFoundError
from service.operations import retention
from service.store.artefact_files import Upload
from service.store.unit_of_work import UnitOfWork

router = APIRouter(tags=["artefacts"])

Sha256 = Annotated[str, Path(pattern=ID_PATTERN)]

BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}

_BLOCK = 1 << 20


@router.put(
    "/artefacts/{sha256}",
    status_code=201,
    responses={201: {"description": "Stored."}, 204: {"description": "Was there already."}},
    response_model=None,
    openapi_extra={"requestBody": {"content": BYTES, "required": True}},
)
async def put(sha256: Sha256, request: Request, parts: PartsOf) -> Response:
    """Stores the body, if its SHA-256 is the one in the path. May be sent any number of times."""
    await run_in_threadpool(_check_room, parts, sha256, request.headers.get("Content-Length", ""))
    upload = await run_in_threadpool(parts.files.upload, sha256)
    with upload:
        block = bytearray()
        async for chunk in request.stream():
            block += chunk
            if len(block) >= _BLOCK:
                await run_in_threadpool(upload.write, bytes(block))
                block.clear()
        new = await run_in_threadpool(_finish, parts, upload, bytes(block))
    return Response(status_code=201 if new else 204)


@router.get(
    "/artefacts/{sha256}",
    response_class=FileResponse,
    responses={
        200: {"content": BYTES, "description": "All of it."},
        206: {"content": BYTES, "description": "The range that was asked for."},
        416: {"description": "The range lies beyond the artefact's end."},
    },
)
def get(sha256: Sha256, uow: ReadUnit, parts: PartsOf) -> FileResponse:
    """The artefact's bytes; ranges are understood."""
    _check(sha256, uow, parts)
    return _Ranged(parts.files.path(sha256), media_type="application/octet-stream", headers={"ETag": f'"{sha256}"'})


@router.head("/artefacts/{sha256}", response_model=None)
def head(sha256: Sha256, uow: ReadUnit, parts: PartsOf) -> Response:
    """Whether the artefact is there, and how large it is. Whoever is about to name it asks: it stays for a while."""
    size_bytes = _check(sha256, uow, parts)
    with parts.store.write() as writing:
        if not retention.touch(writing, sha256):
            raise _unknown(sha256)
    headers = {"Content-Length": str(size_bytes), "ETag": f'"{sha256}"'}
    return Response(media_type="application/octet-stream", headers=headers)


class _Ranged(FileResponse):
    """Says as a problem what is wrong with the range that is asked for."""

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader as error:
            raise HTTPException(400, f"the Range {cut(http_range)!r} is malformed; write bytes=FIRST-LAST") from error
        except RangeNotSatisfiable as error:
            raise HTTPException(
                416,
                f"the Range {cut(http_range)!r} lies beyond the artefact's {file_size} bytes",
                headers={"Content-Range": f"bytes */{file_size}"},
            ) from error


def _finish(parts: Parts, upload: Upload, rest: bytes) -> bool:
    upload.write(rest)
    upload.finish()
    with parts.store.write() as uow:
        return retention.store_upload(uow, parts.settings, upload)


def _check_room(parts: Parts, sha256: str, length: str) -> None:
    """Before anything is sent that there is no room for."""
    with parts.store.read() as uow:
        if parts.settings.artefact_quota_bytes and uow.artefacts.find(sha256) is None:
            retention.check_quota(uow, parts.settings, int(length) if length.isdecimal() else 0)


def _unknown(sha256: str) -> NotFoundError:
    return NotFoundError(f"there is no artefact {sha256}")


def _check(sha256: str, uow: UnitOfWork, parts: Parts) -> int:
    row = uow.artefacts.find(sha256)
    if row is None or not parts.files.exists(sha256):
        raise _unknown(sha256)
    return row.size_bytes
