"""JSON Schemas of the files that people write, for their editors: a study, and one distillation.

What pydantic says of the values is widened by what a file may write shorter: a text for a teacher, a number for a
dimension, a preset for a recipe. A schema knows single keys and values; what they mean together is checked when the
file is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from distillation.presets import PRESETS as RECIPES
from distillation.recipe import LOSSES, RELATIONS, UNMATCHED, Knowledge
from hardware.values import MOST
from optimization.values import Direction
from protocol.distillation import DistillationSpec
from protocol.metrics import METRICS
from protocol.study import FEWEST_CALIBRATED, StudySpec
from protocol.study_meanings import MEANINGS
from search_space import KNOWN
from search_space import PRESETS as SPACES
from search_space.architecture import OPTIONS
from search_space.space import SEARCHABLE

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
CONSTRAINT_PATTERN = r"^\s*[A-Za-z_]\w*\s*(<=|>=)\s*\S.*$"

COUNT: Schema = {"minimum": 1}
ABOVE_0: Schema = {"exclusiveMinimum": 0}
SHARE: Schema = {"minimum": 0, "exclusiveMaximum": 1}
BOUNDS: Mapping[str, Mapping[str, Schema]] = {
    "Recipe": {
        **dict.fromkeys(("steps", "batch_size", "max_length"), COUNT),
        **dict.fromkeys(("learning_rate", "embedding_learning_rate", "gradient_clip"), ABOVE_0),
        "weight_decay": {"minimum": 0},
        "warmup": SHARE,
    },
    "Stage": {"share": ABOVE_0, "learning_rate": ABOVE_0, "embedding_learning_rate": ABOVE_0, "warmup": SHARE},
    "Teacher": {"batch_size": COUNT, "epochs": ABOVE_0, "learning_rate": ABOVE_0},
    "Term": {"every": COUNT},
    "Task": {"text": {"maxItems": 2}},
}
"""Of which only the values themselves know."""

ONLY_OF = {
    "matching": tuple(each for each in Knowledge if each not in UNMATCHED),
    "every": tuple(each for each in Knowledge if each not in UNMATCHED),
    "embeddings": (Knowledge.HIDDEN_STATES,),
    "temperature": (Knowledge.LOGITS,),
    "relation_heads": RELATIONS,
    "smoothing": (Knowledge.HARD_LABELS,),
}
"""The knowledge that a setting of a term belongs to, as `Term` checks it; others belong to all."""


def study_schema() -> Schema:
    """Of a study file."""
    made = _made(StudySpec, "A study: what `stillhouse run` reads.")
    keys, parts = made["properties"], made["$defs"]
    keys["search_space"] = {"anyOf": [_one_of(SPACES), _part("SpaceSpec")], "default": "bert"}
    several: Schema = {"type": "array", "items": _part("ObjectiveWords"), "minItems": 2}
    keys["objectives"] = {"anyOf": [_part("Directions"), several]}
    keys["constraints"] = {"type": "array", "items": _part("ConstraintWords")}
    keys["reference"] = {"type": "object", "additionalProperties": {"anyOf": [{"type": "number"}, TEXT]}}
    keys["baselines"] = {"type": "object", "additionalProperties": _shape()}
    keys["external"] = {"anyOf": [{"type": "boolean"}, *_options(keys["external"])]}
    for name in ("objectives", "constraints", "reference", "baselines", "external", "search_space"):
        keys[name]["description"] = MEANINGS["StudySpec"][name]
    direction = {"enum": list(Direction)}
    parts["Directions"] = {
        "type": "object",
        "minProperties": 2,
        "properties": dict.fromkeys(METRICS, direction),
        "additionalProperties": direction,
    }
    parts["ObjectiveWords"] = {"anyOf": [_one_of(METRICS), _part("Objective")]}
    parts["ConstraintWords"] = {"anyOf": [TEXT | {"pattern": CONSTRAINT_PATTERN}, _part("Constraint")]}
    for name, most in MOST.items():
        parts["DeviceProfile"]["properties"][name] |= {"minimum": 1, "maximum": most}
    calibration = parts["Budget"]["properties"]["calibration"]
    counted = {key: calibration.pop(key) for key in ("type", "minimum", "maximum")}
    calibration["anyOf"] = [{"enum": [0]}, counted | {"minimum": FEWEST_CALIBRATED}]
    _widen_space(parts["SpaceSpec"])
    del made["required"]
    is_external: Schema = {"properties": {"external": {"not": {"enum": [False, None]}}}}
    made["anyOf"] = [{"required": ["teacher", "task"]}, {"required": ["external", "objectives"], **is_external}]
    return made


def distillation_schema() -> Schema:
    """Of a file for `stillhouse distill`."""
    made = _made(DistillationSpec, "One student, without a search: what `stillhouse distill` reads.")
    made["properties"]["student"] = _shape() | {"description": MEANINGS["DistillationSpec"]["student"]}
    made["required"] = ["teacher", "task"]
    return made


def schema_text(schema: Schema) -> str:
    """As it is printed, and kept in docs/reference."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _made(model: type[BaseModel], title: str) -> Schema:
    """The model's schema with what both kinds of files have in common."""
    found = model.model_json_schema()
    parts = found.pop("$defs")
    schedule = parts["Schedule"]["properties"]
    parts["Schedule"]["properties"] = {key.removesuffix("_"): schedule[key] for key in schedule}
    for name, value in {model.__name__: found, **parts}.items():
        _say(name, value)
    keys = found["properties"]
    keys["teacher"] = _or_text(keys["teacher"])
    keys["distillation"] = {
        "anyOf": [_one_of(RECIPES), _part("Recipe")],
        "description": keys["distillation"]["description"],
    }
    for name in ("target", "budget"):
        keys.get(name, {}).pop("default", None)
    _widen_task(parts["Task"]["properties"])
    _widen_recipe(parts)
    for name, bounds in BOUNDS.items():
        for key, bound in bounds.items():
            _bound(parts[name]["properties"][key], bound)
    parts["ShapeSpec"]["properties"]["model"] |= {"anyOf": [_one_of(KNOWN), {"type": "null"}]}
    return {"$schema": DRAFT, "title": title, **{key: found[key] for key in sorted(found)}, "$defs": parts}


def _say(name: str, value: Schema) -> None:
    """Each key with its meaning; without what pydantic makes of names and docstrings."""
    value.pop("title", None)
    value.pop("description", None)
    for key, inner in value.get("properties", {}).items():
        inner.pop("title", None)
        inner["description"] = MEANINGS[name][key]
        for union in ("anyOf", "oneOf"):
            for option in inner.get(union, ()):
                option.pop("title", None)


def _bound(schema: Schema, bound: Schema) -> None:
    """The bound stands beside the type that it is of; what may be null has it inside."""
    for option in schema.get("anyOf", (schema,)):
        if option.get("type") in ("integer", "number", "array"):
            option |= bound


def _widen_task(keys: Schema) -> None:
    for key in ("dataset", "text", "transfer"):
        keys[key] = _or_text(keys[key])
    del keys["metric"]["default"]  # each kind has its own


def _widen_recipe(parts: Schema) -> None:
    """Presets, terms as a mapping, and the names of schedules."""
    recipe = parts["Recipe"]["properties"]
    meanings = MEANINGS["Recipe"]
    kinds = {"$ref": "#/$defs/ScheduleKind"}
    schedule = {"anyOf": [kinds, _part("Schedule")], "description": meanings["schedule"]}
    preset = _one_of(RECIPES) | {"description": meanings["preset"]}
    terms = _part("Terms") | {"description": meanings["terms"]}
    stages = recipe.pop("stages") | {"minItems": 1}
    del recipe["schedule"]
    parts["Recipe"]["properties"] = {
        "preset": preset,
        **recipe,
        "terms": terms,
        "stages": stages,
        "schedule": schedule,
    }
    stage = parts["Stage"]["properties"]
    stage["terms"] = {"anyOf": [_part("Terms"), stage["terms"]], "description": stage["terms"]["description"]}
    parts["Terms"] = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {str(knowledge): _term(parts["Term"]["properties"], knowledge) for knowledge in Knowledge},
    }


def _term(keys: Schema, knowledge: Knowledge) -> Schema:
    """A weight, or the other settings of this knowledge's term."""
    settings = {key: value for key, value in keys.items() if knowledge in ONLY_OF.get(key, Knowledge)}
    del settings["knowledge"]
    settings["loss"] = {"enum": [str(loss) for loss in LOSSES[knowledge]], "description": MEANINGS["Term"]["loss"]}
    own: Schema = {"type": "object", "additionalProperties": False, "properties": settings}
    return {"anyOf": [{"type": "number", "minimum": 0}, _part("Ramp"), own]}


def _widen_space(space: Schema) -> None:
    for name in SEARCHABLE:
        meaning = space["properties"][name]["description"]
        options = OPTIONS.get(name)
        one: Schema = WHOLE if options is None else {"enum": [_plain(option) for option in options]}
        kinds = ("IntegerRange", "Choice") if options is None else ("Category",)
        several = {"type": "array", "items": one, "minItems": 1}
        space["properties"][name] = {"anyOf": [one, several, *map(_part, kinds)], "description": meaning}


def _plain(option: object) -> object:
    return option if isinstance(option, bool) else str(option)


def _shape() -> Schema:
    return {"anyOf": [_one_of(KNOWN), _part("ShapeSpec")]}


def _or_text(schema: Schema) -> Schema:
    meaning = schema.pop("description")
    return {"anyOf": [TEXT, *_options(schema)], "description": meaning}


def _options(schema: Schema) -> Iterator[Schema]:
    """Of a union its members, with no default of their own."""
    yield from schema.get("anyOf", [{key: value for key, value in schema.items() if key != "default"}])


def _one_of(names: Any) -> Schema:
    return {"enum": [str(name) for name in names]}


def _part(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}
