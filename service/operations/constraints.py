"""Constraints, met and broken, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hardware.values import Measurement
from optimization.values import Constraint
from protocol.metrics import metric_info
from protocol.quantity import format_count, format_seconds
from search_space import Architecture
from service.operations.metrics import quantiles


def broken(constraints: Iterable[Constraint], metrics: Mapping[str, float]) -> str | None:
    """Which constraints the metrics break, as far as they are known; None if none."""
    lines = [
        f"{written(constraint.metric, metrics[constraint.metric])} breaks {described(constraint)}"
        for constraint in constraints
        if constraint.met(metrics) is False
    ]
    return "; ".join(lines) or None


def nobody_meets(constraints: Iterable[Constraint], smallest: Architecture, measurement: Measurement) -> str | None:
    """Why no architecture can meet the constraints, from what the smallest one takes; None if one may."""
    measured = quantiles(measurement)
    for constraint in constraints:
        quantile = measured.get(constraint.metric)
        if quantile is None or constraint.at_least or quantile.low_s is None or quantile.low_s <= constraint.bound:
            continue
        high = "more" if quantile.high_s is None else format_seconds(quantile.high_s)
        return (
            f"nobody can meet the constraint {described(constraint)}: the smallest architecture of the search space "
            f"({smallest.label}) takes {format_seconds(quantile.value_s)} (95 % interval "
            f"{format_seconds(quantile.low_s)} to {high}) on {measurement.profile.label}; "
            "raise the bound, or allow smaller architectures"
        )
    return None


def described(constraint: Constraint) -> str:
    """The constraint as a study file writes it."""
    return (
        f"{constraint.metric} {'>=' if constraint.at_least else '<='} {_quantity(constraint.metric, constraint.bound)}"
    )


def written(metric: str, value: float) -> str:
    """A metric and its value for people: `latency_p50 5.2 ms`."""
    return f"{metric} {_quantity(metric, value)}"


def _quantity(metric: str, value: float) -> str:
    unit = metric_info(metric).unit
    if unit == "seconds":
        return format_seconds(value)
    return format_count(value) if unit == "count" else f"{value:.4g}"
