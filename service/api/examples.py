"""Examples in the OpenAPI document, by the name of their schema."""

from __future__ import annotations

from typing import Any

_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_STUDY = {
    "name": "demo",
    "teacher": "built-in",
    "task": {"dataset": "docstrings"},
    "constraints": ["latency_p50 <= 4 ms"],
    "budget": {"trials": 32, "finalists": 3},
}

EXAMPLES: dict[str, list[Any]] = {
    "CreateStudy": [{"spec": _STUDY}],
    "CreateToken": [{"name": "gpu-3", "scope": "worker", "days": 90}],
    "OpenSession": [{"token": f"sth_0123abcd_{43 * 'x'}"}],
    "ExtendStudy": [{"trials": 64}, {"trials": 64, "finalists": 5}],
    "LeaseRequest": [
        {
            "worker": "gpu-3",
            "protocol_version": 2,
            "kinds": ["prepare", "measure", "distill", "finalize"],
            "targets": [{"device": "cpu", "runtime": "torch", "threads": 4, "hardware_key": "5d41402a"}],
            "wait_s": 20,
            "request": "c0ffee4d0be54f1e8a3e",
        }
    ],
    "Ask": [{"worker": "bench-1", "count": 1, "wait_s": 20, "request": "c0ffee4d0be54f1e8a3e"}],
    "Tell": [
        {"attempt": 1, "metrics": {"accuracy": 0.91, "energy": 3.2}, "variances": {"energy": 0.04}},
        {"attempt": 1, "infeasible": "does not fit the chip"},
    ],
    "Renewal": [
        {
            "attempt": 1,
            "number": 4,
            "progress": {"stage": "distilling", "done": 120, "total": 500},
            "checkpoint": _HASH,
            "curve": [{"step": 100, "value": 0.71}],
        }
    ],
    "Release": [{"attempt": 1, "checkpoint": _HASH}],
    "Report": [
        {"attempt": 1, "result": {"kind": "failure", "reason": "error", "message": "the device is gone"}},
        {
            "attempt": 1,
            "result": {
                "kind": "distill",
                "selection": {"value": 0.83, "low": 0.81, "high": 0.85},
                "curve": [{"step": 250, "value": 0.8}, {"step": 500, "value": 0.83}],
                "steps": 500,
                "seconds": 210.5,
                "weights": _HASH,
            },
        },
    ],
    "EventData": [{"study": "demo", "trial": 3, "kind": "state"}],
    "FrontPoint": [{"trials": 12, "hypervolume": 0.41}],
    "CurvesView": [
        {
            "flash": [{"step": 250, "value": 0.8}, {"step": 500, "value": 0.83}],
            "full": [],
            "running": [],
            "teacher": 0.86,
        }
    ],
    "FrontView": [
        {
            "numbers": [3, 8],
            "reference": {"accuracy": 0.5, "latency_p50": 0.02},
            "hypervolume": 0.41,
            "history": [{"trials": 12, "hypervolume": 0.41}],
        }
    ],
}
"""Checked by a test against the models of these names."""
