"""Studies, trials and fronts over HTTP."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Response

from protocol.views import CreateStudy, FrontView, PreviewView, StudyView, TrialView
from service.api.dependencies import PartsOf, ReadUnit
from service.operations import views
from service.operations.calibrations import preview_latencies
from service.operations.preview import preview
from service.operations.studies import create_study, parse_spec

router = APIRouter(tags=["studies"])


@router.post("/studies", status_code=201, responses={200: {"description": "There already, with the same settings."}})
def create(message: CreateStudy, parts: PartsOf, response: Response) -> StudyView:
    """Starts a study. The same one may be sent any number of times; one that failed before its first trial starts
    afresh, also with other settings."""
    spec = parse_spec(message.spec)
    with parts.store.write() as uow:
        response.status_code = 201 if create_study(uow, spec) else 200
        uow.flush()
        return views.study_view(uow, spec.name)


@router.get("/studies")
def list_studies(uow: ReadUnit) -> tuple[StudyView, ...]:
    """Every study, the newest first."""
    return views.study_views(uow)


@router.get("/studies/{name}")
def get_study(name: str, uow: ReadUnit) -> StudyView:
    return views.study_view(uow, name)


@router.get("/studies/{name}/trials")
def list_trials(name: str, uow: ReadUnit, parts: PartsOf) -> tuple[TrialView, ...]:
    """The study's trials by number."""
    return views.trial_views(uow, name, parts.settings.exports)


@router.get("/studies/{name}/trials/{number}")
def get_trial(name: str, number: Annotated[int, Path(ge=1, lt=2**31)], uow: ReadUnit, parts: PartsOf) -> TrialView:
    return views.trial_view(uow, name, number, parts.settings.exports)


@router.get("/studies/{name}/front")
def get_front(name: str, uow: ReadUnit) -> FrontView:
    """The trials that no other one dominates, and how the front grew."""
    return views.front_view(uow, name)


@router.post("/preview")
def preview_study(message: CreateStudy, uow: ReadUnit) -> PreviewView:
    """What a study would search, who meets its constraints, and what latencies are predicted. Nothing is started."""
    spec = parse_spec(message.spec)
    return preview(spec, partial(preview_latencies, uow, spec))
