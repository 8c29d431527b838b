"""`distill`: one student of a trial, and how good it is on the selection split."""

from __future__ import annotations

from encoders.weights import save_weights
from protocol.jobs import Distilled, DistillWork, Grant
from worker.runner import Reporter, work_of
from worker.training import curve_of, resumed_checkpoint, score_of, train_student
from worker.workplace import Workplace


class DistillRunner:
    """Resumes from the grant's checkpoint."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, grant: Grant, reporter: Reporter) -> Distilled:
        work = work_of(grant, DistillWork)
        with self._workplace.folder(grant) as folder:
            checkpoint = resumed_checkpoint(self._workplace, work, folder)
            student = train_student(self._workplace, work, reporter, folder=folder, checkpoint=checkpoint)
            reporter.progress("uploading")
            weights = folder / "model.safetensors"
            save_weights(student.model, weights)
            return Distilled(
                selection=score_of(student.selection),
                curve=curve_of(student.curve),
                steps=student.steps,
                seconds=student.seconds,
                weights=self._workplace.artefacts.upload_file(weights),
            )
