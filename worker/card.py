"""The model card of an export."""

from __future__ import annotations

import json
from dataclasses import asdict

from distillation.assistants.tradeoff import Assistance
from distillation.recipe import Recipe
from distillation.values import Task
from encoders.loading import PIPELINES, loading_lines
from encoders.values import HeadKind
from hardware.values import Measurement, Quantile, QuantileName, Verdict
from protocol.jobs import Score
from protocol.quantity import format_count, format_seconds
from search_space import Architecture, parameter_count
from worker.finished import Training

CARD = """\
---
library_name: transformers
pipeline_tag: {pipeline}
tags: [stillhouse, distillation]
---

# {name}

A model for {pipeline} of {parameters} encoder parameters ({label}), distilled by Stillhouse.

```python
{loading}
```

| | |
| --- | --- |
{rows}

The report split was evaluated once, after training; intervals cover 95 %.{verdict}

`provenance.json` says where this comes from; `stillhouse reproduce` distils it again and compares.

## Recipe

```json
{recipe}
```
"""


def model_card(
    training: Training,
    measurement: Measurement | None = None,
    *,
    name: str,
    architecture: Architecture,
    recipe: Recipe,
    task: Task,
    classes: tuple[str, ...],
    teacher: Architecture,
    kind: HeadKind = HeadKind.CLASSIFICATION,
    assistance: Assistance | None = None,
    quantiles: tuple[QuantileName, ...] = (),
) -> str:
    """What the export is, how good, how fast on what if that was measured, and how to load it.

    Args:
        quantiles: of latency, beside the median.
    """
    rows = {
        f"{task.metric} on the report split": _score(training.report),
        f"{task.metric} on the selection split": _score(training.selection),
        **({} if measurement is None else _latencies(measurement, quantiles)),
        "classes": ", ".join(classes),
        "data": task.dataset.source,
        "teacher": f"{teacher.label} ({format_count(parameter_count(teacher))} encoder parameters)",
        "assistant": "" if assistance is None else assistant_text(assistance),
        "training": f"{training.steps} steps, {training.seconds:.0f} s",
    }
    return CARD.format(
        name=name,
        pipeline=PIPELINES[kind],
        loading="\n".join(loading_lines("PATH OF THIS FOLDER", kind)),
        parameters=format_count(parameter_count(architecture)),
        label=architecture.label,
        rows="\n".join(f"| {what} | {value} |" for what, value in rows.items() if value),
        verdict="" if measurement is None else f" The latency's verdict is {_verdict(measurement)}.",
        recipe=json.dumps(asdict(recipe), indent=2),
    )


def assistant_text(assistance: Assistance) -> str:
    """Who taught the student between the teacher and itself."""
    students = [each.points[0].student for each in assistance.rounds]
    tried = [(student.value, -place) for place, student in enumerate(students) if student is not None]
    if tried:
        rounds = [assistance.rounds[-max(tried)[1]]]
    else:
        rounds = [each for each in assistance.rounds if each.chosen is not None]
    chosen = [each.points[each.chosen or 0] for each in rounds]
    names = [f"{point.architecture.label} ({point.share:.0%} of the teacher's blocks)" for point in chosen]
    return ", then ".join(names) or "none: the student itself had the best trade-off"


def _score(score: Score) -> str:
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


def _verdict(measurement: Measurement) -> str:
    notes = measurement.notes if measurement.verdict is not Verdict.STEADY else ()
    return "".join([f"`{measurement.verdict}`", *(f"; {note}" for note in notes)])


def _latencies(measurement: Measurement, judged: tuple[QuantileName, ...]) -> dict[str, str]:
    """The median, and the quantiles that the verdict is of."""
    seen = {
        QuantileName.P50: measurement.p50,
        QuantileName.P90: measurement.p90,
        QuantileName.P99: measurement.p99,
    }
    names = [name for name in QuantileName if name is QuantileName.P50 or name in judged]
    rows = {f"latency {name}": _latency(seen[name], measurement) for name in names}
    return {**rows, "device profile": measurement.profile.label}


def _latency(quantile: Quantile, measurement: Measurement) -> str:
    if quantile.low_s is None or quantile.high_s is None:
        return f"{format_seconds(quantile.value_s)}, {measurement.source}"
    interval = f"[{format_seconds(quantile.low_s)}, {format_seconds(quantile.high_s)}]"
    return f"{format_seconds(quantile.value_s)} {interval}, {measurement.source} with effort `{measurement.effort}`"
