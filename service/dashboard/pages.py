"""The HTML pages: all studies, and one. What moves on them is read from the JSON API by `static/`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from protocol.metrics import METRICS
from protocol.tokens import Scope
from protocol.views import StudyState, StudyView
from service.dashboard.assets import HERE, modules_of, plotly_address
from service.dashboard.wording import (
    device_time,
    hypervolume_text,
    is_over,
    metric_text,
    metric_title,
    remaining_time,
    shown_metrics,
    subject,
    time_taken,
    trials_text,
    wanted,
)
from service.errors import NotFoundError
from service.operations.views import study_page as page_of_studies
from service.operations.views import study_view
from service.principal import PRESENT

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_HEADERS = {
    # Plotly writes style attributes and a style sheet of its own; scripts are only ever ours.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_METRICS = json.dumps({name: {"unit": info.unit, "better": info.better} for name, info in METRICS.items()})
"""How the scripts write a metric, and which way it is better."""

FIRST = 50
"""Studies on one page of the overview, as `static/studies.js` has it."""

FEW = 6
"""With so many studies there is nothing to look for."""


def may_change() -> bool:
    """Whether whoever asks may do more than read, so that pages offer it; the routes themselves refuse it otherwise."""
    who = PRESENT.get()
    return who is None or who.scope is not Scope.READ_ONLY


_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals |= {"principal": PRESENT.get, "may_change": may_change, "known_metrics": _METRICS}
_templates.filters |= {
    "cost": device_time,
    "over": is_over,
    "remaining": remaining_time,
    "shown": shown_metrics,
    "subject": subject,
    "taken": time_taken,
    "title_of": metric_title,
    "trials": trials_text,
    "volume": hypervolume_text,
    "metric": metric_text,
    "wanted": wanted,
}


@router.get("/")
def all_studies(request: Request) -> HTMLResponse:
    with request.app.state.parts.store.read() as uow:
        return studies_page(page_of_studies(uow, FIRST).items)


@router.get("/studies/{name}")
def one_study(name: str, request: Request) -> HTMLResponse:
    try:
        with request.app.state.parts.store.read() as uow:
            return study_page(study_view(uow, name))
    except NotFoundError:
        return missing_page(name)


@router.get("/login")
def login() -> HTMLResponse:
    """Where a token is exchanged for a session, and a session ended."""
    return _page("login.html")


def studies_page(studies: Sequence[StudyView]) -> HTMLResponse:
    return _page("studies.html", studies=studies, states=list(StudyState), few=FEW, modules=modules_of("studies.js"))


def study_page(study: StudyView) -> HTMLResponse:
    return _page("study.html", study=study, plotly=plotly_address(), modules=modules_of("study.js"))


def missing_page(name: str) -> HTMLResponse:
    return _page("missing.html", 404, name=name)


def unknown_page(path: str) -> HTMLResponse:
    return _page("unknown.html", 404, path=path)


def _page(template: str, status: int = 200, **values: object) -> HTMLResponse:
    return HTMLResponse(_templates.get_template(template).render(values), status, headers=_HEADERS)


def rendered(template: str, status: int = 200, **values: object) -> HTMLResponse:
    """The page that this template makes, with the headers that every page has."""
    return _page(template, status, **values)
