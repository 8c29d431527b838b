"""The pages of what belongs to no study: workers, devices, and the form that starts one."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from distillation.presets import PRESETS as RECIPES
from distillation.values import METRICS_OF
from encoders.values import HeadKind
from hardware.values import Device, Dtype, Effort, Runtime
from optimization.values import StrategyName
from search_space import PRESETS as SPACES
from service.dashboard.pages import rendered

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/workers")
def workers() -> HTMLResponse:
    return rendered("workers.html")


@router.get("/devices")
def devices() -> HTMLResponse:
    return rendered("devices.html")


@router.get("/new")
def new_study() -> HTMLResponse:
    return rendered(
        "new_study.html",
        kinds=list(HeadKind),
        metrics={str(kind): [str(metric) for metric in metrics] for kind, metrics in METRICS_OF.items()},
        devices=list(Device),
        runtimes=list(Runtime),
        dtypes=list(Dtype),
        efforts=list(Effort),
        strategies=list(StrategyName),
        presets=list(SPACES),
        recipes=list(RECIPES),
    )
