"""A study that is small and real: generated sentences, a small BERT checkpoint made by transformers, one worker."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

WORDS = {
    "weather": ["rain", "cloud", "storm", "wind", "sun", "snow", "frost", "thunder", "fog", "sky"],
    "kitchen": ["bread", "oven", "salt", "knife", "soup", "butter", "onion", "plate", "spoon", "flour"],
    "garden": ["rose", "spade", "seed", "hedge", "lawn", "soil", "fence", "blossom", "weed", "tree"],
}
FILLER = ["the", "a", "of", "and", "near", "with", "over", "under", "every", "some", "old", "new", "very", "quite"]

STUDY = """\
name: small
teacher: {{model: {teacher}, epochs: 8, learning_rate: 2e-3}}
task: {{dataset: {dataset}}}
search_space: {{layers: [1, 2], hidden_size: [16, 32], heads: [1, 2], ffn_size: [32, 64], head_size: 16}}
constraints: ["parameters <= 1M", "latency_p50 <= 1 s"]
target: {{batch: 1, length: 16, threads: 1}}
distillation: {{steps: {steps}, batch_size: 16, max_length: 16, learning_rate: 2e-3, embedding_learning_rate: 2e-3}}
budget: {{trials: {trials}, flash: 0.5, flash_floor: 1, finalists: 1, measuring: quick, final_measuring: quick}}
strategy: sobol
"""


def write_sentences(path: Path, count: int = 600) -> None:
    """A headed TSV of sentences whose class follows from two of their words."""
    generator = random.Random(0)
    lines = ["text\tlabel"]
    for _ in range(count):
        label = generator.choice(sorted(WORDS))
        words = generator.choices(WORDS[label], k=2) + generator.choices(FILLER, k=6)
        generator.shuffle(words)
        lines.append(" ".join(words) + "\t" + label)
    path.write_text("\n".join(lines) + "\n")


def write_bert(folder: Path) -> None:
    """A BERT checkpoint with random weights and a vocabulary of its own, as transformers saves it."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir()
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *FILLER,
        *(word for words in WORDS.values() for word in words),
    ]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)


def write_study(path: Path, materials: Path, steps: int = 60, trials: int = 4) -> Path:
    """The file of the small study, with these materials."""
    teacher, dataset = materials / "bert", materials / "sentences.tsv"
    path.write_text(STUDY.format(teacher=teacher, dataset=dataset, steps=steps, trials=trials))
    return path


@pytest.fixture(scope="session")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `sentences.tsv` and `bert/`."""
    folder = tmp_path_factory.mktemp("materials")
    write_sentences(folder / "sentences.tsv")
    write_bert(folder / "bert")
    return folder


@pytest.fixture
def study_file(tmp_path: Path, materials: Path) -> Callable[..., Path]:
    return partial(write_study, tmp_path / "small.yaml", materials)


class Stillhouse:
    """The command in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = os.environ | {
            "STILLHOUSE_HOME": str(home),
            "STILLHOUSE_LOCK_DIR": str(home.parent),
            "HF_HUB_OFFLINE": "1",
        }

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "cli.main", *map(str, arguments)]

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def start_logged(self, log: Path, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Like `start`, for a process that nobody listens to."""
        with log.open("wb") as output:
            return subprocess.Popen(
                self.command(*arguments),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *arguments: str | Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    def logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.home.glob("logs/*")))


@pytest.fixture
def stillhouse(tmp_path: Path) -> Stillhouse:
    return Stillhouse(tmp_path / "home")


def read_json(path: Path) -> dict[str, object]:
    return dict(json.loads(path.read_text()))
