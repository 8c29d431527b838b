"""What plots and tables of a study are drawn from, over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from protocol.plots import CurvesView, Importance, MeasurementView, PointsView
from protocol.views import FrontPoint
from service.api.compression import sent_json
from service.api.dependencies import ReadUnit
from service.operations import front, trial_details
from service.operations.export import ExportFormat, table, written
from service.operations.importance import importance
from service.operations.points import points_view
from service.operations.studies import get_study

router = APIRouter(tags=["studies"])

Number = Annotated[int, Path(ge=1, lt=2**31)]
TABLES = {
    "text/csv": {"schema": {"type": "string"}},
    "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
    "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
}

Format = Annotated[ExportFormat, Query(alias="format")]


@router.get("/studies/{name}/points", response_model=PointsView)
def points(name: str, uow: ReadUnit, request: Request) -> Response:
    """All trials of the study as columns, by number."""
    # Written out at once: checking so many numbers of our own again would take longer than reading them did.
    return sent_json(points_view(uow, name).model_dump_json(), request)


@router.get("/studies/{name}/history")
def history(name: str, uow: ReadUnit) -> tuple[FrontPoint, ...]:
    """How the front's hypervolume grew with the trials that were spent; empty until there is a reference point."""
    return front.history(uow, get_study(uow, name))


@router.get("/studies/{name}/importance")
def get_importance(name: str, uow: ReadUnit) -> Importance:
    """How much of each objective goes with each dimension of the search space; null while too few trials tell."""
    return importance(uow, name)


@router.get(
    "/studies/{name}/export",
    response_class=StreamingResponse,
    responses={200: {"content": TABLES, "description": "One row for each trial."}},
)
def export(name: str, uow: ReadUnit, kind: Format = ExportFormat.CSV) -> StreamingResponse:
    """All trials of the study as one table, for download."""
    pieces = written(table(uow, name), kind)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    return StreamingResponse(pieces, media_type=kind.media_type, headers=headers)


@router.get("/studies/{name}/trials/{number}/curves")
def curves(name: str, number: Number, uow: ReadUnit) -> CurvesView:
    """The trial's learning curves on the selection split."""
    return trial_details.curves(uow, name, number)


@router.get("/studies/{name}/trials/{number}/measurements")
def measurements(
    name: str, number: Number, uow: ReadUnit, samples: Annotated[bool, Query()] = False
) -> tuple[MeasurementView, ...]:
    """What was measured of the trial, the oldest first; with every raw sample, if they are asked for."""
    return trial_details.measurements(uow, name, number, samples=samples)
