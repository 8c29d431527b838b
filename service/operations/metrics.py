"""Metrics of a trial from what was found out about it, with their observation noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hardware.pace import Reading, paces
from hardware.values import Measurement, Quantile
from protocol.jobs import Score
from search_space import Architecture, parameter_count

_Z95 = 1.96

LATENCY = "latency_"
"""What the names of all latencies begin with."""

BY_CHANCE = 4.0
"""How many times the usual variance a measurement's own may be before it is believed: it rests on few processes."""


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


def at_one_pace(
    metrics: Sequence[Mapping[str, float]],
    variances: Sequence[Mapping[str, float]],
    readings: Sequence[Reading | None],
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """The metrics of trials and their variances, with latencies as they would be at one pace of the machine: see
    `hardware.pace`."""
    slower = paces(readings)
    return _scaled(metrics, slower, 1), _scaled(variances, slower, 2)


def _scaled(values: Sequence[Mapping[str, float]], slower: Sequence[float], power: int) -> list[dict[str, float]]:
    return [
        {name: value * math.exp(-power * pace) if name.startswith(LATENCY) else value for name, value in own.items()}
        for own, pace in zip(values, slower, strict=True)
    ]


def pooled_variances(trials: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]) -> list[dict[str, float]]:
    """The variances of trials' metrics, with those of latencies pooled over all of them, which are of one profile.

    Three processes say little of how much a latency varies, and many trials much: the variance of each latency's
    logarithm is the geometric mean of all measurements'. One that is larger than `BY_CHANCE` times
    that was disturbed, and keeps its own divided by that.

    Args:
        trials: metrics and variances of each.
    """
    names = {name for metrics, _ in trials for name in metrics if name.startswith(LATENCY)}
    pooled = [dict(variances) for _, variances in trials]
    for name in names:
        own = {
            place: variances[name] / metrics[name] ** 2
            for place, (metrics, variances) in enumerate(trials)
            if metrics.get(name, 0.0) > 0 and variances.get(name, 0.0) > 0
        }
        if not own:
            continue
        usual = math.exp(sum(math.log(value) for value in own.values()) / len(own))
        for place, value in own.items():
            pooled[place][name] = max(usual, value / BY_CHANCE) * trials[place][0][name] ** 2
    return pooled
