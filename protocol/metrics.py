"""The metrics that objectives and constraints may name."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from distillation.values import Metric
from optimization.values import Direction
from protocol.errors import ProtocolError


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """What is known of a metric by its name. `trained`: known only after distillation."""

    unit: str
    better: Direction
    trained: bool


METRICS = {
    **{str(metric): MetricInfo(unit="share", better=Direction.MAXIMIZE, trained=True) for metric in Metric},
    **{
        name: MetricInfo(unit="seconds", better=Direction.MINIMIZE, trained=False)
        for name in ("latency_p50", "latency_p90", "latency_p99")
    },
    "parameters": MetricInfo(unit="count", better=Direction.MINIMIZE, trained=False),
}


def metric_info(name: str) -> MetricInfo:
    """What is known of this metric.

    Raises:
        ProtocolError: unknown name; the message suggests the nearest.
    """
    if name in METRICS:
        return METRICS[name]
    near = get_close_matches(name, METRICS, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ";"
    raise ProtocolError(f"unknown metric {name!r}{meant} known are {', '.join(METRICS)}")
