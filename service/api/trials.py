"""Trials over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from protocol.views import TrialState, TrialView
from service.api.dependencies import PartsOf, ReadUnit
from service.api.lists import LINK, Cursor, Limit, sent
from service.operations import views
from service.operations.paging import MOST
from service.operations.trial_list import TrialQuery
from service.operations.trial_list import list_trials as trials_of

router = APIRouter(tags=["trials"])

Number = Annotated[int, Path(ge=1, lt=2**31)]
States = Annotated[list[TrialState], Query(description="Only trials in these states.")]
Constraints = Annotated[
    list[str],
    Query(
        max_length=20,
        description="A bound as a study file writes it, instead of the study's own.",
        examples=[["latency_p50 <= 4 ms"]],
    ),
]
Feasible = Annotated[
    bool | None, Query(description="Only trials that meet the constraints; false: that break one of them.")
]
OnFront = Annotated[bool | None, Query(description="Only the front of what meets the constraints; false: only others.")]
Sort = Annotated[
    str, Query(max_length=64, description="`number`, `created_at` or a metric; behind a `-` the largest first.")
]


@router.get("/studies/{name}/trials", responses={200: {"headers": LINK}})
def list_trials(
    name: str,
    uow: ReadUnit,
    parts: PartsOf,
    request: Request,
    response: Response,
    state: States = [],  # noqa: B006 (never changed)
    constraint: Constraints = [],  # noqa: B006
    feasible: Feasible = None,
    on_front: OnFront = None,
    sort: Sort = "number",
    limit: Limit = MOST,
    cursor: Cursor = None,
) -> tuple[TrialView, ...]:
    """The study's trials, filtered and ordered."""
    query = TrialQuery(
        states=state,
        constraints=constraint,
        feasible=feasible,
        on_front=on_front,
        sort=sort,
        limit=limit,
        cursor=cursor,
    )
    return sent(trials_of(uow, name, query, parts.settings.exports), request, response)


@router.get("/studies/{name}/trials/{number}")
def get_trial(name: str, number: Number, uow: ReadUnit, parts: PartsOf) -> TrialView:
    """One trial."""
    return views.trial_view(uow, name, number, parts.settings.exports)
