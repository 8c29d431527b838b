"""One distillation: a teacher, data, an architecture and a recipe become a student."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import assert_never

import torch
from torch import nn

from distillation.assistants.importance import kept_importance
from distillation.assistants.tradeoff import Assistance
from distillation.batches import Encoded, TrainingBatches
from distillation.cache import Cache, CachedTeaching
from distillation.checkpoint import training_name, weights_hash
from distillation.criterion import Pupil
from distillation.data import PreparedData, ReportData
from distillation.errors import TeacherError
from distillation.evaluation import evaluate
from distillation.observer import Observer, Unobserved
from distillation.plan import plan
from distillation.recipe import FROM_TEACHER, Initialisation, Recipe, Units
from distillation.splits import MOST_SELECTION
from distillation.start import Origin, begin
from distillation.teaching import LiveTeaching, Teaching
from distillation.trainer import CHECKPOINT_EVERY_S, Training, move, train
from distillation.values import CurvePoint, Estimate
from encoders.build import architecture_of, build, head_of
from encoders.importance import Importance, norm_importance
from encoders.modeling_stillhouse import StillhouseTaskModel
from search_space import Architecture

MOST_ROWS = 2 * MOST_SELECTION
"""Of the selection split, from which importance is told: all texts, and of long contexts, or long texts of a masked LM,
no more windows than that. A row costs about what two do that are evaluated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """A student on the CPU in evaluation mode, with its metric on the selection split and how it got there.

    `seconds` is training time, over all attempts and stages; `initial_weights` is the hash of those before the first
    step; `is_cached` says whether the teacher's outputs came from a cache; `assistance` who else taught.
    """

    model: StillhouseTaskModel
    selection: Estimate
    curve: tuple[CurvePoint, ...]
    steps: int
    seconds: float
    initial_weights: str
    is_cached: bool
    assistance: Assistance | None = None


def distil(
    data: PreparedData,
    teacher: StillhouseTaskModel,
    architecture: Architecture,
    recipe: Recipe,
    *,
    steps: int,
    seed: int,
    folder: Path,
    resume: Path | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    observer: Observer | None = None,
    device: str = "cpu",
    previous: StillhouseTaskModel | None = None,
    origin: Origin | None = None,
    cache: Cache | None = None,
) -> Distilled:
    """Distils a student of this architecture in so many steps, by the teacher alone: the recipe's schedule is another
    matter (see `distillation.assistants.chain`).

    Equal arguments give equal weights on the CPU with equal threads, however often the work was stopped and resumed.

    Args:
        folder: scratch for checkpoints.
        resume: a checkpoint of an earlier attempt at the same distillation, wherever it was made.
        previous: the student that this one starts from, where the recipe says `previous`.
        origin: what it starts from instead of its teacher, where the recipe says so.
        cache: where the teacher's outputs and the importance of its units are kept for all distillations on the same
            data. Outputs are computed in other batches there: the last digits of a student trained with it and of one
            without differ. Importance is the same to the bit.

    Raises:
        TeacherError: teacher, data, recipe, previous student and architecture do not fit together.
        InitialisationError: the student cannot be cut out of the teacher.
        Interrupted, DivergedError, CheckpointError, SaveError: as `train`.
    """
    observer = observer or Unobserved()
    check(data, teacher, architecture, recipe, previous)
    place = torch.device(device)
    student = build(architecture, head_of(teacher.config), data.classes or None, seed=seed)
    kind = data.task.kind
    selection = Encoded(data.selection, data.tokenizer, max_length=recipe.max_length, kind=kind)
    teacher.train(False)
    move(teacher, place)
    if origin is None and recipe.initialisation in FROM_TEACHER:
        importance = importance_of(
            teacher, recipe.units, selection, place, content=data.content_hash, cache=cache, observer=observer
        )
        origin = Origin(model=teacher, importance=importance)
    batches = TrainingBatches(
        data.train, data.tokenizer, batch_size=recipe.batch_size, max_length=recipe.max_length, seed=seed, kind=kind
    )
    move(student, place)
    units = begin(student, recipe, origin=origin, previous=previous, batches=batches, device=place)
    pupil = Pupil(model=student, hidden_units=units)
    initial = weights_hash(student)
    teaching: Teaching = LiveTeaching(teacher)
    phases = plan(recipe, pupil, teaching, steps=steps)
    needs = [phase.criterion.needs for phase in phases if phase.criterion.is_taught]
    if cache is not None and needs:
        all_needs = reduce(or_, needs)
        teaching = cache.teaching(teacher, batches.encoded, all_needs, content=data.content_hash, observer=observer)
        phases = plan(recipe, pupil, teaching, steps=steps)
    training = Training(
        name=training_name(
            nn.ModuleList([teacher, student]), data.content_hash, architecture.key, asdict(recipe), steps, seed
        ),
        model=student,
        phases=phases,
        batches=batches,
        evaluate=lambda: evaluate(student, selection, data.task, data.classes, place),
        lower_is_better=data.task.metric.lower_is_better,
        recipe=recipe,
        seed=seed,
        device=place,
    )
    observer.stage("distilling")
    trained = train(training, folder=folder, resume=resume, observer=observer, checkpoint_every_s=checkpoint_every_s)
    move(student, torch.device("cpu"))
    return Distilled(
        model=student,
        selection=trained.selection,
        curve=trained.curve,
        steps=steps,
        seconds=trained.seconds,
        initial_weights=initial,
        is_cached=isinstance(teaching, CachedTeaching),
    )


def report(model: StillhouseTaskModel, data: ReportData, recipe: Recipe, *, device: str = "cpu") -> Estimate:
    """The metric on the report split: evaluated once, for what is published."""
    place = torch.device(device)
    move(model, place)
    texts = Encoded(data.report, data.tokenizer, max_length=recipe.max_length, kind=data.task.kind)
    return evaluate(model, texts, data.task, data.classes, place)


def importance_of(
    model: StillhouseTaskModel,
    units: Units,
    selection: Encoded,
    device: torch.device,
    *,
    content: str = "",
    cache: Cache | None = None,
    observer: Observer | None = None,
) -> Importance | None:
    """The importance by which a smaller model takes units of this one; None for the leading ones.

    By gradients it is told from `MOST_ROWS` rows of the selection split. `content` identifies its data in the cache.

    Raises:
        TeacherError: it is told from labels, and the selection split has none.
    """
    match units:
        case Units.LEADING:
            return None
        case Units.NORMS:
            return norm_importance(model)
        case Units.IMPORTANCE:
            return kept_importance(
                model,
                selection,
                content=content,
                cache=cache,
                device=device,
                hidden=True,
                most=MOST_ROWS,
                observer=observer,
            )
        case _:
            assert_never(units)


def check(
    data: PreparedData,
    teacher: StillhouseTaskModel,
    architecture: Architecture,
    recipe: Recipe,
    previous: StillhouseTaskModel | None,
) -> None:
    """Raises: TeacherError: these do not fit together."""
    if (recipe.initialisation is Initialisation.PREVIOUS) != (previous is not None):
        raise TeacherError(
            f"distillation.initialisation is {recipe.initialisation}, and"
            f" {'no previous student is' if previous is None else 'a previous student is'} given"
        )
    tokens = len(data.tokenizer)
    for name, shape in (("teacher", architecture_of(teacher.config)), ("student", architecture)):
        if shape.vocabulary_size < tokens:
            raise TeacherError(
                f"the {name}'s vocabulary_size of {shape.vocabulary_size} is less than the tokenizer's {tokens}"
            )
        if shape.max_positions < recipe.max_length:
            raise TeacherError(
                f"distillation.max_length of {recipe.max_length} is more than the {name}'s {shape.max_positions}"
                " positions"
            )
    if head_of(teacher.config).kind is not data.task.kind:
        raise TeacherError(f"the teacher does {head_of(teacher.config).kind}, but the task is one of {data.task.kind}")
    if head_of(teacher.config).classes != len(data.classes):
        raise TeacherError(
            f"the teacher tells {head_of(teacher.config).classes} classes apart, but the data has {len(data.classes)}"
        )
