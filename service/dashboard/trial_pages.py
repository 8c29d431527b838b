"""The pages of single trials: one, and several side by side."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from protocol.views import StudyView, TrialView
from service.dashboard.pages import missing_page, rendered
from service.errors import NotFoundError
from service.operations.reasons import Reason, reason_of
from service.operations.views import study_view, trial_view

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

MOST_DIGITS = 9
"""Longest number of a trial: none is longer, and the database would refuse it."""


@router.get("/studies/{name}/trials/{number}")
def one_trial(name: str, number: str, request: Request) -> HTMLResponse:
    parts = request.app.state.parts
    try:
        with parts.store.read() as uow:
            study = study_view(uow, name)
            trial = trial_view(uow, name, _number(name, number), parts.settings.exports)
            return trial_page(study, trial, reason_of(uow, name, trial.number))
    except NotFoundError:
        return missing_trial_page(name, number)


@router.get("/studies/{name}/compare")
def several_trials(name: str, request: Request) -> HTMLResponse:
    try:
        with request.app.state.parts.store.read() as uow:
            return compare_page(study_view(uow, name))
    except NotFoundError:
        return missing_page(name)


def trial_page(study: StudyView, trial: TrialView, reason: Reason) -> HTMLResponse:
    return rendered("trial.html", study=study, trial=trial, reason=reason, last=sum(study.trials.values()))


def compare_page(study: StudyView) -> HTMLResponse:
    return rendered("compare.html", study=study)


def missing_trial_page(name: str, number: str) -> HTMLResponse:
    return rendered("missing_trial.html", 404, name=name, number=number)


def _number(name: str, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS and int(text):
        return int(text)
    raise NotFoundError(f"study {name!r} has no trial {text!r}")
