"""Metrics of a trial from what was found out about it, with their observation noise."""

from __future__ import annotations

from hardware.values import Measurement, Quantile
from protocol.jobs import Score
from search_space import Architecture, parameter_count

_Z95 = 1.96


def quantiles(measurement: Measurement) -> dict[str, Quantile]:
    """The measured quantiles by the names that objectives and constraints have for them."""
    return {"latency_p50": measurement.p50, "latency_p90": measurement.p90, "latency_p99": measurement.p99}


def known_early(architecture: Architecture, measurement: Measurement) -> tuple[dict[str, float], dict[str, float]]:
    """The metrics that are known without training, and their variances.

    The variance of a latency is value^2 times that of its logarithm (delta method); the latter is known of the
    quantiles that the study's objectives judge, and taken for the others too.
    """
    latencies = {name: quantile.value_s for name, quantile in quantiles(measurement).items()}
    metrics = {**latencies, "parameters": float(parameter_count(architecture))}
    variances = {name: value**2 * measurement.log_variance for name, value in latencies.items()}
    return metrics, {**variances, "parameters": 0.0}


def score_variance(score: Score) -> float:
    """The variance of a score whose 95 % interval is taken for that of a normal variable."""
    return ((score.high - score.low) / (2 * _Z95)) ** 2
