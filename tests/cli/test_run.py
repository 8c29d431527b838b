"""Which study a run starts or continues, and how it calls a failure; against the real service."""

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cli.display import Display
from cli.errors import BadInputError, CliError, ExitCode, StoppedError
from cli.own_tokens import OwnTokens
from cli.run import RunOptions, _Session, created, failure, resumed
from cli.supervisor import Supervisor
from client import Client
from optimization.values import Constraint
from protocol.jobs import PROTOCOL_VERSION, Failure, FailureReason, JobKind, LeaseRequest, Report
from protocol.study_file import parse_study
from protocol.views import StudyState
from tests.serving import served


@pytest.fixture
def client(tmp_path):
    with served(tmp_path) as address, Client(address) as client:
        yield client


@pytest.fixture
def options():
    return RunOptions(study_file=Path("demo.yaml"), home=Path("/home/me/my home"), port=0, hold=False, again=False)


def start(client, study, *, again):
    options = RunOptions(study_file=Path("demo.yaml"), home=Path("/home/me"), port=0, hold=False, again=again)
    return created(client, study, options)


def spec(seed=0):
    text = f"name: demo\nteacher: built-in\ntask: {{dataset: docstrings}}\nseed: {seed}\n"
    return parse_study(text, origin="test", default_name="demo")


@pytest.fixture
def console():
    return Console(file=StringIO(), width=200)


class Ill:
    """A client whose service cannot reach its database."""

    def healthy(self):
        return False


def end(client):
    """Fail the oldest study that is preparing."""
    request = LeaseRequest(worker="w", protocol_version=PROTOCOL_VERSION, kinds=(JobKind.PREPARE,), wait_s=0)
    grant = client.jobs.lease(request)
    result = Failure(reason=FailureReason.INVALID, message="teacher: there is no such model")
    client.jobs.report(grant.job, Report(attempt=grant.attempt, result=result))
    return grant.study


def test_the_same_file_continues_its_study(client):
    first = start(client, spec(), again=False)
    assert start(client, spec(), again=False).created_at == first.created_at
    assert len(client.studies.list()) == 1


def test_a_changed_file_is_refused_with_what_changed_and_how_to_go_on(client):
    start(client, spec(), again=False)
    with pytest.raises(BadInputError) as caught:
        start(client, spec(seed=3), again=False)
    assert "seed: 0 -> 3" in str(caught.value)
    assert "--again" in str(caught.value)


def test_again_starts_a_study_beside_the_first_and_continues_it_until_it_ends(client):
    start(client, spec(), again=False)
    beside = start(client, spec(seed=3), again=True)
    assert beside.name == "demo-2"
    assert start(client, spec(seed=3), again=True).created_at == beside.created_at
    assert [end(client), end(client)] == ["demo", "demo-2"]
    assert start(client, spec(seed=3), again=True).name == "demo-3"


@pytest.mark.parametrize("again", [False, True])
def test_the_same_command_resumes_a_study_that_was_stopped(client, console, again):
    client.studies.create(spec())
    name = start(client, spec(seed=3 if again else 0), again=again).name
    client.studies.stop(name)
    study = resumed(client, start(client, spec(seed=3 if again else 0), again=again), console)
    assert (study.name, study.state, client.studies.view(name).state) == (name, "preparing", "preparing")
    assert console.file.getvalue() == f"study {name} was stopped and goes on: preparing\n"


def test_a_study_that_was_not_stopped_is_left_alone(client, console):
    study = start(client, spec(), again=False)
    assert resumed(client, study, console) is study
    assert console.file.getvalue() == ""


def test_a_study_that_somebody_stops_meanwhile_ends_its_run_and_tells_how_to_go_on(client, options, console):
    study = start(client, spec(), again=False)
    client.studies.stop(study.name)
    session = _Session(options, spec(), 0, Supervisor(), Display(console), console)
    followed = session._followed(client, study.name, OwnTokens())
    assert followed.state is StudyState.STOPPED
    with pytest.raises(StoppedError) as caught:
        session._conclude(client, followed)
    assert caught.value.code is ExitCode.STOPPED
    assert str(caught.value) == (
        "somebody stopped study demo; nothing is lost. To continue:\n"
        "    stillhouse run demo.yaml --home '/home/me/my home'"
    )


def test_again_with_a_free_name_takes_it(client):
    assert start(client, spec(), again=True).name == "demo"


def test_a_study_that_could_never_work_is_bad_input_and_tells_the_command_to_go_on_with(client, options):
    start(client, spec(), again=False)
    end(client)
    study = client.studies.view("demo")
    assert study.state is StudyState.FAILED
    error = failure(study, options)
    assert error.code is ExitCode.BAD_INPUT
    assert "teacher: there is no such model" in str(error)
    assert "stillhouse run demo.yaml --home '/home/me/my home' --again" in str(error)


def test_a_service_that_answers_but_is_never_well_is_not_waited_for_for_ever(options, monkeypatch):
    monkeypatch.setattr("cli.run.START_S", 0.0)
    session = _Session(options, spec(), 0, Supervisor(), None, None)
    with pytest.raises(CliError, match="does not start: it is not well"):
        session._wait_for_service(Ill())


def test_a_study_that_broke_is_an_internal_failure(study, options):
    broken = study(StudyState.FAILED, trials={}, error="the prepare job failed: error: KeyError: 'x'")
    assert failure(broken, options).code is ExitCode.FAILED
    late = study(StudyState.FAILED, error="5 trials failed and only 0 did not; the last one: invalid: no")
    assert failure(late, options).code is ExitCode.FAILED


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (FailureReason.ERROR, ExitCode.FAILED),
        (FailureReason.LEASE_EXPIRED, ExitCode.FAILED),
        (FailureReason.INVALID, ExitCode.BAD_INPUT),
        (FailureReason.DIVERGED, ExitCode.BAD_INPUT),
    ],
)
def test_the_reason_of_a_failure_decides_its_exit_code_whatever_the_words(study, options, reason, code):
    for error in ("an error: and a lease_expired: as well", "task.text: invalid: no such column"):
        failed = study(StudyState.FAILED, trials={}, error=error, failure=reason)
        assert failure(failed, options).code is code


STUDY = """\
name: demo
teacher: built-in
task: {dataset: docstrings}
search_space: {hidden_size: 64, heads: 2, ffn_size: 128,
  layers: [1, 2]}
constraints:
  - latency_p50 <= 4 ms
  - latency_p90 <= 5 ms
"""


@pytest.mark.parametrize(
    ("error", "place"),
    [
        ("search_space.layers: nothing is left", 5),
        ("constraints.1: nobody can meet it", 8),
        ("the prepare job failed: invalid: task.dataset: 'nobody/has' is not to be had", 3),
    ],
)
def test_a_failure_that_names_a_key_names_its_line(study, options, tmp_path, error, place):
    path = tmp_path / "demo.yaml"
    path.write_text(STUDY)
    failed = study(StudyState.FAILED, trials={}, error=error, failure=FailureReason.INVALID)
    assert f"failed: {path}:{place}: {error}\n" in str(failure(failed, replace(options, study_file=path)))


def test_a_failure_without_a_key_of_the_file_names_no_line(study, options, tmp_path):
    path = tmp_path / "demo.yaml"
    path.write_text(STUDY)
    for error in ("strategy sobol failed: budget: of another kind", "error: KeyError: 'x'"):
        failed = study(StudyState.FAILED, trials={}, error=error, failure=FailureReason.ERROR)
        assert f"failed: {error}\n" in str(failure(failed, replace(options, study_file=path)))


def test_a_study_that_the_service_refuses_is_refused_by_line(client, tmp_path):
    """As one of another version may."""
    path = tmp_path / "demo.yaml"
    path.write_text(STUDY)
    options = RunOptions(study_file=path, home=tmp_path, port=0, hold=False, again=False)
    unmet = parse_study(STUDY, origin="test", default_name="demo").model_copy(
        update={"constraints": (Constraint(metric="accuracy", bound=1.5, at_least=True),)}
    )
    with pytest.raises(BadInputError, match=rf"^{re.escape(str(path))}:7: constraints\.0: nothing has accuracy >= 1.5"):
        created(client, unmet, options)
