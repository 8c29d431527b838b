"""Where a checkpoint comes from: all that it takes to distil it again, and to tell whether that came out the same.

`provenance.json` lies beside the weights. Equal distillations on equal machines give equal bytes: neither times nor
places of files that do not matter are in it.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from distillation.assistants.tradeoff import Assistance
from distillation.checkpoint import weights_hash
from distillation.data import TOKENIZER, PreparedData
from distillation.described import UnreadableError, described
from distillation.distil import Distilled
from distillation.errors import DistillationError
from distillation.files import write_json
from distillation.recipe import Recipe
from distillation.values import CurvePoint, Estimate, Fidelity, Task, Teacher
from encoders.build import architecture_of
from search_space import Architecture

SCHEMA_VERSION = 1
FILE = "provenance.json"
WEIGHTS = "model.safetensors"
"""The exported weights."""

PREPARATION = "preparation.json"
"""How a teacher was made, beside its weights: what a job on another machine cannot know."""

PACKAGES = ("stillhouse", "torch", "transformers", "tokenizers", "datasets", "numpy", "accelerate")
"""Those that the numbers may depend on."""


class ProvenanceError(DistillationError, ValueError):
    """A provenance that cannot be read; the message names the file and the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How data and teacher were made: with the recipe's `max_length`, and this."""

    teacher: Teacher
    seed: int
    threads: int
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashes:
    """SHA-256 of what went in and of what came out. Weights are hashed name by name, whatever file they lie in.

    Args:
        data: of the prepared texts, splits and tokenizer.
        tokenizer: of the tokenizer's files alone.
        initial: of the student before its first step.
        previous: of the student that it started from, where it did.
        export: of the exported file of weights; None until there is one.
    """

    data: str
    tokenizer: str
    teacher: str
    initial: str
    final: str
    previous: str | None = None
    export: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where it was trained. `versions` are of Python and packages, `machine` says on what hardware."""

    versions: dict[str, str]
    machine: dict[str, str]
    device: str
    threads: int
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """One distillation. `previous` is the folder of the student that it started from; `report` was evaluated once.

    `is_cached` says whether the teacher's outputs came from a cache, computed in other batches; `assistance` who taught
    beside the teacher, and among whom they were chosen.
    """

    schema_version: int = SCHEMA_VERSION
    name: str
    task: Task
    preparation: Preparation
    architecture: Architecture
    teacher_architecture: Architecture
    recipe: Recipe
    previous: str | None
    fidelity: Fidelity
    steps: int
    seed: int
    is_cached: bool
    hashes: Hashes
    surroundings: Surroundings
    selection: Estimate
    report: Estimate
    curve: tuple[CurvePoint, ...]
    assistance: Assistance | None = None


def provenance_of(
    student: Distilled,
    report: Estimate,
    *,
    name: str,
    data: PreparedData,
    data_folder: Path,
    preparation: Preparation,
    teacher: nn.Module,
    recipe: Recipe,
    fidelity: Fidelity,
    seed: int,
    surroundings: Surroundings,
    previous: tuple[str, nn.Module] | None = None,
) -> Provenance:
    """The provenance of a student that was distilled with these arguments, on `teacher` as it was read.

    Args:
        data_folder: where `data` was read from.
        previous: the folder of the student that it started from, and that student.
    """
    return Provenance(
        name=name,
        task=data.task,
        preparation=preparation,
        architecture=architecture_of(student.model.config),
        teacher_architecture=architecture_of(teacher.config),  # type: ignore[arg-type]
        recipe=recipe,
        previous=None if previous is None else previous[0],
        fidelity=fidelity,
        steps=student.steps,
        seed=seed,
        is_cached=student.is_cached,
        hashes=Hashes(
            data=data.content_hash,
            tokenizer=folder_hash(data_folder / TOKENIZER),
            teacher=weights_hash(teacher),
            initial=student.initial_weights,
            final=weights_hash(student.model),
            previous=None if previous is None else weights_hash(previous[1]),
        ),
        surroundings=surroundings,
        selection=student.selection,
        report=report,
        curve=student.curve,
        assistance=student.assistance,
    )


def surroundings(machine: Mapping[str, str], *, device: str, processes: int = 1) -> Surroundings:
    """Here and now: the installed versions, and the threads that torch computes with."""
    versions = {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}
    return Surroundings(
        versions=versions,
        machine=dict(machine),
        device=device,
        threads=torch.get_num_threads(),
        processes=processes,
    )


def write_provenance(provenance: Provenance, folder: Path) -> None:
    """Beside the weights of an export, whose hash is taken down."""
    exported = folder / WEIGHTS
    digest = file_hash(exported) if exported.is_file() else None
    write_json(folder / FILE, asdict(replace(provenance, hashes=replace(provenance.hashes, export=digest))))


def read_provenance(folder: Path) -> Provenance:
    """Raises: ProvenanceError: there is none, or not one that this version reads."""
    path = folder / FILE
    values = _values(path)
    found = values.get("schema_version")
    if found != SCHEMA_VERSION:
        raise ProvenanceError(f"{path}: schema_version: must be {SCHEMA_VERSION}, got {found!r:.60}")
    return _read(path, Provenance, values)  # type: ignore[no-any-return]


def write_preparation(preparation: Preparation, folder: Path) -> None:
    """Beside the teacher's weights."""
    write_json(folder / PREPARATION, asdict(preparation))


def read_preparation(folder: Path) -> Preparation:
    """Raises: ProvenanceError: there is none, or not one that this version reads."""
    path = folder / PREPARATION
    return _read(path, Preparation, _values(path))  # type: ignore[no-any-return]


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_hash(folder: Path) -> str:
    """Of the names and contents of all files below."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()} {file_hash(path)}\n".encode())
    return total.hexdigest()


def _values(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProvenanceError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(values, dict):
        raise ProvenanceError(f"{path}: must hold a mapping")
    return values


def _read(path: Path, kind: type, values: dict[str, Any]) -> Any:
    try:
        return described(kind, values)
    except UnreadableError as error:
        raise ProvenanceError(f"{path}: {error}") from error


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
