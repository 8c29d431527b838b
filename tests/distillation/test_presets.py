"""Every preset on every kind of task: its terms teach, and it can learn 64 texts by heart."""

import random
from dataclasses import replace

import pytest
import torch

from distillation.batches import TrainingBatches
from distillation.criterion import Criterion, Pupil
from distillation.data import PreparedData
from distillation.distil import distil
from distillation.presets import PRESETS
from distillation.presets import recipe as preset
from distillation.recipe import Knowledge, Recipe, Stage, Term
from distillation.splits import Answer, Example, SelectionSplit, TrainSplit
from distillation.teaching import LiveTeaching
from distillation.values import Dataset, Task
from distillation.vocabulary import train_tokenizer
from encoders.build import build
from encoders.values import CLASSIFYING, Head, HeadKind
from search_space import Architecture

WORDS = ["cat", "dog", "oak", "fern", "slate", "chalk", "rose", "moss"]
LENGTH = 16


def example(kind, rng):
    words = [rng.choice(WORDS) for _ in range(5)]
    text, first = " ".join(words), WORDS.index(words[0])
    match kind:
        case HeadKind.CLASSIFICATION:
            return Example((text,), first % 3)
        case HeadKind.REGRESSION:
            return Example((text,), first / 2)
        case HeadKind.TOKEN_CLASSIFICATION:
            return Example(tuple(words), tuple(WORDS.index(word) % 3 for word in words))
        case HeadKind.QUESTION_ANSWERING:
            word = words[2]
            return Example((f"where is {word}", text), (Answer(word, text.index(word)),))
        case HeadKind.MASKED_LM:
            return Example((" ".join([words[0]] * 6),), None)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([" ".join(WORDS), "where is"] * 9, size=100)


@pytest.fixture(scope="module")
def learnt(tokenizer, tmp_path_factory):
    """64 texts of a kind, and a teacher that knows them by heart."""
    made = {}

    def make(kind):
        if kind not in made:
            made[kind] = (data := texts(kind, tokenizer)), trained(data, tmp_path_factory.mktemp(kind))
        return made[kind]

    return make


def texts(kind, tokenizer):
    rng = random.Random(3)
    examples = tuple(example(kind, rng) for _ in range(64))
    return PreparedData(
        task=Task(dataset=Dataset(source="made"), kind=kind),
        classes=("O", "B-X", "B-Y") if kind in CLASSIFYING else (),
        train=TrainSplit(examples),
        selection=SelectionSplit(examples),  # learnt by heart is what is asked
        tokenizer=tokenizer,
        content_hash=kind,
    )


def shape(**sizes):
    return Architecture(
        **{"layers": 3, "hidden_size": 32, "heads": 4, "head_size": 8, "ffn_size": 64}
        | sizes
        | {"vocabulary_size": 100, "max_positions": LENGTH}
    )


RECIPE = Recipe(
    batch_size=16, max_length=LENGTH, learning_rate=4e-3, embedding_learning_rate=8e-3, initialisation="random"
)


def trained(data, folder):
    kind = data.task.kind
    start = build(shape(), Head(kind=kind, classes=len(data.classes)), data.classes or None, seed=1)
    labels = replace(RECIPE, stages=(Stage(terms=(Term(knowledge="hard_labels"),)),))
    made = distil(data, start, shape(), labels, steps=200, seed=0, folder=folder)
    assert is_learnt(data.task.metric, made.selection.value), (kind, made.selection)
    return made.model


def is_learnt(metric, value):
    return value < 1.5 if metric.lower_is_better else value > 0.9


@pytest.mark.parametrize("kind", list(HeadKind))
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_learns_64_texts_by_heart(name, kind, learnt, tmp_path):
    data, teacher = learnt(kind)
    recipe = replace(preset(name), batch_size=16, max_length=LENGTH, learning_rate=4e-3, embedding_learning_rate=8e-3)
    student = distil(
        data, teacher, shape(layers=2, hidden_size=24, heads=3, ffn_size=48), recipe, steps=200, seed=0, folder=tmp_path
    )
    assert is_learnt(data.task.metric, student.selection.value), student.curve


@pytest.mark.parametrize("kind", list(HeadKind))
@pytest.mark.parametrize("name", PRESETS)
def test_every_term_of_a_preset_teaches_and_listens_to_the_teacher(name, kind, learnt):
    data, teacher = learnt(kind)
    other = build(shape(), Head(kind=kind, classes=len(data.classes)), seed=11)
    student = build(shape(layers=2, heads=2), Head(kind=kind, classes=len(data.classes)), seed=2)
    batch = TrainingBatches(data.train, data.tokenizer, batch_size=8, max_length=LENGTH, seed=0, kind=kind)(0)
    for term in (term for stage in preset(name).stages for term in stage.terms):
        first, second = (gradient(term, student, one, batch) for one in (teacher, other))
        assert first.abs().sum() > 0
        assert torch.equal(first, second) == (term.knowledge is Knowledge.HARD_LABELS)


def gradient(term, student, teacher, batch):
    student.zero_grad()
    Criterion([term], Pupil(model=student), LiveTeaching(teacher))(student, batch).backward()
    return torch.cat([weight.grad.flatten() for weight in student.parameters() if weight.grad is not None])
