"""What an architecture costs, in closed form; the same formulas serve one architecture and whole columns of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from search_space.architecture import OPTIONS, PER_LAYER, Architecture, AttentionInput, Pooler
from search_space.errors import SearchSpaceError

Integers = npt.NDArray[np.int64]
Columns = Mapping[str, Integers]
"""One integer array per field of an architecture, all of one length; of options the place in `OPTIONS`."""

Number = TypeVar("Number", int, Integers)

DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}

SHARED = OPTIONS["attention_input"].index(AttentionInput.SHARED)
BOTTLENECK = OPTIONS["attention_input"].index(AttentionInput.BOTTLENECK)
NO_POOLER = OPTIONS["pooler"].index(Pooler.NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost(Generic[Number]):
    """What one forward pass of an encoder, without a task head, takes.

    Args:
        parameters: weights of embeddings, blocks and pooler.
        macs: multiply-accumulates of all linear maps and of the two products of attention.
        weight_bytes: of all parameters.
        activation_bytes: written by linear maps, attention, activations and norms, each once; attention's maps and
            additions are not counted, as fused kernels keep them on the chip.
    """

    parameters: Number
    macs: Number
    weight_bytes: Number
    activation_bytes: Number

    @property
    def flops(self) -> Number:
        """Floating-point operations: two for each multiply-accumulate."""
        return 2 * self.macs


def cost(architecture: Architecture, *, batch: int = 1, length: int = 128, dtype: str = "float32") -> Cost[int]:
    """The cost of a batch of `batch` texts of `length` tokens; equal to what torch counts, to the unit.

    Raises:
        SearchSpaceError: an unknown dtype, or a batch or length below 1.
    """
    ends, blocks = _ends(shape_of(architecture), batch, length), _blocks(architecture, batch, length)
    parameters, macs, values = (end + block for end, block in zip(ends, blocks, strict=True))
    return _cost(parameters, macs, values, batch, length, dtype)


def block_cost(architecture: Architecture, *, batch: int = 1, length: int = 128, dtype: str = "float32") -> Cost[int]:
    """As `cost`, of the blocks alone: what slices of one model differ in.

    Raises:
        SearchSpaceError: as `cost`.
    """
    return _cost(*_blocks(architecture, batch, length), batch, length, dtype)


def cost_columns(
    columns: Mapping[str, Number], *, batch: int = 1, length: int = 128, dtype: str = "float32"
) -> Cost[Number]:
    """`cost` of every row of columns, or of the one row of plain numbers.

    Raises:
        SearchSpaceError: as `cost`.
    """
    ends, block = _ends(columns, batch, length), _block(columns, batch, length)
    parameters, macs, values = (end + columns["layers"] * each for end, each in zip(ends, block, strict=True))
    return _cost(parameters, macs, values, batch, length, dtype)


def parameter_count(architecture: Architecture) -> int:
    """Weights of the encoder: embeddings, blocks and pooler, without a task head."""
    return cost(architecture).parameters


def parameter_columns(columns: Columns) -> Integers:
    """`parameter_count` of every row."""
    return _ends(columns, 1, 1)[0] + columns["layers"] * _block(columns, 1, 1)[0]


def shape_of(architecture: Architecture) -> dict[str, int]:
    """The row of `Columns` that an architecture is; sizes of single layers are left out."""
    values = {field.name: getattr(architecture, field.name) for field in fields(architecture)}
    sizes = {name: value for name, value in values.items() if name not in PER_LAYER or isinstance(value, int)}
    return {name: OPTIONS[name].index(value) if name in OPTIONS else value for name, value in sizes.items()}


def _cost(parameters: Number, macs: Number, values: Number, batch: int, length: int, dtype: str) -> Cost[Number]:
    if dtype not in DTYPE_BYTES:
        raise SearchSpaceError(f"unknown dtype {dtype!r}; known are {', '.join(DTYPE_BYTES)}")
    for name, size in {"batch": batch, "length": length}.items():
        if size < 1:
            raise SearchSpaceError(f"{name} must be at least 1, got {size}")
    width = DTYPE_BYTES[dtype]
    return Cost(parameters=parameters, macs=macs, weight_bytes=width * parameters, activation_bytes=width * values)


def _ends(shape: Mapping[str, Number], batch: int, length: int) -> tuple[Number, Number, Number]:
    """Parameters, multiply-accumulates and values written by the embeddings and the pooler."""
    h, e, trigram = shape["hidden_size"], shape["embedding_size"], shape["trigram"]
    word = e + (e == 0) * h
    is_mapped = (e > 0) | (trigram > 0)
    read = word * (1 + 2 * trigram)
    has_pooler = shape["pooler"] != NO_POOLER
    tokens = batch * length
    rows = shape["max_positions"] + shape["token_types"]
    parameters = (
        shape["vocabulary_size"] * word + is_mapped * (read * h + h) + rows * h + 2 * h + has_pooler * (h * h + h)
    )
    macs = tokens * is_mapped * read * h + batch * has_pooler * h * h
    values = tokens * (is_mapped * h + h) + batch * has_pooler * 2 * h
    return parameters, macs, values


def _blocks(architecture: Architecture, batch: int, length: int) -> tuple[int, int, int]:
    """As `_block`, of all together; layers of the same sizes are counted once, however many they are."""
    shape = shape_of(architecture)
    layers = Counter(zip(architecture.heads_by_layer, architecture.ffn_sizes_by_layer, strict=True))
    each = [
        [count * value for value in _block(shape | {"heads": heads, "ffn_size": ffn}, batch, length)]
        for (heads, ffn), count in layers.items()
    ]
    parameters, macs, values = (sum(column) for column in zip(*each, strict=True))
    return parameters, macs, values


def _block(shape: Mapping[str, Number], batch: int, length: int) -> tuple[Number, Number, Number]:
    """Parameters, multiply-accumulates and values written by one block."""
    h, b, f, n = shape["hidden_size"], shape["bottleneck_size"], shape["ffn_size"], shape["ffn_stacks"]
    a = shape["heads"] * shape["head_size"]
    reads = shape["attention_input"]
    inner = b + (b == 0) * h
    value_input = h + (reads == BOTTLENECK) * (inner - h)
    query_input = value_input + (reads == SHARED) * (inner - value_input)
    has_heads, has_neurons, has_bottleneck = a > 0, f > 0, b > 0
    into = has_bottleneck * (1 + has_heads * (reads == SHARED))  # the block's, and that of queries and keys
    tokens = batch * length

    weights = (
        into * h * b + 2 * query_input * a + value_input * a + a * inner + n * 2 * inner * f + has_bottleneck * b * h
    )
    biases = into * b + 3 * a + has_heads * inner + n * (f + has_neurons * inner) + has_bottleneck * h
    norms = 2 * (into * b + inner + n * inner + has_bottleneck * h)
    written = (
        into * 2 * b
        + 4 * a
        + has_heads * inner
        + inner
        + n * (2 * f + has_neurons * inner + inner)
        + has_bottleneck * 2 * h
    )
    return weights + biases + norms, tokens * weights + 2 * tokens * length * a, tokens * written
