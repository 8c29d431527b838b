"""A finalist whose training has ended, on disk: what a resumed job need not do again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from distillation.distil import Distilled
from distillation.provenance import FILE, Provenance, read_provenance, write_provenance
from distillation.values import Estimate
from encoders.build import build
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import Head
from encoders.weights import load_weights, save_weights
from protocol.jobs import CurvePoint, Message, Score
from search_space import Architecture
from worker.training import curve_of, score_of

WEIGHTS = "student.safetensors"
DESCRIPTION = "finished.json"


class Training(Message):
    """What is known of a training that ended. `report` is there because that split is evaluated once."""

    selection: Score
    report: Score
    curve: tuple[CurvePoint, ...]
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """`provenance` is None where nobody knows how the teacher was made."""

    model: StillhouseTaskModel
    training: Training
    provenance: Provenance | None = None


def training_of(student: Distilled, report: Estimate) -> Training:
    return Training(
        selection=score_of(student.selection),
        report=score_of(report),
        curve=curve_of(student.curve),
        steps=student.steps,
        seconds=student.seconds,
    )


def save_finished(finished: Finished, folder: Path) -> None:
    """The description comes last: where it is, the weights are."""
    folder.mkdir(parents=True)
    save_weights(finished.model, folder / WEIGHTS)
    if finished.provenance is not None:
        write_provenance(finished.provenance, folder)
    (folder / DESCRIPTION).write_text(finished.training.model_dump_json(indent=2), encoding="utf-8")


def load_finished(folder: Path, architecture: Architecture, head: Head, labels: tuple[str, ...]) -> Finished | None:
    """What `save_finished` wrote; None where the folder is the checkpoint of a training that has not ended.

    Raises:
        CheckpointError: the weights are not of this architecture and head.
        ProvenanceError: there is one that cannot be read.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    training = Training.model_validate(json.loads(path.read_text(encoding="utf-8")))
    model = build(architecture, head, labels)
    load_weights(model, folder / WEIGHTS)
    provenance = read_provenance(folder) if (folder / FILE).is_file() else None
    return Finished(model=model, training=training, provenance=provenance)
