"""The client and the real service, over a real socket."""

from dataclasses import replace

import pytest

from cli.reading import front
from client import ProblemError
from encoders.values import Head
from hardware.calibration import calibrate
from hardware.values import DeviceProfile, Effort
from protocol.calibration import CalibrationRecord
from protocol.jobs import (
    PROTOCOL_VERSION,
    Command,
    Failure,
    FailureReason,
    JobKind,
    LeaseRequest,
    Progress,
    Release,
    Renewal,
    Report,
)
from protocol.views import StudyState
from search_space import Architecture
from tests.outcomes import measurement


def lease(client, kinds=(JobKind.PREPARE,)):
    request = LeaseRequest(worker="test", protocol_version=PROTOCOL_VERSION, kinds=kinds, wait_s=0)
    return client.jobs.lease(request)


def test_the_service_is_healthy(client):
    assert client.healthy()


def test_a_study_is_created_once_and_found_by_its_name(client, spec):
    created = client.studies.create(spec("first"))
    again = client.studies.create(spec("first"))
    assert created.state is StudyState.PREPARING
    assert again.view.created_at == created.view.created_at
    assert created.view.digest == spec("first").digest
    assert client.studies.get("first").view == again.view
    assert "first" in [study.name for study in client.studies.list()]
    assert client.studies.trials("first") == ()
    assert client.studies.front("first").numbers == ()


def test_a_changed_study_is_refused_with_its_differences(client, spec):
    client.studies.create(spec("second"))
    with pytest.raises(ProblemError) as caught:
        client.studies.create(spec("second", "seed: 3\n"))
    assert caught.value.code == "study_differs"
    assert caught.value.problem.errors == ["seed: 0 -> 3"]


@pytest.mark.parametrize(
    ("constraints", "told"),
    [
        ([], ["front 0", "no completed trial is there yet"]),
        (["latency_p50 <= 4 ms"], ["front of accuracy, latency_p50 within latency_p50 <= 4 ms", "is within that"]),
    ],
)
def test_a_front_on_which_nothing_is_says_so(client, spec, address, capsys, constraints, told):
    client.studies.create(spec("empty"))
    front(address, "empty", [], constraints, as_json=False)
    out = capsys.readouterr().out
    assert all(part in out for part in told)
    assert "architecture" not in out


def test_an_unknown_study_is_not_found(client):
    with pytest.raises(ProblemError, match="nobody") as caught:
        client.studies.get("nobody")
    assert caught.value.problem.status == 404


def test_a_search_space_is_previewed(client, spec):
    assert client.studies.preview(spec("third")).size > 100


def test_a_job_is_leased_renewed_released_and_reported(client, spec, tmp_path):
    client.studies.create(spec("fourth"))
    while (grant := lease(client)) is not None and grant.study != "fourth":
        pass
    assert grant is not None
    assert grant.work.kind is JobKind.PREPARE
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("1")
    checkpoint = client.artefacts.upload_folder(tmp_path / "model")
    renewal = Renewal(
        attempt=grant.attempt, progress=Progress(stage="teaching", done=1, total=2), checkpoint=checkpoint
    )
    assert client.jobs.renew(grant.job, renewal).command is Command.CONTINUE
    (job,) = client.studies.view("fourth").jobs
    assert job.progress == Progress(stage="teaching", done=1, total=2)

    client.jobs.release(grant.job, Release(attempt=grant.attempt, checkpoint=checkpoint))
    with pytest.raises(ProblemError) as caught:
        client.jobs.renew(grant.job, Renewal(attempt=grant.attempt))
    assert caught.value.code == "lease_lost"

    second = lease(client)
    assert (second.job, second.attempt) == (grant.job, grant.attempt + 1)
    failure = Failure(reason=FailureReason.INVALID, message="there is no such teacher")
    for _ in range(2):  # a repeated report is the same report
        client.jobs.report(second.job, Report(attempt=second.attempt, result=failure))
    study = client.studies.view("fourth")
    assert study.state is StudyState.FAILED
    assert "there is no such teacher" in study.error


def test_artefacts_travel_by_their_hash(client, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x" * 3_000_000)
    identity = client.artefacts.upload_file(tmp_path / "a.txt")
    client.artefacts.download_file(identity, tmp_path / "b.txt")
    assert (tmp_path / "b.txt").read_bytes() == b"x" * 3_000_000
    with pytest.raises(ProblemError):
        client.artefacts.download_file("0" * 64, tmp_path / "c.txt")
    assert not (tmp_path / "c.txt").exists()


def test_calibrations_are_kept_once_and_come_back_whole(client):
    record = calibration()
    view = client.calibrations.upload(record)
    assert client.calibrations.upload(record) == view
    assert client.calibrations.list() == (view,)
    assert client.calibrations.get(view.id) == record
    with pytest.raises(ProblemError) as refused:
        client.calibrations.get("0" * 64)
    assert refused.value.problem.status == 404


def calibration():
    shape = Architecture(vocabulary_size=100, layers=1, hidden_size=32, heads=2, head_size=16, ffn_size=64)
    profile = DeviceProfile(length=32)

    def measure(architecture):
        return measurement(1e-3 * architecture.layers, profile, Effort.QUICK)

    architectures = [replace(shape, layers=layers) for layers in range(1, 9)]
    found = calibrate(architectures, profile, Head(classes=2), measure, effort=Effort.QUICK)
    return CalibrationRecord.model_validate(found)
