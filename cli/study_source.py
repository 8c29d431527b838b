"""A study's or a distillation's file as the user's machine sees it: local paths are made absolute."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from cli.errors import BadInputError
from cli.paths import expanded
from client import ProblemError
from distillation.values import BUILT_IN, DOCSTRINGS, Dataset
from protocol.distillation import DistillationSpec
from protocol.errors import StudyFileError
from protocol.study import StudySpec
from protocol.study_file import line_of, load_distillation, load_study

Spec = TypeVar("Spec", StudySpec, DistillationSpec)

_KEY = re.compile(r"(?:^|: )([a-z_]+)((?:\.[\w-]+)*)(?=: )")
"""A key of a study in what somebody says about it: `the prepare job failed: invalid: task.dataset: ...`."""

_ROOTS = {*StudySpec.model_fields, *DistillationSpec.model_fields}

_FILE_ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".txt", ".conll", ".parquet")
_PATH_BEGINNINGS = ("/", "./", "../", "~")


def read_study(path: Path) -> StudySpec:
    """The study that this file describes, with local data sets and teachers as absolute paths.

    Raises:
        BadInputError: the file cannot be used, or names a local path that does not exist.
    """
    spec = _loaded(load_study, path)
    return spec.model_copy(update=_local(spec, path))


def read_distillation(path: Path) -> DistillationSpec:
    """The distillation that this file describes; as `read_study`."""
    spec = _loaded(load_distillation, path)
    update = _local(spec, path)
    if spec.previous is not None:
        update["previous"] = previous = _located(spec.previous, "previous", path)
        if not Path(previous).is_dir():
            raise BadInputError(placed(path, f"previous: there is no folder {spec.previous!r}"))
    return spec.model_copy(update=update)


def _loaded(load: Callable[[Path], Spec], path: Path) -> Spec:
    try:
        return load(path)
    except StudyFileError as error:
        raise BadInputError(str(error)) from error


def _local(spec: StudySpec | DistillationSpec, path: Path) -> dict[str, object]:
    task, teacher = spec.task, spec.teacher
    model = teacher.model if teacher.model == BUILT_IN else _located(teacher.model, "teacher", path)
    transfer = None if task.transfer is None else _dataset(task.transfer, "task.transfer", path)
    task = replace(task, dataset=_dataset(task.dataset, "task.dataset", path), transfer=transfer)
    return {"task": task, "teacher": replace(teacher, model=model)}


def _dataset(data: Dataset, key: str, study_file: Path) -> Dataset:
    source = data.source if data.source == DOCSTRINGS else _located(data.source, key, study_file)
    report = None if data.report is None else _located(data.report, f"{key}.report", study_file)
    return replace(data, source=source, report=report)


def placed(study_file: Path, message: str) -> str:
    """What the service says about a key of the study, led by file and line if it is on one there."""
    keys = [root + rest for root, rest in _KEY.findall(message) if root in _ROOTS]
    try:
        text = study_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return message
    line = line_of(text, keys[0]) if keys else None
    return message if line is None else f"{study_file}:{line}: {message}"


def refused(study_file: Path, error: ProblemError) -> BadInputError:
    """The service's refusal of the study, key by key."""
    lines = error.problem.errors or [error.problem.detail]
    return BadInputError("\n".join(placed(study_file, line) for line in lines))


def _located(value: str, key: str, study_file: Path) -> str:
    """The absolute path where there is such a file or folder, else the value, which then is a name on the hub."""
    try:
        path = expanded(value)
    except BadInputError as error:
        raise BadInputError(placed(study_file, f"{key}: {error}")) from error
    folders = list(dict.fromkeys([study_file.resolve().parent, Path.cwd()]))
    for folder in folders:
        candidate = folder / path
        if candidate.exists():
            return str(candidate.resolve())
    if value.startswith(_PATH_BEGINNINGS) or value.lower().endswith(_FILE_ENDINGS):
        where = "" if path.is_absolute() else f" in {' or '.join(map(str, folders))}"
        message = f"{key}: there is no file or folder {value!r}{where}"
        raise BadInputError(placed(study_file, message))
    return value
