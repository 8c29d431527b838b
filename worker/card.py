"""The model card of an export."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

from distillation.assistants.tradeoff import Assistance
from distillation.recipe import Recipe
from distillation.values import BUILT_IN, DOCSTRINGS, Task
from encoders.loading import PIPELINES, loading_lines
from encoders.values import HeadKind
from hardware.values import Measurement, Quantile, QuantileName
from protocol.card import (
    EVALUATED,
    NO_LICENCE,
    NOT_YET,
    front_matter,
    hardware_text,
    latency_text,
    profile_text,
    verdict_text,
)
from protocol.jobs import Score
from protocol.quantity import format_count
from search_space import Architecture, parameter_count
from worker.finished import Training

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*){0,2}")

UNKNOWN = "unknown"
"""What hubs call a licence that nobody has named."""

CARD = """\
{front}
# {name}

A model for {pipeline} of {parameters} encoder parameters ({label}), distilled by Stillhouse.

```python
{loading}
```

| | |
| --- | --- |
{rows}

The report split was evaluated once, after training; {evaluated}{verdict}

`provenance.json` says where this comes from; `stillhouse reproduce` distils it again and compares.

## Licence

{unlicensed} It was made from the teacher and the data named above,
whose terms hold for it too.{not_yet}

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
    teacher_source: str | None = None,
    kind: HeadKind = HeadKind.CLASSIFICATION,
    assistance: Assistance | None = None,
    quantiles: tuple[QuantileName, ...] = (),
) -> str:
    """What the export is, how good, how fast on what if that was measured, and how to load it.

    Args:
        teacher_source: `built-in`, a hub's id or a local folder; None where nobody knows.
        quantiles: of latency, beside the median.
    """
    data = shown_source(task.dataset.source)
    source = "" if teacher_source is None else f"{shown_source(teacher_source)}, "
    rows = {
        f"{task.metric} on the report split": _score(training.report),
        f"{task.metric} on the selection split": _score(training.selection),
        **({} if measurement is None else _latencies(measurement, quantiles)),
        "classes": ", ".join(classes),
        "data": data,
        "teacher": f"{source}{teacher.label} ({format_count(parameter_count(teacher))} encoder parameters)",
        "assistant": "" if assistance is None else assistant_text(assistance),
        "training": f"{training.steps} steps, {training.seconds:.0f} s",
    }
    return CARD.format(
        front=front_matter(_front(training, name, task, kind, teacher_source)),
        evaluated=EVALUATED,
        unlicensed=NO_LICENCE,
        not_yet=NOT_YET,
        name=name,
        pipeline=PIPELINES[kind],
        loading="\n".join(loading_lines("PATH OF THIS FOLDER", kind)),
        parameters=format_count(parameter_count(architecture)),
        label=architecture.label,
        rows="\n".join(f"| {what} | {value} |" for what, value in rows.items() if value),
        verdict="" if measurement is None else verdict_text(measurement.verdict, measurement.notes),
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


def _latencies(measurement: Measurement, judged: tuple[QuantileName, ...]) -> dict[str, str]:
    """The median, and the quantiles that the verdict is of; on what, where it was measured and not estimated."""
    seen = {
        QuantileName.P50: measurement.p50,
        QuantileName.P90: measurement.p90,
        QuantileName.P99: measurement.p99,
    }
    names = [name for name in QuantileName if name is QuantileName.P50 or name in judged]
    rows = {f"latency {name}": _latency(seen[name], measurement) for name in names}
    hardware = hardware_text(measurement.environment, measurement.source)
    return {**rows, "device profile": profile_text(measurement.profile), "hardware": hardware}


def _latency(quantile: Quantile, measurement: Measurement) -> str:
    return latency_text(quantile.value_s, quantile.low_s, quantile.high_s, measurement.source, measurement.effort)


def shown_source(source: str) -> str:
    """The name, without the folders above a local one: they say something of a machine, and nothing of the model."""
    return source if hub_id(source) or source in (BUILT_IN, DOCSTRINGS) else Path(source).name


def hub_id(source: str) -> str | None:
    """What the hub knows this by; None for what is local or comes with Stillhouse."""
    return source if _HUB_ID.fullmatch(source) and source not in (BUILT_IN, DOCSTRINGS) else None


def _front(training: Training, name: str, task: Task, kind: HeadKind, teacher_source: str | None) -> dict[str, object]:
    """What the hub reads; https://huggingface.co/docs/hub/model-cards."""
    data, base = task.dataset.source, hub_id(teacher_source or "")
    scores = {"report": training.report, "selection": training.selection}
    return {
        "library_name": "transformers",
        "license": UNKNOWN,
        **({"language": "en"} if data == DOCSTRINGS else {}),
        **({} if base is None else {"base_model": base}),
        "pipeline_tag": PIPELINES[kind],
        "tags": ["stillhouse", "distillation"],
        "model-index": [
            {"name": name, "results": [_result(task, kind, split, score) for split, score in scores.items()]}
        ],
    }


def _result(task: Task, kind: HeadKind, split: str, score: Score) -> dict[str, object]:
    data = shown_source(task.dataset.source)
    interval = f"{task.metric}, 95 % interval {score.low:.3f} to {score.high:.3f}"
    return {
        "task": {"type": PIPELINES[kind]},
        "dataset": {"name": data, "type": data, "split": split},
        "metrics": [{"type": str(task.metric), "value": round(score.value, 4), "name": interval}],
    }
