"""The model that is distilled from: trained here from scratch, or imported and fine-tuned where it must be."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from distillation.batches import Encoded, TrainingBatches
from distillation.checkpoint import checkpoints_in, training_name
from distillation.criterion import Pupil
from distillation.data import PreparedData, save_tokenizer
from distillation.errors import CheckpointError, TeacherError
from distillation.evaluation import evaluate
from distillation.files import whole_folder
from distillation.observer import Observer
from distillation.plan import plan
from distillation.recipe import Knowledge, Recipe, Stage, Term
from distillation.splits import TrainSplit, labelled
from distillation.trainer import CHECKPOINT_EVERY_S, Training, move, train
from distillation.values import BUILT_IN, Teacher
from encoders.build import architecture_of, build, head_of, labels_of
from encoders.errors import EncoderError
from encoders.huggingface import load_pretrained
from encoders.imported import ImportedEncoder
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import CLASSIFYING, Head, HeadKind, Pooling
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
    is_built_in = teacher.model == BUILT_IN
    model, is_ready = (_built_in(data, recipe, seed), False) if is_built_in else _imported(data, teacher, recipe, seed)
    if is_ready:
        return model
    # A masked LM has no labels; every text teaches it.
    train = data.train if data.task.kind is HeadKind.MASKED_LM else labelled(data.train)
    batches = TrainingBatches(
        train,
        data.tokenizer,
        batch_size=built_in_recipe(recipe.max_length).batch_size if is_built_in else teacher.batch_size,
        max_length=recipe.max_length,
        seed=seed,
        kind=data.task.kind,
    )
    own = _built_in_course(data, recipe) if is_built_in else _fine_tuning(teacher, recipe, len(batches.encoded))
    if data.task.kind is HeadKind.REGRESSION:
        _begin_at(model, train)
    observer.stage("training the teacher")
    training = _training(model, data, batches, own, seed, device)
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


def _built_in(data: PreparedData, recipe: Recipe, seed: int) -> StillhouseTaskModel:
    architecture = built_in_architecture(len(data.tokenizer), recipe.max_length)
    return build(architecture, _head(data, Pooling.MEAN), data.classes or None, seed=seed)


def _built_in_course(data: PreparedData, recipe: Recipe) -> Recipe:
    is_smooth = data.task.kind is HeadKind.CLASSIFICATION
    stages = labels_alone(BUILT_IN_SMOOTHING if is_smooth else 0.0)
    return replace(built_in_recipe(recipe.max_length), precision=recipe.precision, stages=stages)


def _head(data: PreparedData, pooling: Pooling) -> Head:
    kind = data.task.kind
    return Head(kind=kind, classes=len(data.classes) if kind in CLASSIFYING else 0, pooling=pooling)


def _imported(data: PreparedData, teacher: Teacher, recipe: Recipe, seed: int) -> tuple[StillhouseTaskModel, bool]:
    """The model, and whether its head is the task's already."""
    try:
        imported = load_pretrained(teacher.model, revision=teacher.revision, seed=seed)
        own = head_of(imported.model.config)
        _check_labels(data, teacher, imported)
        head = _head(data, own.pooling)
        if not (imported.has_task_head and own == head and labels_of(imported.model.config) == data.classes):
            imported = load_pretrained(
                teacher.model, revision=teacher.revision, head=head, labels=data.classes or None, seed=seed
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
    return imported.model, imported.has_task_head


def labels_alone(smoothing: float = 0.0) -> tuple[Stage, ...]:
    """How a teacher is trained: by nobody."""
    return (Stage(terms=(Term(knowledge=Knowledge.HARD_LABELS, smoothing=smoothing),)),)


def _check_labels(data: PreparedData, teacher: Teacher, imported: ImportedEncoder) -> None:
    """Raises: TeacherError: the teacher tells apart some of the task's classes, and not all.

    One that knows none of them is fine-tuned on all.
    """
    if not imported.has_task_head or head_of(imported.model.config).kind is not data.task.kind or not data.classes:
        return
    own = {name.casefold() for name in labels_of(imported.model.config)}
    unknown = [name for name in data.classes if name.casefold() not in own]
    if unknown and len(unknown) < len(data.classes):
        raise TeacherError(
            f"teacher: {teacher.model} does not know the labels {', '.join(unknown)}; it knows"
            f" {', '.join(labels_of(imported.model.config))}: name them alike, or take a teacher without this head"
        )


def _begin_at(model: StillhouseTaskModel, train: TrainSplit) -> None:
    """Puts a new head's outputs where the values are, as wide as they are spread."""
    values = torch.tensor([example.label for example in train.examples], dtype=torch.float64)
    head = model.get_submodule("classifier")
    with torch.no_grad():
        head.get_parameter("weight").mul_(float(values.std(correction=0)))
        head.get_parameter("bias").fill_(float(values.mean()))


def _fine_tuning(teacher: Teacher, recipe: Recipe, rows: int) -> Recipe:
    per_epoch = rows / teacher.batch_size
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
    model: StillhouseTaskModel,
    data: PreparedData,
    batches: TrainingBatches,
    recipe: Recipe,
    seed: int,
    device: torch.device,
) -> Training:
    kind = data.task.kind
    selection = Encoded(data.selection, data.tokenizer, max_length=recipe.max_length, kind=kind)
    return Training(
        name=training_name(model, "teacher", data.content_hash, asdict(recipe), seed),
        model=model,
        phases=plan(recipe, Pupil(model=model), None, steps=recipe.steps),
        batches=batches,
        evaluate=lambda: evaluate(model, selection, data.task, data.classes, device),
        lower_is_better=data.task.metric.lower_is_better,
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
