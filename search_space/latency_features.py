"""What a latency may depend on, as numbers: of points of a search space, of architectures, or of any other table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search_space.architecture import OPTIONS, Activation, Architecture, AttentionInput, Norm, Pooler
from search_space.cost import Columns, cost, cost_columns
from search_space.errors import SearchSpaceError

Floats = npt.NDArray[np.float64]

PADDINGS = (16, 64, 128)
"""Widths that units of vectors and matrices round up to: a register, a tile of a GPU, the array of a TPU."""

SIZES = ("layers", "hidden_size", "block_size", "heads", "head_size", "ffn_size", "ffn_stacks", "word_size")
FIELDS = (
    *(name for name in SIZES if name not in ("block_size", "word_size")),
    *("bottleneck_size", "embedding_size", "vocabulary_size", "max_positions", "token_types"),
)
"""The fields of an architecture that the sizes and terms come from, beside its options."""

SWITCHES: Mapping[str, tuple[str, object]] = {
    "trigram": ("trigram", True),
    "relu": ("activation", Activation.RELU),
    "no_norm": ("norm", Norm.NO_NORM),
    "no_pooler": ("pooler", Pooler.NONE),
    "shared": ("attention_input", AttentionInput.SHARED),
    "bottleneck": ("attention_input", AttentionInput.BOTTLENECK),
}
"""Name -> the field and its value that turn it on."""

NAMES = (*SIZES, *SWITCHES, "has_bottleneck")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyFeatures:
    """One row for each thing whose latency is known or asked for.

    Args:
        names: of the columns of `sizes`.
        sizes: (rows, names), above 0: latency follows their ratios.
        terms: (rows, kinds), at least 0: what time is spent on, so that latency is about a weighted sum of them. There
            may be no kinds.

    Raises:
        SearchSpaceError: shapes that do not fit, or numbers out of range.
    """

    names: tuple[str, ...]
    sizes: Floats
    terms: Floats

    def __post_init__(self) -> None:
        if self.sizes.ndim != 2 or self.sizes.shape[1] != len(self.names):
            raise SearchSpaceError(f"{len(self.names)} names for sizes of shape {self.sizes.shape}")
        if self.terms.ndim != 2 or len(self.terms) != len(self.sizes):
            raise SearchSpaceError(f"terms of shape {self.terms.shape} for {len(self.sizes)} rows")
        if not (np.isfinite(self.sizes).all() and (self.sizes > 0).all()):
            raise SearchSpaceError("the sizes that a latency depends on must be finite and above 0")
        if not (np.isfinite(self.terms).all() and (self.terms >= 0).all()):
            raise SearchSpaceError("the terms of a latency must be finite and at least 0")

    def __len__(self) -> int:
        return len(self.sizes)

    def take(self, rows: npt.ArrayLike) -> LatencyFeatures:
        """These rows: their numbers, or a mask."""
        chosen = np.asarray(rows)
        return LatencyFeatures(names=self.names, sizes=self.sizes[chosen], terms=self.terms[chosen])


def features_of_table(columns: Mapping[str, npt.ArrayLike]) -> LatencyFeatures:
    """The features of a table whose columns are all sizes; nothing is known of what time is spent on."""
    sizes = np.stack([np.asarray(column, dtype=np.float64) for column in columns.values()], axis=1)
    return LatencyFeatures(names=tuple(columns), sizes=sizes, terms=np.empty((len(sizes), 0)))


def features_of_columns(columns: Columns, *, batch: int, length: int) -> LatencyFeatures:
    """The features of every row of a search space's columns."""
    total = cost_columns(columns, batch=batch, length=length)
    return _features(columns, total.macs, total.parameters, total.activation_bytes, batch, length)


def features_of(architectures: Sequence[Architecture], *, batch: int, length: int) -> LatencyFeatures:
    """The features of these architectures; where layers differ, heads and feed-forward width are their means."""
    shapes = [_row(architecture) for architecture in architectures]
    columns = {name: np.array([shape[name] for shape in shapes]) for name in shapes[0]} if shapes else {}
    costs = [cost(architecture, batch=batch, length=length) for architecture in architectures]
    macs, parameters, values = (
        np.array([getattr(one, name) for one in costs], dtype=np.float64)
        for name in ("macs", "parameters", "activation_bytes")
    )
    return _features(columns, macs, parameters, values, batch, length)


def _row(architecture: Architecture) -> dict[str, float]:
    fields: dict[str, float] = {
        "heads": math.fsum(architecture.heads_by_layer) / architecture.layers,
        "ffn_size": math.fsum(architecture.ffn_sizes_by_layer) / architecture.layers,
    }
    fields |= {name: getattr(architecture, name) for name in FIELDS if name not in fields}
    for name, values in OPTIONS.items():
        fields[name] = values.index(getattr(architecture, name))
    return fields


def _features(
    columns: Mapping[str, npt.NDArray[np.generic]],
    macs: npt.NDArray[np.generic],
    parameters: npt.NDArray[np.generic],
    values: npt.NDArray[np.generic],
    batch: int,
    length: int,
) -> LatencyFeatures:
    shape = {name: np.asarray(column, dtype=np.float64) for name, column in _wanted(columns).items()}
    hidden, bottleneck = shape["hidden_size"], shape["bottleneck_size"]
    block = np.where(bottleneck > 0, bottleneck, hidden)
    word = np.where(shape["embedding_size"] > 0, shape["embedding_size"], hidden)
    # A layer may have no heads or no neurons; one of them is as little as a ratio can tell.
    sizes = {name: np.maximum(shape[name], 1.0) for name in SIZES if name in shape}
    sizes |= {"block_size": block, "word_size": word}
    for name, (field, value) in SWITCHES.items():
        place = OPTIONS[field].index(value)
        sizes[name] = np.where(shape[field] == place, math.e, 1.0)
    sizes["has_bottleneck"] = np.where(bottleneck > 0, math.e, 1.0)
    # Of words and positions only a few are read, however many there are.
    tables = shape["vocabulary_size"] * word + (shape["max_positions"] + shape["token_types"]) * hidden
    layers, heads, stacks = shape["layers"], shape["heads"], shape["ffn_stacks"]
    attention = heads * shape["head_size"]
    terms = [
        np.ones_like(layers),
        layers,
        layers * heads,
        layers * stacks,
        np.asarray(macs, dtype=np.float64),
        np.asarray(parameters, dtype=np.float64) - tables,
        np.asarray(values, dtype=np.float64),
        layers * attention * (2.0 * batch * length * length),
        layers * heads * (1.0 * batch * length * length),
    ]
    for width in PADDINGS:
        h, b, a, f = (_padded(size, width) for size in (hidden, block, attention, shape["ffn_size"]))
        terms.append(layers * (3 * h * a + a * b + 2 * stacks * b * f) * (batch * length))
    return LatencyFeatures(
        names=NAMES,
        sizes=np.stack([sizes[name] for name in NAMES], axis=1),
        terms=np.stack(terms, axis=1),
    )


def _wanted(columns: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, npt.NDArray[np.generic]]:
    """Without what no feature looks at: a space computes a column when it is first looked at."""
    return {name: columns[name] for name in (*FIELDS, *OPTIONS)}


def _padded(size: Floats, width: int) -> Floats:
    return np.ceil(size / width) * width
