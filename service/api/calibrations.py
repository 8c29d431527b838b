"""Calibrations over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from protocol.calibration import CalibrationRecord, CalibrationView, view_of
from service.api.dependencies import PartsOf, ReadUnit
from service.api.lists import LINK, Cursor, Limit, sent
from service.operations import calibrations
from service.operations.paging import MOST

router = APIRouter(tags=["calibrations"])

Identity = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]


@router.post(
    "/calibrations",
    status_code=201,
    responses={200: {"model": CalibrationView, "description": "Was there already."}},
)
def create(message: CalibrationRecord, parts: PartsOf, response: Response) -> CalibrationView:
    """Keeps a calibration for every study of its device profile. May be sent any number of times."""
    with parts.store.write() as uow:
        identity, new = calibrations.store_calibration(uow, message)
    response.status_code = 201 if new else 200
    return view_of(message, identity)


@router.get("/calibrations", responses={200: {"headers": LINK}})
def list_calibrations(
    uow: ReadUnit, request: Request, response: Response, limit: Limit = MOST, cursor: Cursor = None
) -> tuple[CalibrationView, ...]:
    """Calibrations, the newest first, without rows and models."""
    return sent(calibrations.calibration_page(uow, limit, cursor), request, response)


@router.get("/calibrations/{identity}")
def get_calibration(identity: Identity, uow: ReadUnit) -> CalibrationRecord:
    """One calibration whole."""
    return calibrations.get_calibration(uow, identity)
