"""The metrics that objectives and constraints may name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches

from distillation.values import Metric
from optimization.values import Direction
from protocol.errors import ProtocolError


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """What is known of a metric by its name. `trained`: known only after distillation. It lies in [low, high]."""

    unit: str
    better: Direction
    trained: bool
    low: float
    high: float


MOST_PARAMETERS = 10**12
"""Beyond lies only what nobody can mean; all that is counted below it fits 64 bits."""

METRIC_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
"""Names of metrics; those of external studies are free."""

_LEAST_S = 1e-9
"""No forward pass takes less than a few clock cycles."""


def _quality(metric: Metric) -> MetricInfo:
    better = Direction.MINIMIZE if metric.lower_is_better else Direction.MAXIMIZE
    if metric is Metric.PERPLEXITY:
        return MetricInfo(unit="number", better=better, trained=True, low=1.0, high=math.inf)
    is_correlation = metric in (Metric.MATTHEWS, Metric.PEARSON, Metric.SPEARMAN)
    return MetricInfo(unit="share", better=better, trained=True, low=-1.0 if is_correlation else 0.0, high=1.0)


METRICS = {
    **{str(metric): _quality(metric) for metric in Metric},
    **{
        name: MetricInfo(unit="seconds", better=Direction.MINIMIZE, trained=False, low=_LEAST_S, high=math.inf)
        for name in ("latency_p50", "latency_p90", "latency_p99")
    },
    "parameters": MetricInfo(
        unit="count", better=Direction.MINIMIZE, trained=False, low=1, high=float(MOST_PARAMETERS)
    ),
}


def shortfall(name: str, value: float, other: float) -> float:
    """How much worse than another value of this metric, as a share; below 0 where it is better.

    The difference of shares and correlations; of a number that may be of any size, relative to the other one.

    Raises:
        ProtocolError: unknown name.
    """
    info = metric_info(name)
    worse = other - value if info.better is Direction.MAXIMIZE else value - other
    return worse if info.unit == "share" else worse / other


def metric_info(name: str, where: str = "") -> MetricInfo:
    """What is known of this metric; `where` begins the message where it is unknown.

    Raises:
        ProtocolError: unknown name; the message suggests the nearest.
    """
    if name in METRICS:
        return METRICS[name]
    near = get_close_matches(name, METRICS, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ";"
    raise ProtocolError(f"{where}unknown metric {name[:60]!r}{meant} known are {', '.join(METRICS)}")


def info_of(name: str) -> MetricInfo:
    """As `metric_info`; a metric that only its study knows is a number of which nothing else is known.

    Its study says itself which direction is better.
    """
    return METRICS.get(name, _NUMBER)


_NUMBER = MetricInfo(unit="number", better=Direction.MAXIMIZE, trained=True, low=-math.inf, high=math.inf)
