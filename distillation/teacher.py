"""The model that is distilled from: trained here from scratch, or imported and fine-tuned where it must be."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from distillation.batches import Encoded, TrainingBatches
from distillation.checkpoint import checkpoints_in, training_name
from distillation.criterion import Pupil
from distillation.data import PreparedData, save_tokenizer
from distillation.errors import CheckpointError, TeacherError
from distillation.evaluation import estimate, predict
from distillation.files import whole_folder
from distillation.observer import Observer
from distillation.plan import plan
from distillation.recipe import Knowledge, Recipe, Stage, Term
from distillation.trainer import CHECKPOINT_EVERY_S, Training, move, train
from distillation.values import BUILT_IN, Teacher
from encoders.build import architecture_of, build, head_of, labels_of
from encoders.errors import EncoderError
from encoders.huggingface import load_pretrained
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import Head, HeadKind
from search_space import Architecture

FEWEST_POSITIONS = 64
"""Positions of the built-in teacher, unless texts are cut later."""

BUILT_IN_SMOOTHING = 0.05


def make_teacher(
    data: PreparedData,
    teacher: Teacher,
    recipe: Recipe,
    *,
    seed: int,
    observer: Observer,
    device: torch.device,
    checkpoints: Path | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> StillhouseTaskModel:
    """A teacher of the task, on the CPU and in evaluation mode.

    Of `recipe` only `max_length` counts: teacher and student see texts cut alike.

    Args:
        checkpoints: a folder for the training's checkpoints, made where it is not there. Training goes on from the
            newest that is of the same training, with the same bits on the CPU with equal threads; newer ones, which
            are damaged or of another training, are removed. Without a folder a stopped training begins anew.

    Raises:
        TeacherError: the checkpoint is not to be had, or does not fit the task.
        Interrupted, DivergedError, SaveError: as `train`.
    """
    if teacher.model == BUILT_IN:
        model, own = _built_in(data, recipe, seed)
    else:
        model, ready = _imported(data, teacher, recipe, seed)
        if ready:
            return model
        own = _fine_tuning(data, teacher, recipe)
    observer.stage("training the teacher")
    training = _training(model, data, own, seed, device)
    _train(training, checkpoints, observer, checkpoint_every_s)
    move(model, torch.device("cpu"))
    return model


def write_teacher(folder: Path, model: StillhouseTaskModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Writes a checkpoint that transformers' Auto classes load. Raises: SaveError."""
    with whole_folder(folder) as place:
        model.save_pretrained(place)
        save_tokenizer(tokenizer, place)


def read_teacher(folder: Path) -> StillhouseTaskModel:
    """Raises: TeacherError: not a folder that `write_teacher` wrote."""
    try:
        return load_pretrained(str(folder)).model
    except EncoderError as error:
        raise TeacherError(f"no teacher in {folder}: {error}") from error


def built_in_architecture(vocabulary_size: int, max_length: int) -> Architecture:
    """The shape of the built-in teacher: 4 layers of 6 heads."""
    return Architecture(
        vocabulary_size=vocabulary_size,
        layers=4,
        hidden_size=192,
        heads=6,
        head_size=32,
        ffn_size=768,
        max_positions=max(FEWEST_POSITIONS, max_length),
    )


def built_in_recipe(max_length: int) -> Recipe:
    """Its training, settled on the selection split of `docstrings`.

    The embeddings, which start from nothing, learn faster than the rest.
    """
    return Recipe(
        steps=700,
        batch_size=64,
        max_length=max_length,
        learning_rate=7e-4,
        embedding_learning_rate=2e-3,
        weight_decay=0.01,
        warmup=0.1,
        stages=labels_alone(BUILT_IN_SMOOTHING),
    )


def _built_in(data: PreparedData, recipe: Recipe, seed: int) -> tuple[StillhouseTaskModel, Recipe]:
    architecture = built_in_architecture(len(data.tokenizer), recipe.max_length)
    model = build(architecture, Head(classes=len(data.classes)), data.classes, seed=seed)
    return model, built_in_recipe(recipe.max_length)


def _imported(data: PreparedData, teacher: Teacher, recipe: Recipe, seed: int) -> tuple[StillhouseTaskModel, bool]:
    """The model, and whether its head is the task's already."""
    try:
        imported = load_pretrained(teacher.model, revision=teacher.revision, seed=seed)
        classifies = head_of(imported.model.config).kind is HeadKind.CLASSIFICATION
        ready = imported.has_task_head and classifies and labels_of(imported.model.config) == data.classes
        if not ready:
            head = Head(classes=len(data.classes), pooling=head_of(imported.model.config).pooling)
            imported = load_pretrained(
                teacher.model, revision=teacher.revision, head=head, labels=data.classes, seed=seed
            )
    except EncoderError as error:
        raise TeacherError(f"teacher: {error}") from error
    shape = architecture_of(imported.model.config)
    if recipe.max_length > shape.max_positions:
        raise TeacherError(
            f"distillation.max_length: {recipe.max_length} tokens are more than the {shape.max_positions} positions of"
            f" {teacher.model}"
        )
    if len(data.tokenizer) > shape.vocabulary_size:
        raise TeacherError(
            f"teacher: the tokenizer of {teacher.model} has {len(data.tokenizer)} entries, its model only"
            f" {shape.vocabulary_size}"
        )
    return imported.model, ready


def labels_alone(smoothing: float = 0.0) -> tuple[Stage, ...]:
    """How a teacher is trained: by nobody."""
    return (Stage(terms=(Term(knowledge=Knowledge.HARD_LABELS, smoothing=smoothing),)),)


def _fine_tuning(data: PreparedData, teacher: Teacher, recipe: Recipe) -> Recipe:
    per_epoch = len(data.train.examples) / teacher.batch_size
    return Recipe(
        steps=max(1, round(teacher.epochs * per_epoch)),
        batch_size=teacher.batch_size,
        max_length=recipe.max_length,
        learning_rate=teacher.learning_rate,
        embedding_learning_rate=teacher.learning_rate,
        precision=recipe.precision,
        stages=labels_alone(),
    )


def _training(
    model: StillhouseTaskModel, data: PreparedData, recipe: Recipe, seed: int, device: torch.device
) -> Training:
    selection = Encoded(data.selection, data.tokenizer, max_length=recipe.max_length)
    return Training(
        name=training_name(model, "teacher", data.content_hash, asdict(recipe), seed),
        model=model,
        phases=plan(recipe, Pupil(model=model), None, steps=recipe.steps),
        batches=TrainingBatches(
            data.train, data.tokenizer, batch_size=recipe.batch_size, max_length=recipe.max_length, seed=seed
        ),
        evaluate=lambda: estimate(
            data.task.metric, selection.labels, predict(model, selection, device), len(data.classes)
        ),
        recipe=recipe,
        seed=seed,
        device=device,
    )


def _train(training: Training, folder: Path | None, observer: Observer, every_s: float) -> None:
    start = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
    for resume in (*(checkpoints_in(folder) if folder else ()), None):
        try:
            train(training, folder=folder, resume=resume, observer=observer, checkpoint_every_s=every_s)
        except CheckpointError:
            if resume is None:
                raise
            # Left there, one of a later step would outlive every checkpoint of this training.
            shutil.rmtree(resume, ignore_errors=True)
            training.model.load_state_dict(start)
        else:
            return
