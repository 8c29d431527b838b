"""What a user of the client gets wrong is one error that names it, and nothing is sent."""

from datetime import UTC, datetime

import httpx
import pytest

from client import Client, ClientError, InvalidArgument, ProblemError
from client.study import Study
from protocol.problem import Problem
from protocol.study_file import parse_study
from protocol.views import StudyState, StudyView

SPEC = parse_study("teacher: built-in\ntask: {dataset: docstrings}", origin="t", default_name="demo")
VIEW = StudyView(
    name="demo",
    state=StudyState.COMPLETED,
    spec=SPEC,
    digest=SPEC.digest,
    created_at=datetime(2030, 1, 1, tzinfo=UTC),
    ended_at=None,
    prepared=None,
    references={},
    trials={},
    finalists={},
    jobs=(),
    hypervolume=None,
    front_size=0,
    remaining_s=None,
    notes=(),
    error=None,
)


class Answers:
    """Answers with an empty list, and keeps what was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, request):
        self.asked.append(request)
        return httpx.Response(200, json=[])


@pytest.fixture
def answers():
    return Answers()


@pytest.fixture
def client(answers):
    with Client("http://service:1", wire=httpx.MockTransport(answers)) as client:
        yield client


@pytest.fixture
def study(client):
    return Study(client.studies, client.artefacts, VIEW)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda client, study: client.studies.get("../x"), "'../x' is not the name of a study"),
        (lambda client, study: client.studies.get(""), "'' is not the name of a study"),
        (lambda client, study: client.studies.get(3), "3 is not the name of a study"),
        (lambda client, study: client.studies.create("demo.yaml"), "study: must be a mapping or a StudySpec"),
        (lambda client, study: client.studies.create({"teacher": object()}), "study: "),
        (lambda client, study: client.studies.create({1: 2}), "study: "),
        (lambda client, study: study.extend(), "name at least one of trials, finalists and device_hours"),
        (lambda client, study: study.extend(trials=0), "trials: must be"),
        (lambda client, study: study.best(latency="4 parsec"), "latency_p50: '4 parsec' has the unit 'parsec'"),
        (lambda client, study: study.best(latency=float("nan")), "latency_p50: "),
        (lambda client, study: study.best(at_least="good"), "accuracy: 'good' is not a number"),
        (lambda client, study: study.best(parameters=[1]), "parameters: "),
    ],
)
def test_what_cannot_be_is_one_error_that_names_it_and_nothing_is_sent(client, study, answers, call, told):
    with pytest.raises(InvalidArgument) as caught:
        call(client, study)
    assert told in str(caught.value)
    assert "pydantic" not in str(caught.value)
    assert isinstance(caught.value, ClientError)
    assert answers.asked == []


def test_one_text_is_not_taken_for_its_letters(client, answers):
    client.studies.trials("demo", states="completed", constraints="latency_p50 <= 4 ms")
    (request,) = answers.asked
    assert request.url.params.multi_items() == [("state", "completed"), ("constraint", "latency_p50 <= 4 ms")]


def test_a_mistake_is_told_once():
    told = "not a study: teacher: is missing"
    errors = ["teacher: is missing", "task: is missing"]
    error = ProblemError(Problem(title="no", status=422, detail=told, code="invalid", errors=errors))
    assert str(error) == f"{told}\ntask: is missing"
