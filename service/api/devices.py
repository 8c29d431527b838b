"""Devices over HTTP."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from protocol.devices import DeviceView
from service.api.dependencies import ReadUnit
from service.api.lists import LINK, Cursor, Limit, sent
from service.operations.devices import device_page
from service.operations.paging import MOST

router = APIRouter(tags=["devices"])


@router.get("/devices", responses={200: {"headers": LINK}})
def list_devices(
    uow: ReadUnit, request: Request, response: Response, limit: Limit = MOST, cursor: Cursor = None
) -> tuple[DeviceView, ...]:
    """The machines that measure, one for each hardware key, in the keys' order."""
    return sent(device_page(uow, limit, cursor), request, response)
