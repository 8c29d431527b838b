"""What an architecture costs, in closed form; the same formula serves one architecture and whole columns of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from search_space.architecture import Architecture

Columns = Mapping[str, npt.NDArray[np.int64]]
"""One integer array per field of an architecture, all of one length."""

Number = TypeVar("Number", int, npt.NDArray[np.int64])


def parameter_count(architecture: Architecture) -> int:
    """Weights of the encoder: embeddings and blocks, without a task head. Equal to the torch module's, to the unit."""
    sizes: dict[str, int] = {name: value for name, value in architecture.to_dict().items() if name != "activation"}
    return _parameters(sizes)


def parameter_columns(columns: Columns) -> npt.NDArray[np.int64]:
    """`parameter_count` of every row."""
    return _parameters(columns)


def _parameters(shape: Mapping[str, Number]) -> Number:
    h, f = shape["hidden_size"], shape["ffn_size"]
    a = shape["heads"] * shape["head_size"]
    rows = shape["vocabulary_size"] + shape["max_positions"] + shape["token_types"]
    embeddings = rows * h + 2 * h
    attention = 3 * (h * a + a) + (a * h + h) + 2 * h
    feed_forward = (h * f + f) + (f * h + h) + 2 * h
    total: Number = embeddings + shape["layers"] * (attention + feed_forward)
    return total
