"""One distillation: a teacher, data, an architecture and a recipe become a student."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from distillation.batches import Encoded, TrainingBatches
from distillation.checkpoint import training_name
from distillation.criterion import TeacherCriterion
from distillation.data import PreparedData, ReportData
from distillation.errors import TeacherError
from distillation.evaluation import evaluate
from distillation.observer import Observer, Unobserved
from distillation.trainer import CHECKPOINT_EVERY_S, Training, move, train
from distillation.values import CurvePoint, Estimate, Initialisation, Recipe
from encoders.build import architecture_of, build, head_of
from encoders.initialisation import initialise_from_teacher
from encoders.modeling_stillhouse import StillhouseTaskModel
from search_space import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """A student on the CPU in evaluation mode, with its metric on the selection split and how it got there.

    `seconds` is training time, over all attempts.
    """

    model: StillhouseTaskModel
    selection: Estimate
    curve: tuple[CurvePoint, ...]
    steps: int
    seconds: float


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
) -> Distilled:
    """Distils a student of this architecture in so many steps.

    Equal arguments give equal weights on the CPU with equal threads, however often the work was stopped and resumed.

    Args:
        folder: scratch for checkpoints.
        resume: a checkpoint of an earlier attempt at the same distillation, wherever it was made.

    Raises:
        TeacherError: teacher, data, recipe and architecture do not fit together.
        InitialisationError: the student cannot be cut out of the teacher.
        Interrupted, DivergedError, CheckpointError, SaveError: as `train`.
    """
    observer = observer or Unobserved()
    observer.stage("distilling")
    _check(data, teacher, architecture, recipe)
    place = torch.device(device)
    student = build(architecture, head_of(teacher.config), data.classes or None, seed=seed)
    if recipe.initialisation is Initialisation.TEACHER:
        initialise_from_teacher(student, teacher)
    teacher.train(False)
    move(teacher, place)
    kind = data.task.kind
    selection = Encoded(data.selection, data.tokenizer, max_length=recipe.max_length, kind=kind)
    training = Training(
        name=training_name(teacher, data.content_hash, architecture.key, asdict(recipe), steps, seed),
        model=student,
        criterion=TeacherCriterion(teacher, student, recipe),
        batches=TrainingBatches(
            data.train, data.tokenizer, batch_size=recipe.batch_size, max_length=recipe.max_length, seed=seed, kind=kind
        ),
        evaluate=lambda: evaluate(student, selection, data.task, data.classes, place),
        recipe=recipe,
        steps=steps,
        seed=seed,
        device=place,
    )
    trained = train(training, folder=folder, resume=resume, observer=observer, checkpoint_every_s=checkpoint_every_s)
    move(student, torch.device("cpu"))
    return Distilled(
        model=student, selection=trained.selection, curve=trained.curve, steps=steps, seconds=trained.seconds
    )


def report(model: StillhouseTaskModel, data: ReportData, recipe: Recipe, *, device: str = "cpu") -> Estimate:
    """The metric on the report split: evaluated once, for what is published."""
    place = torch.device(device)
    move(model, place)
    texts = Encoded(data.report, data.tokenizer, max_length=recipe.max_length, kind=data.task.kind)
    return evaluate(model, texts, data.task, data.classes, place)


def _check(data: PreparedData, teacher: StillhouseTaskModel, architecture: Architecture, recipe: Recipe) -> None:
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
