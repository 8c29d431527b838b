"""One stage of a schedule: slices of a supernet learn together from one teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from distillation.assistants.sandwich import Remembered, Sampler, Sandwich, Tally
from distillation.assistants.slices import extract, skeleton_of
from distillation.batches import Encoded, TrainingBatches
from distillation.cache import Cache, CachedTeaching
from distillation.checkpoint import training_name
from distillation.criterion import Criterion, Pupil
from distillation.data import PreparedData
from distillation.decisions import Needs
from distillation.errors import TeacherError
from distillation.evaluation import evaluate
from distillation.observer import Observer
from distillation.plan import Phase, plan
from distillation.recipe import Keep, Recipe
from distillation.teaching import LiveTeaching, Teaching
from distillation.trainer import CHECKPOINT_EVERY_S, Training, move, train
from distillation.values import CurvePoint, Estimate
from encoders.build import architecture_of
from encoders.modeling_stillhouse import StillhouseTaskModel
from search_space import Architecture

Merit = Callable[[Sequence[Estimate]], Estimate]
"""What an evaluation of all slices comes to: the more the better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What all stages of one distillation have in common."""

    data: PreparedData
    recipe: Recipe
    steps: int
    seed: int
    device: torch.device
    observer: Observer
    checkpoint_every_s: float = CHECKPOINT_EVERY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """How good the slices are with the weights that were kept, and how they got there.

    Args:
        best: of each, over all evaluations where the best weights are kept, else the last.
        curve: of the stage's merit.
        is_cached: whether the teacher's outputs came from a cache.
    """

    best: tuple[Estimate, ...]
    curve: tuple[CurvePoint, ...]
    seconds: float
    is_cached: bool


def train_slices(
    settings: Settings,
    supernet: StillhouseTaskModel,
    shapes: Sequence[Architecture],
    teacher: StillhouseTaskModel,
    *,
    merit: Merit,
    folder: Path,
    resume: Path | None,
    cache: Cache | None = None,
) -> Learned:
    """Trains these slices of the supernet, from the largest to the smallest, in place; models end on the CPU.

    Args:
        merit: by which weights are kept and the stage may end early.

    Raises:
        TeacherError: a term of the recipe does not fit the teacher and a slice; names the slice.
        Interrupted, DivergedError, CheckpointError, SaveError: as `train`.
    """
    data, recipe, schedule = settings.data, settings.recipe, settings.recipe.schedule
    teacher.train(False)
    move(teacher, settings.device)
    kind = data.task.kind
    batches = TrainingBatches(
        data.train,
        data.tokenizer,
        batch_size=recipe.batch_size,
        max_length=recipe.max_length,
        seed=settings.seed,
        kind=kind,
    )
    selection = Encoded(data.selection, data.tokenizer, max_length=recipe.max_length, kind=kind)
    skeletons = [skeleton_of(supernet, shape) for shape in shapes]
    sampler = Sampler(len(shapes), schedule.between, settings.seed)
    tally = Tally(schedule.evaluations, len(shapes))

    def phases(teaching: Teaching) -> tuple[Phase, ...]:
        return _together([_plan(settings, skeleton, teaching) for skeleton in skeletons], skeletons, sampler, tally)

    def evaluated() -> Estimate:
        found = [_quality(settings, extract(supernet, shape), selection) for shape in shapes]
        tally.add(found)
        return merit(found)

    planned = phases(LiveTeaching(teacher))
    needs = _needs(planned)
    teaching: Teaching = LiveTeaching(teacher)
    if cache is not None and needs is not None:
        teaching = cache.teaching(
            teacher, batches.encoded, needs, content=data.content_hash, observer=settings.observer
        )
    training = Training(
        name=training_name(
            nn.ModuleList([teacher, supernet]),
            data.content_hash,
            [shape.key for shape in shapes],
            asdict(recipe),
            settings.steps,
            settings.seed,
        ),
        model=supernet,
        phases=phases(Remembered(teaching, needs or Needs())),
        batches=batches,
        evaluate=evaluated,
        recipe=recipe,
        seed=settings.seed,
        device=settings.device,
        evaluations=schedule.evaluations,
        patience=schedule.patience,
    )
    trained = train(
        training,
        folder=folder,
        resume=resume,
        observer=settings.observer,
        checkpoint_every_s=settings.checkpoint_every_s,
    )
    for model in (supernet, teacher):
        move(model, torch.device("cpu"))
    keeps_best = recipe.keep is Keep.BEST or schedule.patience > 0
    return Learned(
        best=_best(tally.rows) if keeps_best else tally.rows[-1],
        curve=trained.curve,
        seconds=trained.seconds,
        is_cached=isinstance(teaching, CachedTeaching),
    )


def _plan(settings: Settings, skeleton: StillhouseTaskModel, teaching: Teaching) -> tuple[Phase, ...]:
    pupil = Pupil(model=skeleton, hidden_units=tuple(range(skeleton.config.hidden_size)))
    try:
        return plan(settings.recipe, pupil, teaching, steps=settings.steps)
    except TeacherError as error:
        raise TeacherError(f"the slice {architecture_of(skeleton.config).label}: {error}") from error


def _together(
    plans: Sequence[tuple[Phase, ...]], skeletons: Sequence[StillhouseTaskModel], sampler: Sampler, tally: Tally
) -> tuple[Phase, ...]:
    """The phases of all slices as those of their supernet."""
    if len({len(each) for each in plans}) > 1:
        raise TeacherError(
            "a stage that trains block after block teaches all slices the same blocks; match other layers"
        )
    made = []
    for same in zip(*plans, strict=True):
        criteria = [_criterion(phase) for phase in same]
        sandwich = Sandwich(skeletons, criteria, sampler.count, tally)
        made.append(replace(same[0], criterion=sandwich, parts=sampler))
    return tuple(made)


def _criterion(phase: Phase) -> Criterion:
    if not isinstance(phase.criterion, Criterion):
        raise TypeError("a slice has a criterion of its own")
    return phase.criterion


def _needs(phases: Sequence[Phase]) -> Needs | None:
    """Of the teacher; None where nothing is."""
    taught = [phase.criterion.needs for phase in phases if phase.criterion.is_taught]
    return None if not taught else _union(taught)


def _union(needs: Sequence[Needs]) -> Needs:
    total = Needs()
    for each in needs:
        total = total | each
    return total


def _quality(settings: Settings, model: StillhouseTaskModel, selection: Encoded) -> Estimate:
    return evaluate(model, selection, settings.data.task, settings.data.classes, settings.device)


def _best(rows: Sequence[tuple[Estimate, ...]]) -> tuple[Estimate, ...]:
    return tuple(max(column, key=lambda each: each.value) for column in zip(*rows, strict=True))
