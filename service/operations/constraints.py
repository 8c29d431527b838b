"""Constraints, met and broken, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hardware.values import Measurement, Quantile
from optimization.values import Constraint
from protocol.metrics import info_of
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


def nobody_meets(constraints: Iterable[Constraint], ends: Mapping[str, tuple[Architecture, Measurement]]) -> str | None:
    """Why no architecture can meet the constraints, from what `smallest` and `largest` take, as far as these are known;
    None if one may.
    """
    for index, constraint in enumerate(constraints):
        end = "largest" if constraint.at_least else "smallest"
        if end not in ends:
            continue
        architecture, measurement = ends[end]
        quantile = quantiles(measurement).get(constraint.metric)
        if quantile is None or not _out_of_reach(constraint, quantile):
            continue
        low = "less" if quantile.low_s is None else format_seconds(quantile.low_s)
        high = "more" if quantile.high_s is None else format_seconds(quantile.high_s)
        change = "lower the bound, or allow larger" if constraint.at_least else "raise the bound, or allow smaller"
        return (
            f"{_nobody(index, constraint)}: the {end} architecture of the search space ({architecture.label}) takes "
            f"{format_seconds(quantile.value_s)} (95 % interval {low} to {high}) on {measurement.profile.label}; "
            f"{change} architectures"
        )
    return None


def too_many_parameters(constraints: Iterable[Constraint], largest: int) -> str | None:
    """Why the constraints ask for more parameters than the largest architecture has; None if they do not."""
    for index, constraint in enumerate(constraints):
        if constraint.metric == "parameters" and constraint.at_least and constraint.bound > largest:
            return (
                f"{_nobody(index, constraint)}: the largest architecture of the search space has "
                f"{format_count(largest)}; lower the bound, or allow larger architectures"
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


def _nobody(index: int, constraint: Constraint) -> str:
    """Led by the constraint's key in the study."""
    return f"constraints.{index}: nobody can meet the constraint {described(constraint)}"


def _quantity(metric: str, value: float) -> str:
    unit = info_of(metric).unit
    if unit == "seconds":
        return format_seconds(value)
    return format_count(value) if unit == "count" else f"{value:.4g}"


def _out_of_reach(constraint: Constraint, quantile: Quantile) -> bool:
    if constraint.at_least:
        return quantile.high_s is not None and quantile.high_s < constraint.bound
    return quantile.low_s is not None and quantile.low_s > constraint.bound
