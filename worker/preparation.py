"""Data, tokenizer and teacher that were prepared once, kept in a home by what they depend on."""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path

import torch
from pydantic import ValidationError

from distillation.observer import Observer
from distillation.prepare import DATA, TEACHER, prepare
from distillation.provenance import Preparation, ProvenanceError, read_preparation, write_preparation
from protocol.artefact import manifest_bytes, manifest_of
from protocol.jobs import Prepared, PrepareWork
from worker.training import score_of

log = logging.getLogger(__name__)

OUTCOME = "prepared.json"


def make_prepared(
    work: PrepareWork, folder: Path, checkpoints: Path | None, observer: Observer, *, device: str = "cpu"
) -> Prepared:
    """Prepares into the folder, and says there how. Raises: as `prepare`."""
    found = prepare(
        work.task,
        work.teacher,
        work.recipe,
        folder,
        seed=work.seed,
        checkpoints=checkpoints,
        observer=observer,
        device=device,
    )
    made = Preparation(teacher=work.teacher, seed=work.seed, threads=torch.get_num_threads(), device=device)
    write_preparation(made, folder / TEACHER)
    outcome = Prepared(
        data=_id_of(folder / DATA),
        teacher=_id_of(folder / TEACHER),
        architecture=found.architecture,
        head=found.head,
        classes=found.classes,
        splits={str(split): size for split, size in found.splits.items()},
        teacher_selection=score_of(found.teacher.selection),
        teacher_report=score_of(found.teacher.report),
        baselines={name: score_of(scores.report) for name, scores in found.baselines.items()},
        notes=found.notes,
        seconds=found.seconds,
    )
    (folder / OUTCOME).write_text(outcome.model_dump_json(indent=2), encoding="utf-8")
    return outcome


def read_prepared(kept: Path) -> Prepared | None:
    """What is kept, if it is whole."""
    try:
        outcome = Prepared.model_validate_json((kept / OUTCOME).read_text(encoding="utf-8"))
        read_preparation(kept / TEACHER)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError, ProvenanceError) as error:
        log.warning("%s is of no use and is prepared anew: %s", kept, error)
        return None
    if (_id_of(kept / DATA), _id_of(kept / TEACHER)) == (outcome.data, outcome.teacher):
        return outcome
    log.warning("%s was changed and is prepared anew", kept)
    return None


def keep_prepared(folder: Path, outcome: Prepared, kept: Path) -> Prepared:
    """Move what was prepared to where it is kept, all or nothing; returns the outcome that is kept.

    That is another process's if it was faster: it may be using those very files.
    """
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(kept)
    except OSError:  # something is there
        found = read_prepared(kept)
        if found is not None:
            return found
        shutil.rmtree(kept, ignore_errors=True)
        folder.rename(kept)
    return outcome


def _id_of(folder: Path) -> str:
    """The artefact that the folder will be."""
    return hashlib.sha256(manifest_bytes(manifest_of(folder))).hexdigest()
