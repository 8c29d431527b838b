"""`finalize`: a finalist distilled in full, reported on, exported, and measured as exported if that is done here."""

from __future__ import annotations

import logging
from pathlib import Path

from distillation.data import TOKENIZER, read_report
from distillation.distil import Distilled, report
from distillation.provenance import (
    Provenance,
    ProvenanceError,
    provenance_of,
    read_preparation,
    surroundings,
    write_provenance,
)
from distillation.values import Estimate, Fidelity
from encoders.build import architecture_of, head_of, labels_of
from encoders.export import export
from hardware.environment import machine
from hardware.procedure import measure
from hardware.values import Measurement
from protocol.jobs import Finalized, FinalizeWork, Grant
from worker.card import model_card
from worker.errors import Interrupted
from worker.finished import Finished, load_finished, save_finished, training_of
from worker.runner import Reporter, work_of
from worker.training import prepared_data, resumed_checkpoint, teacher_model, train_student
from worker.turns import computing_in_turns
from worker.workplace import Workplace

log = logging.getLogger(__name__)


class FinalizeRunner:
    """Resumes in the middle of the training, or after it."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, grant: Grant, reporter: Reporter) -> Finalized:
        work = work_of(grant, FinalizeWork)
        with self._workplace.folder(grant) as folder:
            checkpoint = resumed_checkpoint(self._workplace, work, folder)
            finished = self._resumed(work, checkpoint) or self._trained(work, reporter, folder, checkpoint)
            if reporter.should_stop():
                raise Interrupted("stopped after the training")
            reporter.progress("exporting")
            exported = self._exported(work, finished, folder)
            measurement = self._measured(work, finished, exported, reporter)
            training = finished.training
            (exported / "README.md").write_text(self._card(work, finished, measurement), encoding="utf-8")
            reporter.progress("uploading")
            return Finalized(
                selection=training.selection,
                report=training.report,
                curve=training.curve,
                steps=training.steps,
                seconds=training.seconds,
                measurement=measurement,
                export=self._workplace.artefacts.upload_folder(exported),
            )

    def _measured(
        self, work: FinalizeWork, finished: Finished, exported: Path, reporter: Reporter
    ) -> Measurement | None:
        """None where another machine measures it."""
        if work.profile is None:
            return None
        reporter.progress("measuring")
        return measure(
            work.architecture,
            head_of(finished.model.config),
            work.profile,
            work.effort,
            quantiles=work.quantiles,
            checkpoint=exported,
            seed=work.seed,
        )

    def _resumed(self, work: FinalizeWork, checkpoint: Path | None) -> Finished | None:
        """The training that an earlier attempt has ended."""
        if checkpoint is None:
            return None
        config = teacher_model(self._workplace.artefacts.shared_folder(work.teacher)).config
        try:
            return load_finished(checkpoint, work.architecture, head_of(config), labels_of(config))
        except ValueError as error:  # weights that do not fit, or a description that does not parse
            log.warning("the training that had ended is of no use: %s", error)
            return None

    def _trained(self, work: FinalizeWork, reporter: Reporter, folder: Path, checkpoint: Path | None) -> Finished:
        student = train_student(self._workplace, work, reporter, folder=folder, checkpoint=checkpoint)
        reporter.progress("evaluating on the report split")
        held_out = read_report(self._workplace.artefacts.shared_folder(work.data))
        with computing_in_turns():
            score = report(student.model, held_out, work.recipe)
        finished = Finished(
            model=student.model,
            training=training_of(student, score),
            provenance=self._provenance(work, student, score),
        )
        save_finished(finished, folder / "finished")
        reporter.checkpoint(folder / "finished")
        return finished

    def _provenance(self, work: FinalizeWork, student: Distilled, score: Estimate) -> Provenance | None:
        artefacts = self._workplace.artefacts
        teacher_folder, data_folder = artefacts.shared_folder(work.teacher), artefacts.shared_folder(work.data)
        try:
            preparation = read_preparation(teacher_folder)
        except ProvenanceError as error:  # made by an older worker
            log.warning("the export will not say where it comes from: %s", error)
            return None
        return provenance_of(
            student,
            score,
            name=work.name,
            data=prepared_data(data_folder),
            data_folder=data_folder,
            preparation=preparation,
            teacher=teacher_model(teacher_folder),
            recipe=work.recipe,
            fidelity=Fidelity.FULL,
            seed=work.seed,
            surroundings=surroundings(machine(), device="cpu"),
        )

    def _exported(self, work: FinalizeWork, finished: Finished, folder: Path) -> Path:
        """The export, still without its card: that tells the latency of what is exported."""
        data = self._workplace.artefacts.shared_folder(work.data)
        target = folder / "export"
        with computing_in_turns():
            # As it was prepared: the tokenizer in use remembers where it last cut its texts.
            export(finished.model, data / TOKENIZER, target)
        if finished.provenance is not None:
            write_provenance(finished.provenance, target)
        return target

    def _card(self, work: FinalizeWork, finished: Finished, measurement: Measurement | None) -> str:
        artefacts = self._workplace.artefacts
        data = prepared_data(artefacts.shared_folder(work.data))
        teacher = teacher_model(artefacts.shared_folder(work.teacher))
        return model_card(
            finished.training,
            measurement,
            name=work.name,
            architecture=work.architecture,
            recipe=work.recipe,
            task=data.task,
            classes=data.classes,
            teacher=architecture_of(teacher.config),
            teacher_source=None if finished.provenance is None else finished.provenance.preparation.teacher.model,
            kind=head_of(teacher.config).kind,
            assistance=None if finished.provenance is None else finished.provenance.assistance,
            quantiles=work.quantiles,
        )
