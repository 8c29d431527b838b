"""Devices over HTTP."""

from __future__ import annotations

from fastapi import APIRouter

from protocol.devices import DeviceView
from service.api.dependencies import ReadUnit
from service.operations.devices import device_views

router = APIRouter(tags=["devices"])


@router.get("/devices")
def list_devices(uow: ReadUnit) -> tuple[DeviceView, ...]:
    """The machines that measure, one for each hardware key."""
    return device_views(uow)
