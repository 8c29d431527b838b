"""A small task that can be learnt: the words of a text tell its class."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from distillation.data import PreparedData, ReportData, read_data, read_report, write_data
from distillation.recipe import Recipe
from distillation.sources import Corpus
from distillation.splits import Example, split_all
from distillation.values import Dataset, Task
from distillation.vocabulary import train_tokenizer
from encoders.build import build
from encoders.modeling_stillhouse import StillhouseForSequenceClassification
from encoders.values import Head
from search_space import Architecture

WORDS = {
    "animals": ["cat", "dog", "horse", "cow", "sheep", "goat", "hen", "duck"],
    "plants": ["oak", "fern", "moss", "rose", "tulip", "birch", "daisy", "ivy"],
    "stones": ["slate", "chalk", "flint", "basalt", "quartz", "marble", "opal", "jade"],
}
FILLER = ["the", "a", "near", "small", "old", "some", "with", "under"]
CLASSES = tuple(WORDS)
VOCABULARY_SIZE = 200


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on busy cores make tiny models a hundred times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass
class Recorder:
    """An observer that remembers, and asks to stop after `stop_after` steps of this attempt."""

    stop_after: int | None = None
    stages: list[str] = field(default_factory=list)
    steps: list[tuple[int, int, float]] = field(default_factory=list)
    curve: list[tuple[int, float]] = field(default_factory=list)
    checkpoints: list[Path] = field(default_factory=list)

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def step(self, step: int, steps: int, loss: float) -> None:
        self.steps.append((step, steps, loss))

    def evaluated(self, step: int, value: float) -> None:
        self.curve.append((step, value))

    def checkpointed(self, folder: Path) -> None:
        self.checkpoints.append(folder)

    def should_stop(self) -> bool:
        return self.stop_after is not None and len(self.steps) >= self.stop_after


def _examples(count: int) -> list[Example]:
    rng = random.Random(0)
    made = []
    for index in range(count):
        label = index % len(CLASSES)
        words = rng.choices(WORDS[CLASSES[label]], k=2) + rng.choices(FILLER, k=rng.randint(1, 6))
        rng.shuffle(words)
        made.append(Example((" ".join([*words, str(index)]),), label))
    return made


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return Corpus(classes=CLASSES, splits=split_all(_examples(300)), notes=("made for a test",))


@pytest.fixture(scope="session")
def task() -> Task:
    return Task(dataset=Dataset(source="made.csv"))


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe(steps=40, batch_size=16, max_length=12, learning_rate=5e-3, embedding_learning_rate=2e-2)


@pytest.fixture(scope="session")
def shape() -> Callable[..., Architecture]:
    """A tiny architecture, but for what is named."""

    def make(**changes: int) -> Architecture:
        sizes = {"layers": 2, "hidden_size": 16, "heads": 2, "head_size": 8, "ffn_size": 32, "max_positions": 16}
        return Architecture.from_dict({"vocabulary_size": VOCABULARY_SIZE, **sizes, **changes})

    return make


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus, task: Task) -> Path:
    """A prepared data folder."""
    texts = [text for example in corpus.splits.train.examples for text in example.texts]
    place = tmp_path_factory.mktemp("prepared") / "data"
    write_data(place, corpus, task, train_tokenizer(texts, size=VOCABULARY_SIZE, max_length=16))
    return place


@pytest.fixture(scope="session")
def data(folder: Path) -> PreparedData:
    return read_data(folder)


@pytest.fixture(scope="session")
def report_data(folder: Path) -> ReportData:
    return read_report(folder)


@pytest.fixture
def teacher(shape: Callable[..., Architecture]) -> StillhouseForSequenceClassification:
    """Wider and deeper than the tiny students, and untrained."""
    return build(shape(layers=4, hidden_size=24, heads=3), Head(classes=len(CLASSES)), CLASSES, seed=7)
