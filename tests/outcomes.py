"""Plausible outcomes of jobs, as a worker reports them: nothing is trained, and nothing measured."""

from __future__ import annotations

import hashlib
from typing import Any

from encoders.values import Head
from hardware.values import DeviceProfile, Effort, Measurement, Quantile, Source, Verdict
from protocol.jobs import Prepared, Score
from search_space import Architecture, parameter_count

TEACHER = Architecture(vocabulary_size=100, layers=4, hidden_size=64, heads=4, head_size=16, ffn_size=256)
SEARCH_SPACE = {
    "layers": {"low": 1, "high": 4},
    "hidden_size": [16, 32, 64],
    "heads": [1, 2, 4],
    "head_size": 16,
    "ffn_size": [32, 64, 128],
}


def artefact(text: str) -> str:
    """The id of this content."""
    return hashlib.sha256(text.encode()).hexdigest()


def latency_s(architecture: Architecture) -> float:
    """A plausible latency: overhead, and time by size."""
    return 1e-3 + 2e-8 * parameter_count(architecture)


def measurement(p50_s: float, profile: DeviceProfile, effort: Effort) -> Measurement:
    def quantile(value_s: float) -> Quantile:
        return Quantile(value_s=value_s, low_s=0.98 * value_s, high_s=1.02 * value_s)

    return Measurement(
        profile=profile,
        effort=effort,
        source=Source.MEASURED,
        verdict=Verdict.STEADY,
        p50=quantile(p50_s),
        p90=quantile(1.1 * p50_s),
        p99=quantile(1.3 * p50_s),
        throughput_per_s=1 / p50_s,
        load_s=0.1,
        first_call_s=0.2,
        compile_s=0.0,
        peak_memory_bytes=10_000_000,
        log_variance=1e-4,
        hardware_key="k",
        environment={"cpu": "imagined"},
        samples_s=[[p50_s] * 5, [p50_s * 1.01] * 5],
        measured_at="2026-03-01T12:00:00+00:00",
    )


def score(value: float) -> Score:
    return Score(value=value, low=value - 0.01, high=value + 0.01)


def prepared(**changes: Any) -> Prepared:
    known = {
        "data": artefact("data"),
        "teacher": artefact("teacher"),
        "architecture": TEACHER,
        "head": Head(classes=2),
        "classes": ("yes", "no"),
        "splits": {"train": 800, "selection": 100, "report": 100},
        "teacher_selection": score(0.85),
        "teacher_report": score(0.84),
        "baselines": {"tf-idf": score(0.7)},
        "notes": ("a note of the preparation",),
        "seconds": 12.0,
    }
    return Prepared(**(known | changes))
