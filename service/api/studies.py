"""Studies, trials and fronts over HTTP."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from protocol.changes import ExtendStudy
from protocol.study import StudySpec
from protocol.views import CreateStudy, FrontView, PreviewView, StudyState, StudyView
from service.api.dependencies import PartsOf, ReadUnit
from service.api.documentation import refusals
from service.api.lists import LINK, Cursor, Limit, sent
from service.api.trials import Constraints
from service.operations import lifecycle, views
from service.operations.calibrations import preview_latencies
from service.operations.front import view_moved_front
from service.operations.idempotency import once
from service.operations.paging import MOST
from service.operations.preview import preview
from service.operations.studies import create_study, parse_spec
from service.operations.studies import get_study as find_study
from service.operations.trial_list import read_constraints
from service.store.unit_of_work import UnitOfWork

router = APIRouter(tags=["studies"])

ENDED = refusals(study_ended="The study has ended.")

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="Any text of the caller's choice, another one for each request that is meant to be one.",
    ),
]
Metrics = Annotated[
    list[str],
    Query(max_length=3, description="Two or three, instead of the objectives.", examples=[["accuracy", "parameters"]]),
]


Part = Annotated[
    str,
    Query(
        alias="name",
        max_length=64,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Only studies with this text in their name, small or capital.",
    ),
]
States = Annotated[list[StudyState], Query(description="Only studies in these states.")]


@router.post(
    "/studies",
    status_code=201,
    response_model=StudyView,
    responses={
        200: {"model": StudyView, "description": "There already, with the same settings."},
        **refusals(study_differs="The name is taken by a study with other settings; `errors` names them."),
    },
)
def create(message: CreateStudy, parts: PartsOf, key: Key = None) -> Response:
    """Starts a study. The same one may be sent any number of times; one that failed before its first trial starts
    afresh, also with other settings. With a key, the same request has the same answer for 7 days."""
    spec = parse_spec(message.spec)
    with parts.store.write() as uow:
        status, body = once(uow, key, message.spec, partial(_create, uow, spec))
    return Response(body, status, media_type="application/json")


@router.get("/studies", responses={200: {"headers": LINK}})
def list_studies(
    uow: ReadUnit,
    request: Request,
    response: Response,
    part: Part = "",
    state: States = [],  # noqa: B006 (never changed)
    limit: Limit = MOST,
    cursor: Cursor = None,
) -> tuple[StudyView, ...]:
    """Studies, the newest first."""
    return sent(views.study_page(uow, limit, cursor, part, state), request, response)


@router.get("/studies/{name}")
def get_study(name: str, uow: ReadUnit) -> StudyView:
    """One study."""
    return views.study_view(uow, name)


@router.post("/studies/{name}:stop", responses=ENDED)
def stop(name: str, parts: PartsOf) -> StudyView:
    """Stops the study: its queued jobs are cancelled, and who works on one hears it at the next renewal."""
    with parts.store.write() as uow:
        lifecycle.stop_study(uow, name)
        return views.study_view(uow, name)


@router.post("/studies/{name}:resume", responses=ENDED)
def resume(name: str, parts: PartsOf) -> StudyView:
    """Lets a stopped study go on where it was, its jobs from their last checkpoints."""
    with parts.store.write() as uow:
        lifecycle.resume_study(uow, name)
        uow.flush()
        return views.study_view(uow, name)


@router.post("/studies/{name}:extend", responses=ENDED)
def extend(name: str, message: ExtendStudy, parts: PartsOf) -> StudyView:
    """Raises totals of the study's budget; one that was completed searches on, and keeps its finalists."""
    with parts.store.write() as uow:
        lifecycle.extend_study(uow, name, message)
        uow.flush()
        return views.study_view(uow, name)


@router.delete("/studies/{name}", status_code=204, responses=refusals(study_running="It must be stopped before."))
def delete(name: str, parts: PartsOf) -> Response:
    """Removes all that is stored of a study that has ended, or was stopped."""
    with parts.store.write() as uow:
        lifecycle.delete_study(uow, name)
    return Response(status_code=204)


@router.get("/studies/{name}/front")
def get_front(name: str, uow: ReadUnit, metric: Metrics = [], constraint: Constraints = []) -> FrontView:  # noqa: B006
    """The trials that no other one dominates, and how the front grew; over other metrics, or within other bounds, of
    what is known already."""
    named = read_constraints(constraint) if constraint else None
    return view_moved_front(uow, find_study(uow, name), metric, named)


@router.post("/preview")
def preview_study(message: CreateStudy, uow: ReadUnit) -> PreviewView:
    """What a study would search, who meets its constraints, and what latencies are predicted. Nothing is started."""
    spec = parse_spec(message.spec)
    return preview(spec, partial(preview_latencies, uow, spec))


def _create(uow: UnitOfWork, spec: StudySpec) -> tuple[int, StudyView]:
    status = 201 if create_study(uow, spec) else 200
    uow.flush()
    return status, views.study_view(uow, spec.name)
