"""A recipe's stages as phases: which steps train what, by which criterion, at which rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from distillation.assistants.sandwich import Sandwich
from distillation.criterion import Criterion, Pupil
from distillation.errors import TeacherError
from distillation.optimiser import Rates
from distillation.recipe import Part, Recipe, Stage
from distillation.teaching import Teaching
from encoders.build import architecture_of
from encoders.modeling_stillhouse import StillhouseTaskModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """The steps from `first` up to `last`, which is not among them; `warmup` is a share of them.

    `parts` of a step are those that the criterion computes one after the other; None where it has none.
    """

    first: int
    last: int
    criterion: Criterion | Sandwich
    part: Part
    block: int | None
    rates: Rates
    warmup: float
    parts: Callable[[int], tuple[int, ...]] | None = None

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
    """The phases of a distillation of so many steps; those that get none are left out, as are blocks without a term.

    Raises:
        TeacherError: a term does not fit teacher and student, or none teaches anything.
    """
    # Criteria are made for phases without steps as well: a recipe that does not fit is refused however short it is.
    lessons = [(stage, *lesson) for stage in recipe.stages for lesson in _lessons(stage, pupil, teaching)]
    if not lessons:
        raise TeacherError("no term teaches any block of the student: their matching leaves all of them out")
    ends = _ends([share for *_, share in lessons], steps)
    return tuple(
        _phase(recipe, stage, block, criterion, first, last)
        for (stage, block, criterion, _), first, last in zip(lessons, [0, *ends], ends, strict=False)
        if last > first
    )


def _lessons(stage: Stage, pupil: Pupil, teaching: Teaching | None) -> list[tuple[int | None, Criterion, float]]:
    """The block, if the stage is of blocks, the criterion, and the share of the steps."""
    layers = architecture_of(pupil.model.config).layers
    blocks = range(layers) if stage.train is Part.BLOCKS else [None]
    made = [(block, Criterion(stage.terms, pupil, teaching, block=block)) for block in blocks]
    taught = [(block, criterion) for block, criterion in made if criterion.teaches]
    return [(block, criterion, stage.share / len(taught)) for block, criterion in taught]


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
