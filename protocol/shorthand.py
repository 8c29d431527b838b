"""How people may write what a study says, and the settings that each short form stands for.

Every function takes what stands in the file and gives what the model of that place takes; what it does not know it
hands on as it is, for the model to say what is wrong with it.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from distillation.presets import recipe
from distillation.recipe import Knowledge, Recipe
from distillation.values import METRICS_OF, Task, Teacher
from encoders.values import HeadKind
from optimization.values import LARGEST_VALUE, Constraint
from protocol.baseline import ShapeSpec
from protocol.metrics import METRICS, info_of, metric_info
from protocol.quantity import parse_quantity
from search_space import Category, Choice, IntegerRange

_CONSTRAINT = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=)\s*(.+?)\s*")
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
OUTSIDE = "external"
"""Stands for teacher and task of an external study."""
TAGS = frozenset({"range", "choice", "preset", "dimensions", "float", "Ramp"})
"""What pydantic puts into the location of an error, and no user wrote."""


def tuples(value: object) -> object:
    """Lists as tuples all the way down: where types are strict, only these become the tuples of values."""
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _dataset(value: object) -> object:
    return {"source": value} if isinstance(value, str) else value


def _columns(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _teacher(value: object) -> object:
    return {"model": value} if isinstance(value, str) else value


def _shape(value: object) -> object:
    return {"model": value} if isinstance(value, str) else value


def _task(value: object) -> object:
    if not isinstance(value, dict):
        return value
    shorthand = {"dataset": _dataset, "transfer": _dataset, "text": _columns}
    return {key: shorthand.get(key, lambda item: item)(item) for key, item in value.items()}


def _recipe(value: object) -> object:
    """A preset's name, or settings, perhaps on top of a preset; `terms` are those of the only stage."""
    if isinstance(value, str):
        value = {"preset": value}
    if not isinstance(value, dict):
        return value
    settings = dict(value)
    own = [key for key in ("preset", "stages", "terms") if key in settings]
    if "stages" in own and "terms" in own:
        raise ValueError("give either `stages`, or the `terms` of the only stage")
    if "preset" in own:
        if len(own) > 1:
            raise ValueError(f"a preset says itself what is taught; leave out `{own[1]}` or `preset`")
        preset_name = settings.pop("preset")
        settings = asdict(recipe(preset_name)) | settings
    if "terms" in settings:
        settings["stages"] = ({"terms": settings.pop("terms")},)
    if isinstance(settings.get("stages"), list | tuple):
        settings["stages"] = tuple(map(_stage, settings["stages"]))
    if "schedule" in settings:
        settings["schedule"] = _schedule(settings["schedule"])
    return settings


def _schedule(value: object) -> object:
    """A kind, or settings; `lambda` is no name in Python."""
    if isinstance(value, str):
        return {"kind": value}
    return (
        {"lambda_" if key == "lambda" else key: item for key, item in value.items()}
        if isinstance(value, dict)
        else value
    )


def _stage(value: object) -> object:
    if not isinstance(value, dict) or not isinstance(value.get("terms"), dict):
        return value
    return value | {"terms": tuple(_term(*item) for item in value["terms"].items())}


def _term(knowledge: str, value: object) -> object:
    """A weight, or the other settings of a term."""
    if knowledge not in list(Knowledge):
        near = get_close_matches(str(knowledge), list(Knowledge), n=1)
        meant = f"did you mean {str(near[0])!r}?" if near else f"there are {', '.join(Knowledge)}"
        raise ValueError(f"terms: no knowledge is named {knowledge!r:.60}; {meant}")
    if isinstance(value, dict) and not value.keys() <= {"start", "end"}:
        return value | {"knowledge": knowledge}
    return {"knowledge": knowledge, "weight": value}


def objectives(value: object) -> object:
    if isinstance(value, dict):
        return tuple({"metric": metric, "direction": direction} for metric, direction in value.items())
    if isinstance(value, list | tuple):
        return tuple(
            {"metric": each, "direction": metric_info(each).better} if isinstance(each, str) else each for each in value
        )
    return value


def task_metric(task: object) -> str:
    """The task's metric, as far as it can be told: the task says itself what is wrong with it."""
    if isinstance(task, Task):
        return task.metric
    given: dict[str, object] = task if isinstance(task, dict) else {}
    if isinstance(metric := given.get("metric"), str):
        return metric
    kind = str(given.get("kind"))
    return METRICS_OF[HeadKind(kind) if kind in set(HeadKind) else HeadKind.CLASSIFICATION][0]


def constraint(value: object) -> object:
    if isinstance(value, dict | Constraint):
        return value
    match = _CONSTRAINT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r:.60} is not a constraint; write `metric <= bound` or `metric >= bound`")
    metric, relation, bound = match.groups()
    return {
        "metric": metric,
        "bound": parse_quantity(bound, metric_info(metric).unit),
        "at_least": relation == ">=",
    }


def read_constraint(text: str) -> Constraint:
    """The constraint that a study file would write like this: `latency_p50 <= 4 ms`.

    Raises:
        ValueError, ProtocolError: it is none; the message says why.
    """
    found: Any = constraint(text)
    return Constraint(**found)


def reference(value: object) -> object:
    """Quantities of metrics that have a unit: `latency_p50: 5 ms`."""
    if not isinstance(value, dict):
        return value
    return {
        metric: parse_quantity(item, METRICS[metric].unit) if metric in METRICS and isinstance(item, str) else item
        for metric, item in value.items()
    }


def _dimension(value: object) -> object:
    if isinstance(value, dict):
        if "values" in value and value.keys() & {"low", "high", "step"}:
            raise ValueError("give either `values`, or `low`, `high` and `step`")
        return value
    if isinstance(value, list | tuple):
        return {"values": tuple(value)}
    if isinstance(value, int) and not isinstance(value, bool):
        return {"values": (value,)}
    if isinstance(value, IntegerRange | Choice):
        return value
    raise ValueError(
        f"must be a number, a list of numbers, or {{low, high, step}}, got {json.dumps(value, default=repr):.60}"
    )


def _options(value: object) -> object:
    if isinstance(value, dict | Category):
        return value
    return {"values": tuple(value) if isinstance(value, list | tuple) else (value,)}


def _dimension_kind(value: object) -> str:
    chosen = isinstance(value, Choice) or (isinstance(value, dict) and "values" in value)
    return "choice" if chosen else "range"


def space_kind(value: object) -> str:
    return "preset" if isinstance(value, str) else "dimensions"


def external(value: object) -> object:
    """`true` for all defaults."""
    if isinstance(value, bool):
        return {} if value else None
    return value


def outside(values: dict[str, Any]) -> dict[str, Any]:
    """An external study with what every study has. Raises: ValueError: it does not say what it is about."""
    objectives = values.get("objectives")
    for given in objectives if isinstance(objectives, list | tuple) else ():
        if isinstance(given, str) and given not in METRICS:
            raise ValueError(f"objectives: say which direction of {given:.60} is better: {{{given:.60}: maximize}}")
    if not objectives:
        raise ValueError("objectives: an external study names its own: {accuracy: maximize, energy: minimize}")
    constraints = values.get("constraints")
    if isinstance(constraints, list | tuple):
        values = values | {"constraints": tuple(map(_free_constraint, constraints))}
    return {"teacher": {"model": OUTSIDE}, "task": {"dataset": {"source": OUTSIDE}}, **values}


def _free_constraint(value: object) -> object:
    """On a metric that only this study knows."""
    match = _CONSTRAINT.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[1] in METRICS:
        return value
    metric, relation, bound = match.groups()
    return {"metric": metric, "bound": parse_quantity(bound, info_of(metric).unit), "at_least": relation == ">="}


DimensionSpec = Annotated[
    Annotated[IntegerRange, Tag("range")] | Annotated[Choice, Tag("choice")],
    Discriminator(_dimension_kind),
    BeforeValidator(_dimension),
]
OptionSpec = Annotated[Category, BeforeValidator(_options)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
TeacherSpec = Annotated[Teacher, BeforeValidator(_teacher)]
TaskSpec = Annotated[Task, BeforeValidator(_task)]
RecipeSpec = Annotated[Recipe, BeforeValidator(_recipe)]
Shape = Annotated[ShapeSpec, BeforeValidator(_shape)]
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST_VALUE, le=LARGEST_VALUE)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
