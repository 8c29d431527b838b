"""What a prepared study depends on, as one hash: equal hashes, equal result."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from distillation.docstrings import versions
from distillation.recipe import Recipe
from distillation.sources import local_files
from distillation.values import BUILT_IN, DOCSTRINGS, Task, Teacher

VERSION = 3
"""Raised whenever the same inputs are prepared differently."""


def fingerprint(task: Task, teacher: Teacher, recipe: Recipe, seed: int) -> str:
    """Names the result of `prepare` with these arguments, here and now.

    Local files count by their content, hub names as they are written, and `docstrings` by the installed versions.

    Raises:
        DataError: the dataset is a folder without a train file.
    """
    files = [*local_files(task), *_teacher_files(teacher)]
    parts = {
        "version": VERSION,
        "task": asdict(task),
        "teacher": asdict(teacher),
        "max_length": recipe.max_length,
        "seed": seed,
        "files": [_hash(path) for path in files],
        "packages": versions() if DOCSTRINGS in _sources(task) else {},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _sources(task: Task) -> tuple[str, ...]:
    return (task.dataset.source, *(() if task.transfer is None else (task.transfer.source,)))


def _teacher_files(teacher: Teacher) -> list[Path]:
    folder = Path(teacher.model).expanduser()
    if teacher.model == BUILT_IN or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file())


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        # Reading the dataset says what is wrong with the file, and under which key.
        return "unreadable"
