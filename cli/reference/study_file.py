"""The reference of the files that people write, from their schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator

from cli.reference.markdown import code, table
from protocol.study_schema import Schema, distillation_schema, study_schema

HEAD = """\
# Study files

Written by `python -m cli.reference study-file.md` from the schemas that editors read:
[study.schema.json](study.schema.json) for `stillhouse run`, [distillation.schema.json](distillation.schema.json) for
`stillhouse distill`. Both files are YAML 1.2 without anchors. What single keys mean together is checked when the file
is read: `stillhouse preview FILE` tells every mistake of a study with its line.

An editor with a YAML language server completes and checks a file that names its schema in the first line:

```yaml
# yaml-language-server: $schema=docs/reference/study.schema.json
teacher: built-in
task: {dataset: docstrings}
```

The path is relative to the file; where there is no checkout, `stillhouse study schema > study.schema.json` writes one.
A recipe in a file of its own has the schema `study.schema.json#/$defs/Recipe`.
Guides: [own data](../guides/own-data.md), [constraints](../guides/constraints.md), [recipes](../guides/recipes.md).
"""

SECTIONS = {
    "Teacher": "teacher",
    "Task": "task",
    "Dataset": "task.dataset",
    "SpaceSpec": "search_space",
    "IntegerRange": "search_space: a range",
    "Choice": "search_space: choices",
    "Category": "search_space: options",
    "Objective": "objectives: in full",
    "Constraint": "constraints: in full",
    "DeviceProfile": "target",
    "Recipe": "distillation",
    "Stage": "distillation.stages",
    "Term": "distillation.terms",
    "Ramp": "distillation.terms: a ramp",
    "Schedule": "distillation.schedule",
    "Budget": "budget",
    "ShapeSpec": "baselines: a shape",
    "ExternalSpec": "external",
}
"""What is written where a value of this kind stands, in the order of the page."""

WORDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": ""}
SEVERAL = {"integer": "whole numbers", "number": "numbers", "string": "texts"}


def reference() -> str:
    """The whole page, in Markdown."""
    study, distillation = study_schema(), distillation_schema()
    parts = study["$defs"]
    lines = [HEAD, "## A study\n", "Needed are `teacher` and `task`, or `external` and `objectives`.\n"]
    lines += _keys(study, parts)
    for name, title in SECTIONS.items():
        lines += [f"## {title}\n", *_keys(parts[name], parts)]
    lines += ["## A distillation\n", "The file of `stillhouse distill`; needed are `teacher` and `task`.\n"]
    lines += _keys(distillation, parts)
    return "\n".join(lines).rstrip() + "\n"


def _keys(value: Schema, parts: Schema) -> Iterator[str]:
    needed = value.get("required", ())
    rows = (
        [
            code(key),
            _kind(schema, parts),
            "needed" if key in needed else _default(schema),
            schema["description"],
        ]
        for key, schema in value["properties"].items()
    )
    yield from table(["key", "value", "default", "meaning"], rows)


def _kind(schema: Schema, parts: Schema) -> str:
    """What may stand there, in words."""
    if "$ref" in schema:
        return _part(schema["$ref"].rsplit("/", 1)[-1], parts)
    if "enum" in schema:
        return ", ".join(code(json.dumps(value).strip('"')) for value in schema["enum"])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            kinds = [_kind(option, parts) for option in schema[union]]
            return ", or ".join(dict.fromkeys(filter(None, kinds)))
    match schema["type"]:
        case "array" if "prefixItems" in schema:
            return "pairs"
        case "array":
            one = schema["items"]
            return f"list of {SEVERAL.get(one.get('type', '')) or _kind(one, parts)}"
        case "object":
            return f"name: {_kind(schema['additionalProperties'], parts)}"
        case kind:
            return WORDS[kind] + _bounds(schema)


def _part(name: str, parts: Schema) -> str:
    """A section of the page, or what the part says."""
    if name in SECTIONS:
        return f"[{SECTIONS[name].split(': ')[-1]}](#{_anchor(SECTIONS[name])})"
    if name == "Terms":
        knowledge = ", ".join(code(key) for key in parts[name]["properties"])
        return f"mapping of {knowledge}, each to a number or to [settings](#{_anchor(SECTIONS['Term'])})"
    if name == "Directions":
        return "mapping of metrics, each to `maximize` or `minimize`"
    return _kind(parts[name], parts)


def _bounds(schema: Schema) -> str:
    signs = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    told = [f"{sign} {schema[key]:,.10g}" for key, sign in signs.items() if key in schema]
    return f" {', '.join(told)}" if told else ""


def _anchor(title: str) -> str:
    """Of a heading, as Markdown is shown on the web."""
    return "".join(letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")


def _default(schema: Schema) -> str:
    default = schema.get("default")
    return "" if default in (None, [], "") else code(json.dumps(default).strip('"'))
