"""The model card of an export."""

from __future__ import annotations

import json
from dataclasses import asdict

from distillation.values import Task
from hardware.values import Measurement, Quantile, QuantileName, Verdict
from protocol.jobs import FinalizeWork, Score
from protocol.quantity import format_count, format_seconds
from search_space import Architecture, parameter_count
from worker.finished import Training

CARD = """\
---
library_name: transformers
pipeline_tag: text-classification
tags: [stillhouse, distillation]
---

# {name}

A text classifier of {parameters} encoder parameters ({label}), distilled by Stillhouse.

```python
from transformers import pipeline
classify = pipeline("text-classification", "PATH OF THIS FOLDER", trust_remote_code=True)
classify("some text")
```

| | |
| --- | --- |
| {metric} on the report split | {report} |
| {metric} on the selection split | {selection} |
{latencies}
| device profile | {profile} |
| classes | {classes} |
| data | {dataset} |
| teacher | {teacher} ({teacher_parameters} encoder parameters) |
| training | {steps} steps, {seconds:.0f} s |

The report split was evaluated once, after training; intervals cover 95 %. The latency's verdict is `{verdict}`{doubts}.

## Recipe

```json
{recipe}
```
"""


def model_card(
    work: FinalizeWork,
    training: Training,
    measurement: Measurement,
    *,
    task: Task,
    classes: tuple[str, ...],
    teacher: Architecture,
) -> str:
    """What the export is, how good, how fast on what, and how to load it."""
    return CARD.format(
        name=work.name,
        parameters=format_count(parameter_count(work.architecture)),
        label=work.architecture.label,
        metric=task.metric,
        report=_score(training.report),
        selection=_score(training.selection),
        latencies=_latencies(measurement, work.quantiles),
        profile=measurement.profile.label,
        classes=", ".join(classes),
        dataset=task.dataset.source,
        teacher=teacher.label,
        teacher_parameters=format_count(parameter_count(teacher)),
        steps=training.steps,
        seconds=training.seconds,
        verdict=measurement.verdict,
        doubts="".join(f"; {note}" for note in measurement.notes) if measurement.verdict is not Verdict.STEADY else "",
        recipe=json.dumps(asdict(work.recipe), indent=2),
    )


def _score(score: Score) -> str:
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


def _latencies(measurement: Measurement, judged: tuple[QuantileName, ...]) -> str:
    """The median, and the quantiles that the verdict is of."""
    seen = {
        QuantileName.P50: measurement.p50,
        QuantileName.P90: measurement.p90,
        QuantileName.P99: measurement.p99,
    }
    names = [name for name in QuantileName if name is QuantileName.P50 or name in judged]
    return "\n".join(f"| latency {name} | {_latency(seen[name], measurement)} |" for name in names)


def _latency(quantile: Quantile, measurement: Measurement) -> str:
    if quantile.low_s is None or quantile.high_s is None:
        return f"{format_seconds(quantile.value_s)}, {measurement.source}"
    interval = f"[{format_seconds(quantile.low_s)}, {format_seconds(quantile.high_s)}]"
    return f"{format_seconds(quantile.value_s)} {interval}, {measurement.source} with effort `{measurement.effort}`"
