"""Each kind of job, done for real on something small."""

import dataclasses
import json
import re
import shutil
import signal

import pytest

from cli.interrupts import SIGNALS
from cli.main import main
from client import ClientError
from distillation.data import read_data
from distillation.errors import DataError
from distillation.prepare import fingerprint
from distillation.provenance import PREPARATION, Preparation, file_hash, read_provenance
from distillation.recipe import Recipe
from distillation.schedule import Schedule
from distillation.teacher import built_in_recipe
from distillation.values import Dataset, Fidelity, Task, Teacher
from hardware.calibration import CalibrationError
from hardware.errors import MeasurementError, OutOfMemoryError
from hardware.procedure import measure
from hardware.values import DeviceProfile, Effort, Verdict
from protocol.artefact import manifest_of
from protocol.jobs import CalibrateWork, DistillWork, FinalizeWork, MeasureWork, PrepareWork, Reference
from worker.errors import Interrupted, WorkerError
from worker.failures import failure_of
from worker.in_use import device_in_use
from worker.room import lack_of_room
from worker.runners.calibrate import CalibrateRunner
from worker.runners.distill import DistillRunner
from worker.runners.finalize import FinalizeRunner
from worker.runners.measure import MeasureRunner
from worker.runners.prepare import PrepareRunner

RECIPE = Recipe(steps=40, batch_size=16, max_length=16, learning_rate=1e-3)
PROFILE = DeviceProfile(batch=1, length=16, threads=1)


@pytest.fixture
def distill_work(inputs, student):
    def make(steps=40, checkpoint=None):
        return DistillWork(
            architecture=student,
            fidelity=Fidelity.FLASH,
            recipe=RECIPE,
            steps=steps,
            seed=3,
            checkpoint=checkpoint,
            **inputs,
        )

    return make


@pytest.fixture
def finalize_work(inputs, student):
    def make(checkpoint=None):
        return FinalizeWork(
            name="demo-trial-0",
            architecture=student,
            recipe=RECIPE,
            steps=40,
            profile=PROFILE,
            effort=Effort.QUICK,
            seed=3,
            checkpoint=checkpoint,
            **inputs,
        )

    return make


def stored(workplace, content, folder):
    """Upload a checkpoint that a reporter has kept."""
    folder.mkdir()
    for name, data in content.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return workplace.artefacts.upload_folder(folder)


def test_a_distillation_is_scored_on_the_selection_split_and_uploads_its_weights(
    workplace, distill_work, recorder, grant, tmp_path
):
    reporter = recorder()
    outcome = DistillRunner(workplace).run(grant(distill_work()), reporter)
    assert outcome.selection.low <= outcome.selection.value <= outcome.selection.high
    assert outcome.steps == 40
    assert outcome.curve[-1].step == 40
    workplace.artefacts.download_file(outcome.weights, tmp_path / "weights")
    assert (tmp_path / "weights").stat().st_size > 1000
    assert "distilling" in reporter.stages
    assert not [path for path in workplace.work.iterdir() if path.is_dir()]


def test_an_interrupted_distillation_resumes_elsewhere_to_the_same_student(
    workplace, distill_work, recorder, grant, tmp_path
):
    whole = DistillRunner(workplace).run(grant(distill_work()), recorder())
    first = recorder(stop_at=15)
    with pytest.raises(Interrupted, match="15 of 40"):
        DistillRunner(workplace).run(grant(distill_work()), first)
    assert len(first.checkpoints) == 1
    checkpoint = stored(workplace, first.checkpoints[0], tmp_path / "checkpoint")
    resumed = DistillRunner(workplace).run(grant(distill_work(checkpoint=checkpoint), attempt=2), recorder())
    assert resumed.weights == whole.weights
    assert resumed.curve == whole.curve


def test_the_learning_curve_is_told_as_it_comes(workplace, distill_work, recorder, grant):
    reporter = recorder()
    outcome = DistillRunner(workplace).run(grant(distill_work()), reporter)
    assert reporter.curve == [(point.step, point.value) for point in outcome.curve]
    stopped = recorder(stop_at=20)
    with pytest.raises(Interrupted):
        DistillRunner(workplace).run(grant(distill_work()), stopped)
    assert stopped.curve == reporter.curve[:2]


def test_a_checkpoint_of_another_training_is_not_resumed_but_costs_no_job(
    workplace, distill_work, recorder, grant, tmp_path
):
    other = recorder(stop_at=5)
    with pytest.raises(Interrupted):
        DistillRunner(workplace).run(grant(distill_work(steps=30)), other)
    checkpoint = stored(workplace, other.checkpoints[0], tmp_path / "checkpoint")
    outcome = DistillRunner(workplace).run(grant(distill_work(checkpoint=checkpoint)), recorder())
    assert outcome.steps == 40


def test_a_finalist_is_reported_measured_and_exported(workplace, finalize_work, recorder, grant, tmp_path, monkeypatch):
    measured = []

    def watched(*arguments, checkpoint, **options):
        measured.append({path.name: path.read_bytes() for path in checkpoint.iterdir()})
        return measure(*arguments, checkpoint=checkpoint, **options)

    monkeypatch.setattr("worker.runners.finalize.measure", watched)
    reporter = recorder()
    outcome = FinalizeRunner(workplace).run(grant(finalize_work()), reporter)
    assert outcome.report.low <= outcome.report.value <= outcome.report.high
    assert outcome.measurement.verdict is Verdict.PROVISIONAL
    assert outcome.measurement.p50.value_s > 0
    export = tmp_path / "export"
    workplace.artefacts.download_folder(outcome.export, export)
    card = (export / "README.md").read_text()
    assert f"{outcome.report.value:.3f}" in card
    assert "provisional" in card
    assert PROFILE.label in card
    assert '"steps": 40' in card
    assert json.loads((export / "config.json").read_text())["model_type"] == "stillhouse"
    # What was measured is what the user takes away; only the card, which tells the latency, came later.
    assert measured == [{path.name: path.read_bytes() for path in export.iterdir() if path.name != "README.md"}]

    provenance = read_provenance(export)
    assert (provenance.name, provenance.fidelity, provenance.steps, provenance.seed) == ("demo-trial-0", "full", 40, 3)
    assert provenance.preparation == Preparation(teacher=Teacher(model="built-in"), seed=5, threads=1, device="cpu")
    assert (provenance.report.value, provenance.report.low) == (outcome.report.value, outcome.report.low)
    assert provenance.hashes.export == file_hash(export / "model.safetensors")
    assert provenance.hashes.initial != provenance.hashes.final

    # A second attempt that has the checkpoint of the ended training neither trains nor looks at the report split again.
    ended = reporter.checkpoints[-1]
    assert json.loads(ended["finished.json"])["steps"] == 40
    monkeypatch.setattr("worker.runners.finalize.train_student", None)
    monkeypatch.setattr("worker.runners.finalize.report", None)
    checkpoint = stored(workplace, ended, tmp_path / "ended")
    second = FinalizeRunner(workplace).run(grant(finalize_work(checkpoint), attempt=2), recorder())
    assert (second.report, second.selection, second.curve) == (outcome.report, outcome.selection, outcome.curve)
    workplace.artefacts.download_folder(second.export, tmp_path / "second")
    assert manifest_of(tmp_path / "second")["model.safetensors"] == manifest_of(export)["model.safetensors"]
    assert read_provenance(tmp_path / "second") == provenance


def test_a_finalist_with_an_assistant_goes_on_at_the_stage_and_step_where_its_worker_was_lost(
    workplace, finalize_work, materials, recorder, grant, tmp_path
):
    schedule = Schedule(kind="minidisc", sparsities=(0.25, 0.5), lambda_=0.0)
    work = finalize_work().model_copy(update={"recipe": dataclasses.replace(RECIPE, schedule=schedule), "steps": 8})
    whole = FinalizeRunner(workplace).run(grant(work), recorder())

    class Stopping(recorder):
        """Asks to stop after so many steps of this attempt, in whatever stage."""

        def __init__(self, after):
            super().__init__()
            self.steps, self._after = [], after

        def progress(self, stage, done=0, total=0):
            super().progress(stage, done, total)
            if total:
                self.steps.append((stage, done))

        def should_stop(self):
            return len(self.steps) >= self._after

    checkpoint = None
    for attempt, (after, goes_on_at) in enumerate(((3, 1), (6, 4), (3, 2))):
        lost = Stopping(after)
        with pytest.raises(Interrupted):
            FinalizeRunner(workplace).run(grant(work.model_copy(update={"checkpoint": checkpoint})), lost)
        assert lost.steps[0][1] == goes_on_at
        checkpoint = stored(workplace, lost.checkpoints[-1], tmp_path / str(attempt))
    last = Stopping(after=100)
    outcome = FinalizeRunner(workplace).run(grant(work.model_copy(update={"checkpoint": checkpoint}), attempt=4), last)
    assert last.steps == [("distilling", step) for step in range(5, 9)]
    assert (outcome.selection, outcome.report, outcome.curve) == (whole.selection, whole.report, whole.curve)
    for name, export in (("whole", whole.export), ("pieces", outcome.export)):
        workplace.artefacts.download_folder(export, tmp_path / name)
    provenances = [read_provenance(tmp_path / name) for name in ("whole", "pieces")]
    assert provenances[0] == provenances[1]
    (found,) = provenances[0].assistance.rounds
    assert [point.sparsity for point in found.points] == [0.25, 0.5]
    assert "| assistant | 2x16" in (tmp_path / "pieces" / "README.md").read_text()


def test_a_finalist_nearly_as_large_as_the_teacher_needs_no_assistant(
    workplace, finalize_work, recorder, grant, tmp_path
):
    work = finalize_work()
    large = dataclasses.replace(work.architecture, layers=2, hidden_size=16, heads=2, ffn_size=32)
    scheduled = dataclasses.replace(RECIPE, schedule=Schedule(kind="maxidisc", sparsities=(0.5,)))
    work = work.model_copy(update={"architecture": large, "recipe": scheduled, "steps": 2})
    outcome = FinalizeRunner(workplace).run(grant(work), recorder())
    workplace.artefacts.download_folder(outcome.export, tmp_path / "export")
    assert read_provenance(tmp_path / "export").assistance is None


def test_a_finalist_whose_layers_lost_all_heads_or_neurons_is_exported_and_measured(
    workplace, finalize_work, recorder, grant
):
    sizes = {"layers": 2, "hidden_size": 16, "heads": (0, 2), "ffn_size": (8, 0)}
    scheduled = dataclasses.replace(RECIPE, schedule=Schedule(kind="minidisc", sparsities=(0.1, 0.2, 0.3)))
    work = finalize_work()
    bare = dataclasses.replace(work.architecture, **sizes)
    work = work.model_copy(update={"architecture": bare, "recipe": scheduled, "steps": 2})
    outcome = FinalizeRunner(workplace).run(grant(work), recorder())
    assert outcome.measurement.p50.value_s > 0


def test_trials_are_taught_by_the_teacher_alone_whatever_the_schedule(workplace, distill_work, recorder, grant):
    scheduled = dataclasses.replace(RECIPE, schedule=Schedule(kind="minidisc"))
    work = distill_work(steps=4).model_copy(update={"recipe": scheduled})
    reporter = recorder()
    DistillRunner(workplace).run(grant(work), reporter)
    assert "distilling" in reporter.stages
    assert not any("assistant" in stage for stage in reporter.stages)


def test_a_finalist_of_a_teacher_that_nobody_describes_is_exported_without_provenance(
    workplace, materials, finalize_work, recorder, grant, tmp_path
):
    shutil.copytree(materials / "teacher", tmp_path / "teacher")
    (tmp_path / "teacher" / PREPARATION).unlink()
    teacher = workplace.artefacts.upload_folder(tmp_path / "teacher")
    work = finalize_work().model_copy(update={"teacher": teacher})
    outcome = FinalizeRunner(workplace).run(grant(work), recorder())
    workplace.artefacts.download_folder(outcome.export, tmp_path / "export")
    assert (tmp_path / "export" / "README.md").is_file()
    assert not (tmp_path / "export" / "provenance.json").exists()


def test_a_finalist_that_is_measured_elsewhere_is_exported_and_then_measured_from_its_artefact(
    workplace, finalize_work, recorder, grant, head, tmp_path, monkeypatch
):
    monkeypatch.setattr("worker.runners.finalize.measure", None)
    work = finalize_work().model_copy(update={"profile": None})
    reporter = recorder()
    outcome = FinalizeRunner(workplace).run(grant(work), reporter)
    assert outcome.measurement is None
    assert "measuring" not in reporter.stages
    workplace.artefacts.download_folder(outcome.export, tmp_path / "export")
    assert "latency" not in (tmp_path / "export" / "README.md").read_text()

    measured = []

    def watched(*arguments, checkpoint, **options):
        measured.append(manifest_of(checkpoint))
        return measure(*arguments, checkpoint=checkpoint, **options)

    monkeypatch.setattr("worker.runners.measure.measure", watched)
    measuring = MeasureWork(
        architecture=work.architecture,
        head=head,
        profile=PROFILE,
        effort=Effort.QUICK,
        checkpoint=outcome.export,
        seed=work.seed,
    )
    assert MeasureRunner(workplace).run(grant(measuring), recorder()).measurement.p50.value_s > 0
    assert measured == [manifest_of(tmp_path / "export")]


def test_architectures_are_measured_by_name(workplace, recorder, grant, student, head):
    reference = Reference(architecture=student, effort=Effort.QUICK)
    work = CalibrateWork(references={"smallest": reference, "teacher": reference}, head=head, profile=PROFILE, seed=0)
    reporter = recorder()
    outcome = CalibrateRunner(workplace).run(grant(work), reporter)
    assert list(outcome.measurements) == ["smallest", "teacher"]
    assert reporter.stages == ["measuring the smallest", "measuring the teacher"]
    with pytest.raises(Interrupted):
        CalibrateRunner(workplace).run(grant(work), recorder(stop_at=0))


def test_a_reference_that_does_not_fit_is_missing_and_the_others_are_measured(
    workplace, recorder, grant, student, head
):
    endless = dataclasses.replace(student, vocabulary_size=1 << 45)
    references = {
        name: Reference(architecture=architecture, effort=Effort.QUICK)
        for name, architecture in {"teacher": endless, "smallest": student}.items()
    }
    work = CalibrateWork(references=references, head=head, profile=PROFILE, seed=0)
    outcome = CalibrateRunner(workplace).run(grant(work), recorder())
    assert list(outcome.measurements) == ["smallest"]
    assert "can't allocate memory" in outcome.missing["teacher"]


def test_an_architecture_that_does_not_fit_is_out_of_memory(workplace, recorder, grant, student, head):
    endless = dataclasses.replace(student, vocabulary_size=1 << 45)
    work = MeasureWork(architecture=endless, head=head, profile=PROFILE, effort=Effort.QUICK, seed=0)
    with pytest.raises(OutOfMemoryError) as caught:
        MeasureRunner(workplace).run(grant(work), recorder())
    assert failure_of(caught.value).reason == "out_of_memory"


def test_a_sample_is_measured_where_it_was_left_and_fitted(workplace, recorder, grant, student, head):
    sample = tuple(dataclasses.replace(student, ffn_size=8 * number) for number in range(1, 9))
    work = CalibrateWork(
        references={}, head=head, profile=PROFILE, seed=0, sample=sample, effort=Effort.QUICK, space_key="space"
    )
    with pytest.raises(Interrupted, match="after 3 of 8"):
        CalibrateRunner(workplace).run(grant(work), recorder(stop_at=2))
    reporter = recorder()
    record = CalibrateRunner(workplace).run(grant(work), reporter).calibration
    assert reporter.stages == [f"measuring {one.label}" for one in sample[3:]]
    assert tuple(row.architecture for row in record.rows) == sample
    assert {row.source for row in record.rows} == {"measured"}
    assert (record.profile, record.head, record.effort, record.space_key) == (PROFILE, head, Effort.QUICK, "space")
    assert record.model.covers_architecture(sample[4])
    assert not list(workplace.calibrations.rglob("*.json"))


@pytest.mark.parametrize("words", ["OSError: [Errno 28] No space left on device", "CUDA error: busy or unavailable"])
def test_what_is_no_fault_of_an_architecture_leaves_none_out_of_a_sample(
    workplace, recorder, grant, student, head, monkeypatch, words
):
    sample = tuple(dataclasses.replace(student, ffn_size=8 * number) for number in range(1, 9))
    work = CalibrateWork(references={}, head=head, profile=PROFILE, seed=0, sample=sample, effort=Effort.QUICK)

    def measured(architecture, *rest, **options):
        if architecture == sample[2]:
            raise MeasurementError(f"measuring failed: {words}")
        return measure(architecture, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr("worker.runners.calibrate.measure", measured)
        with pytest.raises(CalibrationError, match=re.escape(words)) as caught:
            CalibrateRunner(workplace).run(grant(work), recorder())
    assert lack_of_room(caught.value, workplace.work) or device_in_use(caught.value)
    record = CalibrateRunner(workplace).run(grant(work), recorder()).calibration
    assert len(record.rows) == len(sample)


def test_a_profile_that_cannot_be_measured_here_is_invalid(workplace, recorder, grant, student, head):
    work = MeasureWork(
        architecture=student, head=head, profile=DeviceProfile(length=16, threads=1024), effort=Effort.QUICK, seed=0
    )
    with pytest.raises(Exception, match="1024 threads") as caught:
        MeasureRunner(workplace).run(grant(work), recorder())
    assert failure_of(caught.value).reason == "invalid"


def test_a_runner_refuses_work_of_another_kind(workplace, recorder, grant, distill_work):
    with pytest.raises(WorkerError, match="not MeasureWork"):
        MeasureRunner(workplace).run(grant(distill_work()), recorder())


def test_an_artefact_that_is_gone_is_an_error(workplace, distill_work, recorder, grant):
    with pytest.raises(ClientError) as caught:
        DistillRunner(workplace).run(grant(distill_work(checkpoint="0" * 64)), recorder())
    assert failure_of(caught.value).reason == "error"
    assert failure_of(DataError("x")).reason == "invalid"


@pytest.fixture
def prepare_work(tmp_path):
    """Sentences of two classes in a file, and the built-in teacher."""
    sentences = ("bread oven {} salt\tkitchen", "rose spade {} seed\tgarden")
    lines = [sentences[number % 2].format(number) for number in range(200)]
    path = tmp_path / "sentences.tsv"
    path.write_text("\n".join(["text\tlabel", *lines]) + "\n")
    return PrepareWork(
        task=Task(dataset=Dataset(source=str(path))), teacher=Teacher(model="built-in"), recipe=RECIPE, seed=0
    )


def test_a_second_study_over_the_same_task_needs_no_new_teacher(
    workplace, prepare_work, recorder, grant, monkeypatch, tmp_path
):
    short = dataclasses.replace(built_in_recipe(16), steps=5)
    monkeypatch.setattr("distillation.teacher.built_in_recipe", lambda max_length: short)
    reporter = recorder()
    first = PrepareRunner(workplace).run(grant(prepare_work), reporter)
    assert first.classes == ("garden", "kitchen")
    assert sum(first.splits.values()) == 200
    assert first.baselines["TF-IDF + logistic regression"].value == 1.0
    assert "training the teacher" in reporter.stages
    workplace.artefacts.download_folder(first.data, tmp_path / "data")
    assert read_data(tmp_path / "data").classes == first.classes

    again = recorder()
    assert PrepareRunner(workplace).run(grant(prepare_work, attempt=2), again) == first
    assert again.stages == ["uploading"]

    (kept,) = workplace.prepared("x").parent.iterdir()
    (kept / "teacher" / "config.json").write_text("{}")
    third = recorder()
    assert PrepareRunner(workplace).run(grant(prepare_work, attempt=3), third).classes == first.classes
    assert "training the teacher" in third.stages


def test_what_another_worker_kept_meanwhile_is_taken_and_not_replaced(
    workplace, prepare_work, recorder, grant, monkeypatch
):
    short = dataclasses.replace(built_in_recipe(16), steps=5)
    monkeypatch.setattr("distillation.teacher.built_in_recipe", lambda max_length: short)

    class Overtaken(recorder):
        def progress(self, stage, done=0, total=0):
            if stage == "evaluating the teacher" and not others:
                others.append(PrepareRunner(workplace).run(grant(prepare_work, attempt=2), recorder()))
                inodes.append(card.stat().st_ino)

    others, inodes = [], []
    card = (
        workplace.prepared(fingerprint(prepare_work.task, prepare_work.teacher, prepare_work.recipe, prepare_work.seed))
        / "teacher"
        / "config.json"
    )
    assert PrepareRunner(workplace).run(grant(prepare_work), Overtaken()) == others[0]
    assert card.stat().st_ino == inodes[0]


def test_an_interrupted_preparation_leaves_nothing_half_prepared(workplace, prepare_work, recorder, grant):
    with pytest.raises(Interrupted):
        PrepareRunner(workplace).run(grant(prepare_work), recorder(stop_at=3))
    assert not (workplace.home / "cache" / "prepared").exists()
    assert not [path for path in workplace.work.iterdir() if path.is_dir()]


def test_a_preparation_goes_on_with_its_teacher_where_it_was_stopped(
    workplace, prepare_work, recorder, grant, monkeypatch
):
    short = dataclasses.replace(built_in_recipe(16), steps=5)
    monkeypatch.setattr("distillation.teacher.built_in_recipe", lambda max_length: short)
    whole = PrepareRunner(workplace).run(grant(prepare_work), recorder())
    shutil.rmtree(workplace.home)

    class Counting(recorder):
        steps = ()

        def progress(self, stage, done=0, total=0):
            super().progress(stage, done, total)
            self.steps = (*self.steps, done) if total else self.steps

    first, second = Counting(stop_at=3), Counting()
    with pytest.raises(Interrupted):
        PrepareRunner(workplace).run(grant(prepare_work), first)
    assert PrepareRunner(workplace).run(grant(prepare_work, attempt=2), second).teacher == whole.teacher
    assert (first.steps, second.steps) == ((1, 2, 3), (4, 5))
    assert not list(workplace.home.rglob("checkpoint-*"))


def test_a_dataset_that_cannot_be_read_is_invalid(workplace, prepare_work, recorder, grant):
    missing = prepare_work.model_copy(update={"task": Task(dataset=Dataset(source="/nowhere/a.tsv"))})
    with pytest.raises(DataError, match="nowhere") as caught:
        PrepareRunner(workplace).run(grant(missing), recorder())
    assert failure_of(caught.value).reason == "invalid"


def test_a_finalist_is_reproduced_from_its_export_alone(
    workplace, prepare_work, student, recorder, grant, monkeypatch, tmp_path, capsys
):
    short = dataclasses.replace(built_in_recipe(16), steps=5)
    monkeypatch.setattr("distillation.teacher.built_in_recipe", lambda max_length: short)
    ready = PrepareRunner(workplace).run(grant(prepare_work), recorder())
    shape = dataclasses.replace(ready.architecture, layers=1, hidden_size=32, heads=1, ffn_size=16)
    work = FinalizeWork(
        name="demo-trial-0",
        architecture=shape,
        recipe=RECIPE,
        steps=10,
        data=ready.data,
        teacher=ready.teacher,
        profile=PROFILE,
        effort=Effort.QUICK,
        seed=3,
    )
    outcome = FinalizeRunner(workplace).run(grant(work), recorder())
    workplace.artefacts.download_folder(outcome.export, tmp_path / "export")
    assert read_provenance(tmp_path / "export").is_cached
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    # In the study's home what was prepared is found; in a new one it is prepared again, bit for bit.
    for home in (workplace.home, tmp_path / "elsewhere"):
        with pytest.raises(SystemExit) as caught:
            main(["reproduce", str(tmp_path / "export"), "--home", str(home), "--json"])
        for number, handler in handlers.items():
            signal.signal(number, handler)
        found = json.loads(capsys.readouterr().out)
        assert caught.value.code == 0, found
        assert (found["weights_equal"], found["metrics_equal"]) == (True, True)
        assert found["metrics"]["report"]["now"] == outcome.report.value
