"""A recipe's stages as phases: which steps train what, by which criterion, at which rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from distillation.criterion import Criterion, Pupil
from distillation.optimiser import Rates
from distillation.recipe import Part, Recipe, Stage
from distillation.teaching import Teaching
from encoders.build import architecture_of
from encoders.modeling_stillhouse import StillhouseTaskModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """The steps from `first` up to `last`, which is not among them; `warmup` is a share of them."""

    first: int
    last: int
    criterion: Criterion
    part: Part
    block: int | None
    rates: Rates
    warmup: float

    @property
    def steps(self) -> int:
        return self.last - self.first

    @contextmanager
    def training(self, model: StillhouseTaskModel) -> Iterator[None]:
        """Within, only what this phase trains asks for gradients."""
        trained = {id(weight) for module in self._modules(model) for weight in module.parameters()}
        frozen = [weight for weight in model.parameters() if weight.requires_grad and id(weight) not in trained]
        for weight in frozen:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in frozen:
                weight.requires_grad_(True)

    def _modules(self, model: StillhouseTaskModel) -> list[nn.Module]:
        encoder = model.encoder
        if self.block is not None:
            return [encoder.layers[self.block], *([encoder.embeddings] if self.block == 0 else [])]
        if self.part is Part.HEAD:
            return [module for module in model.children() if module is not encoder]
        return [encoder if self.part is Part.ENCODER else model]


def plan(recipe: Recipe, pupil: Pupil, teaching: Teaching | None, *, steps: int) -> tuple[Phase, ...]:
    """The phases of a distillation of so many steps; stages and blocks of which none is left are left out.

    Raises:
        TeacherError: a term does not fit teacher and student.
    """
    layers = architecture_of(pupil.model.config).layers
    lessons = [(stage, block, share) for stage in recipe.stages for block, share in _blocks(stage, layers)]
    ends = _ends([share for _, _, share in lessons], steps)
    phases, first = [], 0
    for (stage, block, _), last in zip(lessons, ends, strict=True):
        # Made for phases without steps as well: a recipe that does not fit is refused however short it is.
        criterion = Criterion(stage.terms, pupil, teaching, block=block)
        if last > first:
            phases.append(_phase(recipe, stage, block, criterion, first, last))
        first = last
    return tuple(phases)


def _blocks(stage: Stage, layers: int) -> list[tuple[int | None, float]]:
    if stage.train is Part.BLOCKS:
        return [(block, stage.share / layers) for block in range(layers)]
    return [(None, stage.share)]


def _ends(shares: Sequence[float], steps: int) -> list[int]:
    """Where each phase ends; the last at `steps`."""
    total, passed, ends = sum(shares), 0.0, []
    for share in shares:
        passed += share
        ends.append(round(steps * passed / total))
    return [*ends[:-1], steps]


def _phase(recipe: Recipe, stage: Stage, block: int | None, criterion: Criterion, first: int, last: int) -> Phase:
    rest = recipe.learning_rate if stage.learning_rate is None else stage.learning_rate
    tables = recipe.embedding_learning_rate
    if stage.embedding_learning_rate is not None:
        tables = stage.embedding_learning_rate
    return Phase(
        first=first,
        last=last,
        criterion=criterion,
        part=stage.train,
        block=block,
        rates=Rates(embeddings=tables, rest=rest),
        warmup=recipe.warmup if stage.warmup is None else stage.warmup,
    )
