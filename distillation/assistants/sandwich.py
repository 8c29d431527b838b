"""Once for all: slices of one supernet that learn together, each by a criterion of its own.

In a step every sampled slice computes the mean loss of the batch, divided by how many are sampled, and its gradients
reach the weights that it shares with the others; then there is one optimiser step.

References: arXiv:2205.14570, section 3.3; arXiv:1903.05134 (the sandwich rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from distillation.assistants.slices import slices_of
from distillation.batches import Batch
from distillation.criterion import Criterion
from distillation.decisions import Answers, Needs
from distillation.teaching import Teaching
from distillation.values import Estimate
from encoders.modeling_stillhouse import StillhouseTaskModel


class Sampler:
    """Which of the slices, ordered from the largest to the smallest, learn in a step: these two and `between` others,
    or all. The answer depends on seed and step alone.
    """

    def __init__(self, slices: int, between: int | None, seed: int) -> None:
        self._slices, self._seed = slices, seed
        inner = max(0, slices - 2)
        self._between = inner if between is None else min(between, inner)

    @property
    def count(self) -> int:
        """Of slices in a step."""
        return min(self._slices, 2) + self._between

    def __call__(self, step: int) -> tuple[int, ...]:
        """The largest first."""
        inner = range(1, self._slices - 1)
        if self._between < len(inner):
            draw = np.random.default_rng([self._seed, step])
            inner = sorted(draw.choice(inner, self._between, replace=False).tolist())  # type: ignore[assignment]
        return tuple(dict.fromkeys((0, *inner, self._slices - 1)))


class Remembered:
    """A teaching that says of the same batch what it said before: one forward pass of the teacher serves all slices."""

    def __init__(self, teaching: Teaching, needs: Needs) -> None:
        """`needs` are those of all slices together."""
        self._teaching, self._needs = teaching, needs
        self._last: tuple[Batch, Answers] | None = None

    @property
    def model(self) -> StillhouseTaskModel:
        return self._teaching.model

    def __call__(self, batch: Batch, needs: Needs) -> Answers:
        if self._last is None or self._last[0] is not batch:
            self._last = (batch, self._teaching(batch, self._needs | needs))
        return self._last[1]


class Tally(nn.Module):
    """How good slices were, evaluation by evaluation; checkpointed with what they learn."""

    def __init__(self, evaluations: int, slices: int) -> None:
        super().__init__()
        self._rows: Tensor
        shape = (evaluations, slices, 4)
        self.register_buffer("_rows", torch.full(shape, torch.nan, dtype=torch.float64, device="cpu"))

    def add(self, estimates: Sequence[Estimate]) -> None:
        values = [[each.value, each.low, each.high, each.examples] for each in estimates]
        self._rows[len(self.rows)] = torch.tensor(values, dtype=torch.float64)

    @property
    def rows(self) -> tuple[tuple[Estimate, ...], ...]:
        """Of each evaluation, each slice's."""
        filled = [row for row in self._rows.tolist() if not np.isnan(row[0][3])]
        return tuple(tuple(_estimate(*values) for values in row) for row in filled)


class Sandwich(nn.Module):
    """The criterion of a supernet: the mean over the slices of a step, one `part` at a time."""

    def __init__(
        self,
        skeletons: Sequence[StillhouseTaskModel],
        criteria: Sequence[Criterion],
        count: int,
        tally: Tally,
    ) -> None:
        """`count` slices learn in a step. The skeletons say their shapes and have no weights."""
        super().__init__()
        self.criteria = nn.ModuleList(criteria)
        self.tally = tally
        self._count = count
        # In a tuple, so that weights without memory are neither trained nor checkpointed.
        self._sides = tuple(_Side(*pair) for pair in zip(skeletons, criteria, strict=True))

    @property
    def needs(self) -> Needs:
        return reduce(or_, (criterion.needs for criterion in self._all), Needs())

    @property
    def is_taught(self) -> bool:
        return any(criterion.is_taught for criterion in self._all)

    def forward(self, model: StillhouseTaskModel, batch: Batch, share: float, part: int) -> Tensor:
        """The loss of one slice of the model, divided by how many learn in a step."""
        side = self._sides[part]
        weights = {f"model.{name}": weight for name, weight in slices_of(model, side.model).items()}
        loss: Tensor = torch.func.functional_call(side, weights, (batch, share))
        return loss / self._count

    @property
    def _all(self) -> list[Criterion]:
        return cast("list[Criterion]", list(self.criteria))


class _Side(nn.Module):
    """A slice and its criterion, so that weights can be lent to both."""

    def __init__(self, model: StillhouseTaskModel, criterion: Criterion) -> None:
        super().__init__()
        self.model = model
        self.criterion = criterion

    def forward(self, batch: Batch, share: float) -> Tensor:
        loss: Tensor = self.criterion(self.model, batch, share)
        return loss


def _estimate(value: float, low: float, high: float, examples: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, examples=int(examples))
