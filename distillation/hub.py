"""Datasets of the Hugging Face hub as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distillation.errors import DataError
from distillation.rows import Row, Table, cell

TRAIN = "train"
REPORT = ("validation", "validation_matched", "dev", "test")
"""The first of these that a dataset has; GLUE's test splits carry no labels."""


def read_hub(source: str, key: str = "task.dataset", *, nested: bool = False) -> tuple[Table, Table | None]:
    """The train table and, where there is one, the report table of `name`, `owner/name` or `name/configuration`.

    Args:
        key: of the study file, for messages.
        nested: whether cells may be lists and mappings; else such columns are left out.

    Raises:
        DataError: not to be had (offline, perhaps), or without a train split.
    """
    splits = _load(source, key)
    if TRAIN not in splits:
        raise DataError(f"{key}: {source!r} has no train split; it has {', '.join(splits)}")
    report = next((name for name in REPORT if name in splits), None)
    tables = [_table(source, name, splits[name], nested) for name in (TRAIN, report) if name is not None]
    return tables[0], tables[1] if report is not None else None


def _load(source: str, key: str) -> Mapping[str, Any]:
    import datasets  # type: ignore[import-untyped] # half a second, for those who need it

    reasons = []
    for name, configuration in _readings(source):
        try:
            return dict(datasets.load_dataset(name, configuration))
        except Exception as error:  # the library lets through whatever its HTTP client and its readers raise
            reasons.append((str(error).strip().splitlines() or [type(error).__name__])[0])
    raise DataError(
        f"{key}: {source!r} is neither a local file or folder nor to be had from the hub (offline?): {reasons[0]}"
    )


def _readings(source: str) -> list[tuple[str, str | None]]:
    """What a source can mean, likeliest first: of two parts the second may be the name or a configuration."""
    parts = source.split("/")
    if len(parts) == 3:
        return [("/".join(parts[:2]), parts[2])]
    return [(source, None)] + ([(parts[0], parts[1])] if len(parts) == 2 else [])


def _table(source: str, split: str, dataset: Any, nested: bool) -> Table:
    features = {name: each for name, each in dataset.features.items() if _is_readable(each, nested)}
    rows = []
    for index, values in enumerate(dataset.select_columns(list(features))):
        place = f"{source}, {split}, row {index}"
        named = {name: _named(values[name], feature) for name, feature in features.items()}
        cells = (cell("" if each is None else each, name, place, nested=nested) for name, each in named.items())
        rows.append(Row(place, tuple(cells)))
    return Table(f"{source} ({split})", tuple(features), tuple(rows))


_PLAIN = frozenset({"string", "large_string", "bool", "int8", "int16", "int32", "int64", "float32", "float64"})


def _is_readable(feature: Any, nested: bool) -> bool:
    if isinstance(feature, dict):
        return nested and all(_is_readable(each, nested) for each in feature.values())
    if (inner := _element(feature)) is not None:
        return nested and _is_readable(inner, nested)
    return getattr(feature, "dtype", None) in _PLAIN


def _element(feature: Any) -> Any:
    """The feature of a list's elements; None if it is no list."""
    return feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)


def _named(value: Any, feature: Any) -> Any:
    """The value, with the names of classes for their numbers."""
    if isinstance(value, dict) and isinstance(feature, dict):
        return {name: _named(each, feature[name]) for name, each in value.items()}
    if isinstance(value, list):
        return [_named(each, _element(feature)) for each in value]
    names = getattr(feature, "names", None)
    if names is None or not isinstance(value, int):
        return value
    # The hub's mark of an example without a label is class -1.
    return names[value] if value >= 0 else ""
