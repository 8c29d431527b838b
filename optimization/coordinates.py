"""A search space as points of the unit cube, for models that want real numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from search_space import SearchSpace

Points = npt.NDArray[np.float64]
"""(points, axes), each value in [0, 1]."""


class Coordinates:
    """The space's dimensions that vary, each scaled to [0, 1] by the logarithm of its values.

    Logarithms because cost and quality follow ratios of sizes: from 64 to 128 is as far as from 384 to 768.
    """

    def __init__(self, space: SearchSpace) -> None:
        varying = [name for name in space.names if space.columns[name].min() < space.columns[name].max()]
        self.names: tuple[str, ...] = tuple(varying)
        self.points: Points = np.empty((space.size, len(varying)))
        for axis, name in enumerate(varying):
            column = space.columns[name]
            # A width that may be absent is 0 there, and so is the first of some options.
            logs = np.log(column) if column.min() > 0 else np.log1p(column)
            self.points[:, axis] = np.clip((logs - logs.min()) / (logs.max() - logs.min()), 0.0, 1.0)

    def nearest(self, point: Points, allowed: npt.NDArray[np.bool_]) -> int:
        """The allowed row nearest to `point` (axes,), by Euclidean distance; the first of equally near ones."""
        rows = np.flatnonzero(allowed)
        distances = np.square(self.points[rows] - point).sum(axis=1)
        return int(rows[int(distances.argmin())])
