"""`prepare`: a study's data, tokenizer and teacher, as artefacts."""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path

import torch
from pydantic import ValidationError

from distillation.errors import Interrupted as TrainingInterrupted
from distillation.prepare import DATA, TEACHER, fingerprint, prepare
from protocol.artefact import manifest_bytes, manifest_of
from protocol.jobs import Grant, Prepared, PrepareWork
from worker.errors import Interrupted
from worker.observation import Observation
from worker.runner import Reporter, work_of
from worker.training import score_of
from worker.turns import computing_in_turns
from worker.workplace import Workplace

log = logging.getLogger(__name__)

OUTCOME = "prepared.json"


class PrepareRunner:
    """What was prepared once is kept: another study of the same task, teacher and seed takes it from the cache.

    Resumes in the middle of the teacher's training, in the same home: its checkpoints stay there.
    """

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, grant: Grant, reporter: Reporter) -> Prepared:
        work = work_of(grant, PrepareWork)
        name = fingerprint(work.task, work.teacher, work.recipe, work.seed)
        kept = self._workplace.prepared(name)
        outcome = _read(kept)
        if outcome is None:
            with self._workplace.checkpoints(name) as checkpoints, self._workplace.folder(grant) as folder:
                outcome = _keep(folder, self._prepare(work, folder, checkpoints, reporter), kept)
        reporter.progress("uploading")
        for name in (DATA, TEACHER):
            self._workplace.artefacts.upload_folder(kept / name)
        return outcome

    def _prepare(self, work: PrepareWork, folder: Path, checkpoints: Path | None, reporter: Reporter) -> Prepared:
        torch.set_num_threads(self._workplace.threads)
        try:
            with computing_in_turns() as turns:
                found = prepare(
                    work.task,
                    work.teacher,
                    work.recipe,
                    folder,
                    seed=work.seed,
                    checkpoints=checkpoints,
                    observer=Observation(reporter, turns, resumable=False),
                )
        except TrainingInterrupted as error:
            raise Interrupted(str(error)) from error
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


def _read(kept: Path) -> Prepared | None:
    """What is kept, if it is whole."""
    try:
        outcome = Prepared.model_validate_json((kept / OUTCOME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("%s is of no use and is prepared anew: %s", kept, error)
        return None
    if (_id_of(kept / DATA), _id_of(kept / TEACHER)) == (outcome.data, outcome.teacher):
        return outcome
    log.warning("%s was changed and is prepared anew", kept)
    return None


def _keep(folder: Path, outcome: Prepared, kept: Path) -> Prepared:
    """Move what was prepared to where it is kept, all or nothing; returns the outcome that is kept.

    That is another worker's if it was faster: it may be uploading those very files.
    """
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(kept)
    except OSError:  # something is there
        found = _read(kept)
        if found is not None:
            return found
        shutil.rmtree(kept, ignore_errors=True)
        folder.rename(kept)
    return outcome


def _id_of(folder: Path) -> str:
    """The artefact that the folder will be."""
    return hashlib.sha256(manifest_bytes(manifest_of(folder))).hexdigest()
