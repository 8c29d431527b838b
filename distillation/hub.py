"""Datasets of the Hugging Face hub as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distillation.errors import DataError
from distillation.tables import Row, Table

TRAIN = "train"
REPORT = ("validation", "validation_matched", "dev", "test")
"""The first of these that a dataset has; GLUE's test splits carry no labels."""


def read_hub(source: str) -> tuple[Table, Table | None]:
    """The train table and, where there is one, the report table of `name`, `owner/name` or `name/configuration`.

    Raises:
        DataError: not to be had (offline, perhaps), or without a train split.
    """
    splits = _load(source)
    if TRAIN not in splits:
        raise DataError(f"task.dataset: {source!r} has no train split; it has {', '.join(splits)}")
    report = next((name for name in REPORT if name in splits), None)
    return _table(source, TRAIN, splits[TRAIN]), None if report is None else _table(source, report, splits[report])


def _load(source: str) -> Mapping[str, Any]:
    import datasets  # type: ignore[import-untyped] # half a second, for those who need it

    reasons = []
    for name, configuration in _readings(source):
        try:
            return dict(datasets.load_dataset(name, configuration))
        except Exception as error:  # the library lets through whatever its HTTP client and its readers raise
            reasons.append((str(error).strip().splitlines() or [type(error).__name__])[0])
    raise DataError(
        f"task.dataset: {source!r} is neither a local file or folder nor to be had from the hub (offline?):"
        f" {reasons[0]}"
    )


def _readings(source: str) -> list[tuple[str, str | None]]:
    """What a source can mean, likeliest first: of two parts the second may be the name or a configuration."""
    parts = source.split("/")
    if len(parts) == 3:
        return [("/".join(parts[:2]), parts[2])]
    return [(source, None)] + ([(parts[0], parts[1])] if len(parts) == 2 else [])


def _table(source: str, split: str, dataset: Any) -> Table:
    columns = tuple(name for name, feature in dataset.features.items() if getattr(feature, "dtype", None) in _PLAIN)
    names = {column: getattr(dataset.features[column], "names", None) for column in columns}
    rows = tuple(
        Row(f"{source}, {split}, row {index}", tuple(_cell(values[column], names[column]) for column in columns))
        for index, values in enumerate(dataset.select_columns(list(columns)))
    )
    return Table(f"{source} ({split})", columns, rows)


_PLAIN = frozenset({"string", "large_string", "bool", "int8", "int16", "int32", "int64", "float32", "float64"})


def _cell(value: object, names: list[str] | None) -> str:
    if names is None or not isinstance(value, int):
        return "" if value is None else str(value)
    # The hub's mark of an example without a label is class -1.
    return names[value] if value >= 0 else ""
