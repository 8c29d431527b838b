"""The candidates for assistant of one student: slices of its teacher, between the two in size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from distillation.assistants.grid import candidate, hull, is_slice, share_of
from distillation.assistants.importance import kept_importance
from distillation.assistants.slices import extract, supernet_of
from distillation.assistants.tradeoff import TARGET, Point, tradeoff
from distillation.batches import Encoded
from distillation.cache import Cache
from distillation.data import PreparedData
from distillation.errors import TeacherError
from distillation.observer import Observer
from distillation.recipe import FROM_TEACHER, RELATIONS, Knowledge, Recipe
from distillation.trainer import move
from distillation.values import Estimate
from encoders.build import architecture_of, head_of
from encoders.importance import Importance
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import HeadKind, Pooling
from search_space import Architecture, Pooler, block_cost

Points = tuple[tuple[float, Architecture], ...]
"""Sparsities and shapes."""


def grid_of(whole: Architecture, importance: Importance, recipe: Recipe) -> Points:
    """Every point of the recipe's grid, the largest first."""
    return tuple((sparsity, slice_at(whole, importance, recipe, sparsity)) for sparsity in recipe.schedule.sparsities)


def slice_at(whole: Architecture, importance: Importance, recipe: Recipe, sparsity: float) -> Architecture:
    """The slice that lacks this share of its units, as the recipe ranks them.

    Where the recipe teaches heads every layer keeps one.

    Raises:
        InitialisationError: the importance is not of a model of this shape.
    """
    taught = {term.knowledge for stage in recipe.stages for term in stage.terms if not term.is_off}
    least = int(bool(taught & {Knowledge.ATTENTION, *RELATIONS}))
    return candidate(whole, importance, sparsity, ranking=recipe.schedule.ranking, least_heads=least)


def importance_by_labels(
    data: PreparedData,
    teacher: StillhouseTaskModel,
    recipe: Recipe,
    device: str,
    *,
    observer: Observer | None = None,
    cache: Cache | None = None,
) -> Importance:
    """The importance that schedules cut by: of heads and neurons, and of hidden units where the task is the language.

    It is told from all of the selection split.

    Raises:
        TeacherError: as `gradient_importance`.
    """
    place, kind = torch.device(device), data.task.kind
    texts = Encoded(data.selection, data.tokenizer, max_length=recipe.max_length, kind=kind)
    move(teacher, place)
    found = kept_importance(
        teacher,
        texts,
        content=data.content_hash,
        cache=cache,
        device=place,
        hidden=kind is HeadKind.MASKED_LM,
        observer=observer,
    )
    move(teacher, torch.device("cpu"))
    return found


def whole_of(teacher: StillhouseTaskModel, pooler: Pooler = Pooler.NONE) -> Architecture:
    """The shape that slices are cut from: the teacher's; a pooler that the head does not read only where asked for."""
    shape = architecture_of(teacher.config)
    if head_of(teacher.config).pooling is Pooling.CLS or shape.pooler is pooler:
        return shape
    return replace(shape, pooler=Pooler.NONE)


def has_room(teacher: StillhouseTaskModel, architecture: Architecture, recipe: Recipe) -> bool:
    """Whether some candidate for assistant lies between teacher and student, as far as sizes tell before importance
    does: which units are dropped hardly matters to how many weights are left.
    """
    whole = whole_of(teacher, architecture.pooler)
    hides = head_of(teacher.config).kind is HeadKind.MASKED_LM
    equal = Importance(hidden=torch.ones(whole.hidden_size) if hides else None)
    found = [shape for _, shape in grid_of(whole, equal, recipe) if shape != whole]
    return any(_size(shape) > _size(architecture) for shape in found)


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Those of a recipe's grid for a student of the shape `target`; the importance is of the teacher's units."""

    teacher: StillhouseTaskModel
    target: Architecture
    recipe: Recipe
    importance: Importance

    @cached_property
    def whole(self) -> Architecture:
        return whole_of(self.teacher, self.target.pooler)

    @cached_property
    def hides(self) -> bool:
        """Whether hidden units are cut as well."""
        return head_of(self.teacher.config).kind is HeadKind.MASKED_LM

    @cached_property
    def is_slice(self) -> bool:
        """Whether the student is a part of the teacher, and starts as one."""
        starts = self.recipe.initialisation in FROM_TEACHER
        return starts and is_slice(self.target, self.whole, hidden=self.hides)

    @cached_property
    def grid(self) -> Points:
        """All of the grid that are smaller than the teacher.

        Raises:
            TeacherError: none of them is larger than the student.
        """
        found = {shape: sparsity for sparsity, shape in grid_of(self.whole, self.importance, self.recipe)}
        found.pop(self.whole, None)
        if not any(map(self.may_assist, found)):
            sizes = [_size(shape) for shape in found]
            raise TeacherError(
                f"the student's {_size(self.target):,} encoder parameters leave no room for an assistant: the largest"
                f" candidate has {max(sizes, default=0):,}; name smaller distillation.schedule.sparsities, or write"
                " `schedule: direct`"
            )
        return tuple((sparsity, shape) for shape, sparsity in found.items())

    def smaller_than(self, largest: Architecture) -> Points:
        """The candidates below this one; of a student that is no slice down to the one nearest above it."""
        below = [point for point in self.grid if _size(point[1]) < _size(largest)]
        if not self.is_slice:
            return tuple(point for point in below if self.may_assist(point[1]))
        if all(shape != self.target for _, shape in below):
            below.append((TARGET, self.target))
        return tuple(sorted(below, key=lambda point: -_size(point[1])))

    def may_assist(self, shape: Architecture) -> bool:
        return _size(shape) > _size(self.target)

    def may_be_chosen(self, points: Points) -> tuple[int, ...]:
        return tuple(i for i, (_, shape) in enumerate(points) if self.may_assist(shape) or shape == self.target)

    def judged(self, points: Points, estimates: Sequence[Estimate]) -> tuple[Point, ...]:
        lambda_ = self.recipe.schedule.lambda_
        made = []
        for (sparsity, shape), estimate in zip(points, estimates, strict=True):
            share = share_of(shape, self.whole)
            value = tradeoff(estimate.value, share, lambda_)
            made.append(Point(sparsity=sparsity, architecture=shape, share=share, selection=estimate, tradeoff=value))
        return tuple(made)

    def supernet(self, points: Points) -> StillhouseTaskModel:
        """The teacher with its units sorted, as far as these slices and the student need it."""
        whole = supernet_of(self.teacher, self.whole, self.importance)
        if not self.is_slice:
            return whole
        return extract(whole, hull([self.target, *(shape for _, shape in points)]))


def _size(shape: Architecture) -> int:
    return block_cost(shape).parameters
