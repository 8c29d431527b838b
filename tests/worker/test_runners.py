"""Each kind of job, done for real on something small."""

import json
import subprocess
import sys

import pytest

from client import ClientError
from distillation.errors import DataError
from distillation.values import Fidelity, Recipe
from hardware.values import DeviceProfile, Effort, Verdict
from protocol.artefact import manifest_of
from protocol.jobs import CalibrateWork, DistillWork, FinalizeWork, MeasureWork
from worker.errors import Interrupted, WorkerError
from worker.failures import failure_of
from worker.runners.calibrate import CalibrateRunner
from worker.runners.distill import DistillRunner
from worker.runners.finalize import FinalizeRunner
from worker.runners.measure import MeasureRunner

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
    script = (
        "import sys; sys.path = [entry for entry in sys.path if entry]\n"
        "from transformers import pipeline\n"
        f"classify = pipeline('text-classification', {str(export)!r}, trust_remote_code=True)\n"
        "print(classify('rose spade seed')[0]['label'])\n"
    )
    loaded = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.split()[-1] in ("garden", "kitchen")

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


def test_architectures_are_measured_by_name(workplace, recorder, grant, student, head):
    work = CalibrateWork(
        architectures={"smallest": student, "teacher": student}, head=head, profile=PROFILE, effort=Effort.QUICK, seed=0
    )
    reporter = recorder()
    outcome = CalibrateRunner(workplace).run(grant(work), reporter)
    assert list(outcome.measurements) == ["smallest", "teacher"]
    assert reporter.stages == ["measuring the smallest", "measuring the teacher"]
    with pytest.raises(Interrupted):
        CalibrateRunner(workplace).run(grant(work), recorder(stop_at=0))


def test_a_profile_that_cannot_be_measured_here_is_invalid(workplace, recorder, grant, student, head):
    work = MeasureWork(
        architecture=student, head=head, profile=DeviceProfile(length=16, threads=4096), effort=Effort.QUICK, seed=0
    )
    with pytest.raises(Exception, match="4096 threads") as caught:
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
