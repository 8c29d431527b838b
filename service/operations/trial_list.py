"""The trials of a study that somebody asks for: filtered and ordered where they are stored, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from optimization.values import Constraint
from protocol.errors import ProtocolError
from protocol.metrics import METRICS, metric_info
from protocol.shorthand import read_constraint
from protocol.views import TrialState, TrialView
from service.errors import InvalidError
from service.operations.front import moved_front
from service.operations.paging import Page, Place, decode, page
from service.operations.studies import get_study
from service.operations.views import views_of
from service.store.tables import Study, Trial
from service.store.trial_pages import TrialFilter, TrialOrder
from service.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialQuery:
    """Which trials are asked for, in words.

    Those in `states`, or in all; that meet the constraints, the study's own unless others are named, or
    (`feasible` False) break one of them; that are on the front which these constraints leave, or are not. `sort` is a
    metric, `number` or `created_at`, behind a `-` the largest first; trials without the metric come last.
    """

    states: Sequence[TrialState] = ()
    constraints: Sequence[str] = ()
    feasible: bool | None = None
    on_front: bool | None = None
    sort: str = "number"
    limit: int
    cursor: str | None = None


def list_trials(uow: UnitOfWork, name: str, query: TrialQuery, exports: Path) -> Page[TrialView]:
    """`exports` is the folder in which finalists may lie.

    Raises:
        NotFoundError: there is no such study. InvalidError: no constraint, no order, or no cursor of this list.
    """
    study = get_study(uow, name)
    order = _order(query.sort)
    found = uow.trials.page(study.id, _filter(uow, study, query), order, _after(query, order), query.limit + 1)
    rows = page(found, query.limit, lambda trial: _place(order, trial))
    return Page(views_of(uow, study, rows.items, exports), rows.cursor)


def read_constraints(texts: Sequence[str]) -> tuple[Constraint, ...]:
    """As a study file writes them. Raises: InvalidError."""
    found = []
    for text in texts:
        try:
            found.append(read_constraint(text))
        except (ProtocolError, ValueError) as error:
            raise InvalidError(f"constraint: {error}") from error
    return tuple(found)


def _filter(uow: UnitOfWork, study: Study, query: TrialQuery) -> TrialFilter:
    named = read_constraints(query.constraints)
    feasible = query.feasible if query.feasible is not None or not named else True
    numbers = None
    if query.on_front is not None:
        numbers = frozenset(moved_front(uow, study, study.spec.objectives, named or None))
    return TrialFilter(
        states=tuple(query.states),
        constraints=named or study.spec.constraints,
        feasible=feasible,
        numbers=numbers,
        among=query.on_front is not False,
    )


def _order(sort: str) -> TrialOrder:
    by = sort.removeprefix("-")
    if by not in ("number", "created_at"):
        try:
            metric_info(by, "sort: ")
        except ProtocolError as error:
            raise InvalidError(str(error)) from error
    return TrialOrder(by=by, is_metric=by in METRICS, descending=sort.startswith("-"))


def _after(query: TrialQuery, order: TrialOrder) -> tuple[Any, ...] | None:
    if order.by == "number":
        return decode(query.cursor, int)
    if order.is_metric:
        return decode(query.cursor, (int, float), int)
    place = decode(query.cursor, str, int)
    try:
        return None if place is None else (datetime.fromisoformat(str(place[0])), place[1])
    except ValueError as error:
        raise InvalidError("cursor: is of a list in another order; begin without one") from error


def _place(order: TrialOrder, trial: Trial) -> Place:
    if order.by == "number":
        return (trial.number,)
    return (trial.metrics.get(order.by) if order.is_metric else trial.created_at.isoformat(), trial.number)
