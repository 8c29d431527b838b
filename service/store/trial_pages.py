"""Trials by what is known of them, as conditions and orders in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ColumnElement, Select, and_, not_, or_, select, type_coerce

from optimization.values import Constraint
from protocol.views import TrialState
from service.store.tables import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFilter:
    """Trials in these states (or in all), that are `feasible` or not (or both), and `among` these numbers or not.

    Feasible is who is known to meet all constraints, not feasible who is known to break one.
    """

    states: tuple[TrialState, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    feasible: bool | None = None
    numbers: frozenset[int] | None = None
    among: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOrder:
    """By a metric, `number`, or `created_at`; equal ones by number, and those without the metric last."""

    by: str = "number"
    is_metric: bool = False
    descending: bool = False


def metric_value(name: str) -> ColumnElement[float]:
    """The metric as SQL reads it out of what is stored; NULL where it is not known."""
    value: ColumnElement[float] = type_coerce(Trial.metrics, JSON)[name].as_float()
    return value


def page_of(
    study: int, which: TrialFilter, order: TrialOrder, after: tuple[Any, ...] | None, limit: int
) -> Select[Trial]:
    """The first trials of this order after that place: (number,), or (value, number)."""
    statement = select(Trial).where(Trial.study_id == study, *_conditions(which))
    if order.by == "number":
        key = Trial.number.desc() if order.descending else Trial.number.asc()
        if after is not None:
            statement = statement.where(Trial.number < after[0] if order.descending else Trial.number > after[0])
        return statement.order_by(key).limit(limit)
    value: ColumnElement[Any] = metric_value(order.by) if order.is_metric else Trial.created_at.expression
    if after is not None:
        statement = statement.where(_behind(value, order.descending, *after))
    ordered = value.desc() if order.descending else value.asc()
    return statement.order_by(value.is_(None), ordered, Trial.number).limit(limit)


def _behind(
    value: ColumnElement[Any], descending: bool, last: float | datetime | None, number: int
) -> ColumnElement[bool]:
    later = Trial.number > number
    if last is None:
        return and_(value.is_(None), later)
    beyond = value < last if descending else value > last
    return or_(beyond, and_(value == last, later), value.is_(None))


def _conditions(which: TrialFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if which.states:
        found.append(Trial.state.in_(which.states))
    if which.feasible is True:
        found += [_met(constraint) for constraint in which.constraints]
    elif which.feasible is False:
        found.append(or_(False, *(_broken(constraint) for constraint in which.constraints)))
    if which.numbers is not None:
        is_among = Trial.number.in_(which.numbers)
        found.append(is_among if which.among else not_(is_among))
    return found


def _met(constraint: Constraint) -> ColumnElement[bool]:
    value = metric_value(constraint.metric)
    return value >= constraint.bound if constraint.at_least else value <= constraint.bound


def _broken(constraint: Constraint) -> ColumnElement[bool]:
    value = metric_value(constraint.metric)
    return value < constraint.bound if constraint.at_least else value > constraint.bound
