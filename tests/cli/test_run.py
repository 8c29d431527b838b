"""Which study a run starts or continues, and how it calls a failure; against the real service."""

import threading
from pathlib import Path

import pytest
import uvicorn

from cli.errors import BadInputError, CliError, ExitCode
from cli.run import RunOptions, _Session, created, failure
from cli.supervisor import Supervisor
from client import Client
from protocol.jobs import PROTOCOL_VERSION, Failure, FailureReason, JobKind, LeaseRequest, Report
from protocol.study_file import parse_study
from protocol.views import StudyState
from service.app import bind, create_app
from service.settings import Settings


class Server(uvicorn.Server):
    def install_signal_handlers(self):
        """Not in a thread."""


@pytest.fixture
def client(tmp_path):
    settings = Settings.from_environment({}, home=tmp_path, port=0)
    with bind(settings) as listening:
        server = Server(uvicorn.Config(create_app(settings), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        with Client(f"http://127.0.0.1:{listening.getsockname()[1]}") as client:
            yield client
        server.should_exit = True
        thread.join()


@pytest.fixture
def options():
    return RunOptions(study_file=Path("demo.yaml"), home=Path("/home/me/my home"), port=0, hold=False, again=False)


def spec(seed=0):
    text = f"name: demo\nteacher: built-in\ntask: {{dataset: docstrings}}\nseed: {seed}\n"
    return parse_study(text, origin="test", default_name="demo")


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
    first = created(client, spec(), again=False)
    assert created(client, spec(), again=False).created_at == first.created_at
    assert len(client.studies.list()) == 1


def test_a_changed_file_is_refused_with_what_changed_and_how_to_go_on(client):
    created(client, spec(), again=False)
    with pytest.raises(BadInputError) as caught:
        created(client, spec(seed=3), again=False)
    assert "seed: 0 -> 3" in str(caught.value)
    assert "--again" in str(caught.value)


def test_again_starts_a_study_beside_the_first_and_continues_it_until_it_ends(client):
    created(client, spec(), again=False)
    beside = created(client, spec(seed=3), again=True)
    assert beside.name == "demo-2"
    assert created(client, spec(seed=3), again=True).created_at == beside.created_at
    assert [end(client), end(client)] == ["demo", "demo-2"]
    assert created(client, spec(seed=3), again=True).name == "demo-3"


def test_again_with_a_free_name_takes_it(client):
    assert created(client, spec(), again=True).name == "demo"


def test_a_study_that_could_never_work_is_bad_input_and_tells_the_command_to_go_on_with(client, options):
    created(client, spec(), again=False)
    end(client)
    study = client.studies.get("demo")
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
