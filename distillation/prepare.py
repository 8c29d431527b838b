"""A study's first job: data, tokenizer and teacher, with what they can do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from distillation.baselines import Predictor, methods
from distillation.batches import Encoded
from distillation.data import PreparedData, ReportData, read_data, read_report, write_data
from distillation.errors import DataError, Interrupted, TeacherError
from distillation.evaluation import evaluate
from distillation.fingerprint import fingerprint
from distillation.metrics import Predictions, estimate, score
from distillation.observer import Observer, Unobserved
from distillation.recipe import Recipe
from distillation.sources import Corpus, read_corpus
from distillation.splits import AnySplit, labelled
from distillation.teacher import make_teacher, write_teacher
from distillation.trainer import CHECKPOINT_EVERY_S, move
from distillation.values import BUILT_IN, Estimate, Metric, Split, Task, Teacher
from distillation.vocabulary import train_tokenizer
from encoders.build import architecture_of, head_of
from encoders.errors import EncoderError
from encoders.huggingface import load_tokenizer
from encoders.values import Head, HeadKind
from search_space import Architecture

__all__ = ["DATA", "TEACHER", "Prepared", "Scores", "fingerprint", "prepare"]

DATA, TEACHER = "data", "teacher"
"""What `prepare` writes into its folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The task's metric on both held-out splits."""

    selection: Estimate
    report: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a study knows before its first trial. `splits` are numbers of examples; `architecture` is the teacher's.

    `seconds` are those of this call, not of attempts before it.
    """

    classes: tuple[str, ...]
    vocabulary_size: int
    max_positions: int
    architecture: Architecture
    head: Head
    teacher: Scores
    baselines: dict[str, Scores]
    splits: dict[Split, int]
    seconds: float
    notes: tuple[str, ...]


def prepare(
    task: Task,
    teacher: Teacher,
    recipe: Recipe,
    folder: Path,
    *,
    seed: int,
    observer: Observer | None = None,
    device: str = "cpu",
    checkpoints: Path | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> Prepared:
    """Writes `folder/data` and `folder/teacher`. Of `recipe` only `max_length` counts.

    Args:
        checkpoints: a folder outside `folder`, kept from call to call: a call with equal arguments goes on with the
            teacher's training where the last one stopped (see `make_teacher`) and repeats what is quick. The caller
            removes it at the end.

    Raises:
        DataError: the dataset cannot be read.
        TeacherError: the teacher is not to be had, or does not fit the task.
        Interrupted: the observer asked for it.
        DivergedError, SaveError: as `train`.
    """
    begin_s = time.monotonic()
    observer = observer or Unobserved()
    stage = _stages(observer)
    tokenizer = None if teacher.model == BUILT_IN else _tokenizer_of(teacher)
    corpus = read_corpus(task, lambda name: stage(f"reading {name}"))
    stage("writing the data")
    write_data(folder / DATA, corpus, task, tokenizer or _own_tokenizer(corpus, recipe))
    data, report = read_data(folder / DATA), read_report(folder / DATA)
    stage("baselines")
    texts = _encoded(data, report, recipe.max_length)
    baselines, missing = _baselines(data, texts)
    stage("the teacher")
    model = make_teacher(
        data,
        teacher,
        recipe,
        seed=seed,
        observer=observer,
        device=torch.device(device),
        checkpoints=checkpoints,
        checkpoint_every_s=checkpoint_every_s,
    )
    stage("evaluating the teacher")
    place = torch.device(device)
    move(model, place)
    scores = _scores(texts, lambda split: evaluate(model, split, task, data.classes, place))
    move(model, torch.device("cpu"))
    write_teacher(folder / TEACHER, model, data.tokenizer)
    shape = architecture_of(model.config)
    return Prepared(
        classes=data.classes,
        vocabulary_size=shape.vocabulary_size,
        max_positions=shape.max_positions,
        architecture=shape,
        head=head_of(model.config),
        teacher=scores,
        baselines=baselines,
        splits={
            Split.TRAIN: len(data.train.examples),
            Split.SELECTION: len(data.selection.examples),
            Split.REPORT: len(report.report.examples),
        },
        seconds=time.monotonic() - begin_s,
        notes=(*data.notes, *_cut(task, texts, recipe.max_length), *missing, *_outdone(task.metric, scores, baselines)),
    )


def _stages(observer: Observer) -> Callable[[str], None]:
    def stage(name: str) -> None:
        if observer.should_stop():
            raise Interrupted(f"stopped before: {name}")
        observer.stage(name)

    return stage


def _tokenizer_of(teacher: Teacher) -> PreTrainedTokenizerBase:
    try:
        return load_tokenizer(teacher.model, revision=teacher.revision)
    except EncoderError as error:
        raise TeacherError(f"teacher: {error}") from error


def _own_tokenizer(corpus: Corpus, recipe: Recipe) -> PreTrainedTokenizerBase:
    # From train alone: what is held out shapes nothing.
    texts = [text for example in corpus.splits.train.examples for text in example.texts]
    return train_tokenizer(texts, max_length=recipe.max_length)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Texts:
    """The tokens of every split."""

    train: Encoded
    selection: Encoded
    report: Encoded


def _encoded(data: PreparedData, report: ReportData, max_length: int) -> _Texts:
    def of(split: AnySplit) -> Encoded:
        return Encoded(split, data.tokenizer, max_length=max_length, kind=data.task.kind)

    return _Texts(train=of(data.train), selection=of(data.selection), report=of(report.report))


def _baselines(data: PreparedData, texts: _Texts) -> tuple[dict[str, Scores], list[str]]:
    """The baselines' scores, and a note for each that this data has none of."""
    task, sign = data.task, -1 if data.task.metric.lower_is_better else 1

    def quality(split: Encoded, predictions: Predictions) -> float:
        return sign * score(task.metric, split.examples, predictions, data.classes)

    def estimated(predict: Predictor, split: Encoded) -> Estimate:
        return estimate(task.metric, split.examples, predict(split), data.classes)

    scores, missing = {}, []
    known = methods(task.kind, labelled(data.train), texts.train, texts.selection, quality)
    for name, method in known.items():
        try:
            scores[name] = _scores(texts, partial(estimated, method()))
        except DataError as error:
            missing.append(f"no baseline {name}: {error}")
    return scores, missing if known else [f"no baseline: none is sensible for a task of {task.kind}"]


def _outdone(metric: Metric, teacher: Scores, baselines: dict[str, Scores]) -> list[str]:
    """A note for each baseline that the teacher does not beat."""
    ours, sign = teacher.report.value, -1 if metric.lower_is_better else 1
    return [
        f"the teacher does not beat {name} on the report split: {ours:.3f} against {scores.report.value:.3f}"
        for name, scores in baselines.items()
        if sign * scores.report.value >= sign * ours
    ]


def _scores(texts: _Texts, quality: Callable[[Encoded], Estimate]) -> Scores:
    return Scores(selection=quality(texts.selection), report=quality(texts.report))


def _cut(task: Task, texts: _Texts, max_length: int) -> list[str]:
    what = "questions are longer than half of" if task.kind is HeadKind.QUESTION_ANSWERING else "texts are longer than"
    shares = {name: getattr(texts, name).cut_share for name in Split}
    return [
        f"{share:.1%} of the {name} {what} {max_length} tokens and cut there" for name, share in shares.items() if share
    ]
