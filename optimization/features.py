"""What a model of a metric is told about an architecture: its shape and what it costs, on logarithmic scales."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from search_space import SearchSpace

Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

COSTS = ("parameters", "flops", "activation_bytes", "head_size", "hidden_size", "layers")
"""Told besides the dimensions of what grows with size, such as a latency: it follows these more smoothly than any size
alone. A model of quality is led astray by them: where feed-forward neurons harm, it expects the same of width."""

SCALED_BY = 4096
"""Points of the space that fix the scales of all features."""

ALIKE = 0.999
"""Correlation from which a feature adds nothing to one before it."""


class Features:
    """Features of the rows of a space, each about within [0, 1].

    Every dimension that varies, and `with_costs` of `COSTS` those that are not told by others already. By logarithm:
    from 64 to 128 is as far as from 384 to 768.
    """

    def __init__(self, space: SearchSpace, *, with_costs: bool = True) -> None:
        self._space = space
        spread = np.linspace(0, space.size - 1, min(space.size, SCALED_BY)).astype(np.intp)
        sample = np.concatenate([spread, space.sample_rows(SCALED_BY, np.random.default_rng(0))])
        names = tuple(dict.fromkeys((*space.names, *(COSTS if with_costs else ()))))
        columns = {name: self._column(name, sample) for name in names}
        # A width that may be absent is 0 there, and so is the first of some options.
        self._shifts = {name: 1.0 if column.min() < 1 else 0.0 for name, column in columns.items()}
        logs = {name: np.log(column + self._shifts[name]) for name, column in columns.items()}
        kept: list[str] = []
        for name in names:
            if np.ptp(logs[name]) > 0 and all(_correlation(logs[name], logs[other]) < ALIKE for other in kept):
                kept.append(name)
        self.names = tuple(kept)
        self._scales = {name: (logs[name].min(), np.ptp(logs[name])) for name in kept}

    def of(self, rows: npt.ArrayLike) -> Matrix:
        """(rows, features)."""
        chosen = np.asarray(rows, dtype=np.intp)
        features: Matrix = np.empty((len(chosen), len(self.names)))
        for place, name in enumerate(self.names):
            low, width = self._scales[name]
            features[:, place] = (np.log(self._column(name, chosen) + self._shifts[name]) - low) / width
        return features

    def _column(self, name: str, rows: Rows) -> Matrix:
        return np.asarray(self._space.take(rows)[name], dtype=np.float64)


def _correlation(one: Matrix, other: Matrix) -> float:
    return abs(float(np.corrcoef(one, other)[0, 1]))
