"""`prepare`: a study's data, tokenizer and teacher, as artefacts."""

from __future__ import annotations

from pathlib import Path

import torch

from distillation.errors import Interrupted as TrainingInterrupted
from distillation.prepare import DATA, TEACHER, fingerprint
from protocol.jobs import Grant, Prepared, PrepareWork
from worker.errors import Interrupted
from worker.observation import Observation
from worker.preparation import keep_prepared, make_prepared, read_prepared
from worker.runner import Reporter, work_of
from worker.turns import computing_in_turns
from worker.workplace import Workplace


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
        outcome = read_prepared(kept)
        if outcome is None:
            with self._workplace.checkpoints(name) as checkpoints, self._workplace.folder(grant) as folder:
                outcome = keep_prepared(folder, self._prepare(work, folder, checkpoints, reporter), kept)
        reporter.progress("uploading")
        for name in (DATA, TEACHER):
            self._workplace.artefacts.upload_folder(kept / name)
        return outcome

    def _prepare(self, work: PrepareWork, folder: Path, checkpoints: Path | None, reporter: Reporter) -> Prepared:
        torch.set_num_threads(self._workplace.threads)
        try:
            with computing_in_turns() as turns:
                observer = Observation(reporter, turns, resumable=False)
                return make_prepared(work, folder, checkpoints, observer)
        except TrainingInterrupted as error:
            raise Interrupted(str(error)) from error
