"""The prepared folder: a task's texts, splits and tokenizer, the same on every worker.

    data.json          classes, task, sizes, notes, and the hash of everything else
    train.jsonl        one example a line: {"texts": ["..."], "label": 3}; of words {"texts": ["two", "words"],
                       "label": [0, 2]}, of questions {..., "label": [["an answer", 17]]}; null without a label
    selection.jsonl
    report.jsonl
    tokenizer/

Equal inputs give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from distillation.errors import DataError, SaveError
from distillation.files import whole_folder, write_json
from distillation.sources import Corpus
from distillation.splits import Answer, Example, Label, ReportSplit, SelectionSplit, TrainSplit
from distillation.values import Dataset, Split, Task
from encoders.huggingface import load_tokenizer
from encoders.values import HeadKind

SCHEMA_VERSION = 2
DESCRIPTION = "data.json"
TOKENIZER = "tokenizer"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedData:
    """What training may see. The report split is not in here: `read_report` hands it to those who publish."""

    task: Task
    classes: tuple[str, ...]
    train: TrainSplit
    selection: SelectionSplit
    tokenizer: PreTrainedTokenizerBase
    content_hash: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """What the final evaluation may see."""

    task: Task
    classes: tuple[str, ...]
    report: ReportSplit
    tokenizer: PreTrainedTokenizerBase
    content_hash: str


def write_data(folder: Path, corpus: Corpus, task: Task, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises: SaveError."""
    splits = {
        Split.TRAIN: corpus.splits.train.examples,
        Split.SELECTION: corpus.splits.selection.examples,
        Split.REPORT: corpus.splits.report.examples,
    }
    with whole_folder(folder) as place:
        for split, examples in splits.items():
            _split_file(place, split).write_text(_lines(examples), encoding="utf-8")
        save_tokenizer(tokenizer, place / TOKENIZER)
        description = {
            "schema_version": SCHEMA_VERSION,
            "task": asdict(task),
            "classes": list(corpus.classes),
            "sizes": {split.value: len(examples) for split, examples in splits.items()},
            "notes": list(corpus.notes),
            "content_hash": _content_hash(place),
        }
        write_json(place / DESCRIPTION, description)


def read_data(folder: Path) -> PreparedData:
    """Raises: DataError: not a prepared folder, of another version, or changed since it was written."""
    description = _description(folder)
    task = _task(description["task"])
    return PreparedData(
        task=task,
        classes=tuple(description["classes"]),
        train=TrainSplit(_examples(_split_file(folder, Split.TRAIN), task.kind)),
        selection=SelectionSplit(_examples(_split_file(folder, Split.SELECTION), task.kind)),
        tokenizer=load_tokenizer(str(folder / TOKENIZER)),
        content_hash=description["content_hash"],
        notes=tuple(description["notes"]),
    )


def read_report(folder: Path) -> ReportData:
    """Raises: DataError: as `read_data`."""
    description = _description(folder)
    task = _task(description["task"])
    return ReportData(
        task=task,
        classes=tuple(description["classes"]),
        report=ReportSplit(_examples(_split_file(folder, Split.REPORT), task.kind)),
        tokenizer=load_tokenizer(str(folder / TOKENIZER)),
        content_hash=description["content_hash"],
    )


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Raises: SaveError."""
    try:
        tokenizer.save_pretrained(str(folder))
    except Exception as error:  # the library's compiled part raises bare exceptions when the disk is full
        raise SaveError(f"cannot write the tokenizer to {folder}: {error}") from error


def _split_file(folder: Path, split: Split) -> Path:
    return folder / f"{split.value}.jsonl"


def _lines(examples: Iterable[Example]) -> str:
    return "".join(
        json.dumps({"texts": example.texts, "label": example.label}, ensure_ascii=False) + "\n" for example in examples
    )


def _examples(path: Path, kind: HeadKind) -> tuple[Example, ...]:
    # Not splitlines: a text may hold other line separators.
    lines = path.read_text(encoding="utf-8").split("\n")
    values = (json.loads(line) for line in lines if line)
    return tuple(Example(tuple(value["texts"]), _label(value["label"], kind)) for value in values)


def _label(value: Any, kind: HeadKind) -> Label:
    if not isinstance(value, list):
        return float(value) if kind is HeadKind.REGRESSION and value is not None else value
    return tuple(Answer(*each) for each in value) if kind is HeadKind.QUESTION_ANSWERING else tuple(value)


def _description(folder: Path) -> Mapping[str, Any]:
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{folder} holds no prepared data: there is no {DESCRIPTION}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    version = description.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DataError(f"{path} is of version {version}, this program reads {SCHEMA_VERSION}; prepare the study again")
    if description["content_hash"] != _content_hash(folder):
        raise DataError(f"{folder} was changed after it was prepared; prepare the study again")
    return dict(description)


def _content_hash(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != DESCRIPTION):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()} {digest}\n".encode())
    return total.hexdigest()


def _task(values: Mapping[str, Any]) -> Task:
    transfer = values["transfer"]
    return Task(
        **{
            **values,
            "dataset": Dataset(**values["dataset"]),
            "text": tuple(values["text"]),
            "transfer": None if transfer is None else Dataset(**transfer),
        }
    )
