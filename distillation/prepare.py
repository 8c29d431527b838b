"""A study's first job: data, tokenizer and teacher, with what they can do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from distillation.baselines import Classifier, majority, tf_idf, tuned_tf_idf
from distillation.batches import Encoded, Integers
from distillation.data import PreparedData, ReportData, read_data, read_report, write_data
from distillation.errors import DataError, Interrupted, TeacherError
from distillation.evaluation import estimate, predict, score
from distillation.fingerprint import fingerprint
from distillation.observer import Observer, Unobserved
from distillation.recipe import Recipe
from distillation.sources import Corpus, read_corpus
from distillation.splits import AnySplit
from distillation.teacher import make_teacher, write_teacher
from distillation.trainer import CHECKPOINT_EVERY_S
from distillation.values import BUILT_IN, Estimate, Split, Task, Teacher
from distillation.vocabulary import train_tokenizer
from encoders.build import architecture_of, head_of
from encoders.errors import EncoderError
from encoders.huggingface import load_tokenizer
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import Head
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
    baselines, missing = _baselines(data, report)
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
    scores = _scores(data, report, _classifier(model, data, recipe.max_length))
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
        notes=(*data.notes, *_cut(data, recipe.max_length), *missing, *_outdone(scores, baselines)),
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


def _baselines(data: PreparedData, report: ReportData) -> tuple[dict[str, Scores], list[str]]:
    """The baselines' scores, and a note for each that this data has none of."""

    def quality(truth: Integers, predictions: Integers) -> float:
        return score(data.task.metric, truth, predictions, len(data.classes))

    methods: dict[str, Callable[[], Classifier]] = {
        "majority class": lambda: majority(data.train),
        "TF-IDF + logistic regression": lambda: tf_idf(data.train),
        "TF-IDF + logistic regression, tuned": lambda: tuned_tf_idf(data.train, data.selection, quality),
    }
    scores, missing = {}, []
    for name, method in methods.items():
        try:
            scores[name] = _scores(data, report, method())
        except DataError as error:
            missing.append(f"no baseline {name}: {error}")
    return scores, missing


def _outdone(teacher: Scores, baselines: dict[str, Scores]) -> list[str]:
    """A note for each baseline that the teacher does not beat."""
    ours = teacher.report.value
    return [
        f"the teacher does not beat {name} on the report split: {ours:.3f} against {scores.report.value:.3f}"
        for name, scores in baselines.items()
        if scores.report.value >= ours
    ]


def _classifier(model: StillhouseTaskModel, data: PreparedData, max_length: int) -> Classifier:
    return lambda split: predict(model, Encoded(split, data.tokenizer, max_length=max_length), torch.device("cpu"))


def _scores(data: PreparedData, report: ReportData, classifier: Classifier) -> Scores:
    def of(split: AnySplit) -> Estimate:
        truth = np.array([example.label for example in split.examples], dtype=np.int64)
        return estimate(data.task.metric, truth, classifier(split), len(data.classes))

    return Scores(selection=of(data.selection), report=of(report.report))


def _cut(data: PreparedData, max_length: int) -> tuple[str, ...]:
    lengths = Encoded(data.train, data.tokenizer, max_length=max_length + 1).lengths
    share = float((lengths > max_length).mean())
    return (f"{share:.1%} of the train texts are longer than {max_length} tokens and cut there",) if share else ()
