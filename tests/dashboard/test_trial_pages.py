"""The pages of trials as the server makes them, before any script runs."""

import re

import pytest
from fastapi.testclient import TestClient

from protocol.study import StudySpec
from search_space import Architecture
from service.app import create_app
from service.dashboard.wording import metric_text
from service.operations.trials import add_trial
from service.settings import Settings, sqlite_url

HOSTILE = "<script>alert('x')</script>\"&"
SHAPE = Architecture(vocabulary_size=100, layers=2, hidden_size=32, heads=2, head_size=16, ffn_size=64)


@pytest.fixture(scope="module")
def client(tmp_path_factory, prepared):
    """A service with a study of two trials: one that was weighed, one whose every word is hostile."""
    home = tmp_path_factory.mktemp("home")
    with TestClient(create_app(Settings(home=home, database_url=sqlite_url(home), hosts=("testserver",)))) as client:
        spec = StudySpec.model_validate({"name": "demo", "teacher": HOSTILE, "task": {"dataset": "docstrings"}})
        assert client.post("/v1/studies", json={"spec": spec.canonical()}).status_code == 201
        with client.app.state.parts.store.write() as uow:
            study = uow.studies.lock(uow.studies.find("demo").id)
            study.prepared = prepared
            add_trial(uow, study, SHAPE, "pareto", {"accuracy": 0.71, "latency_p50": 0.0042})
            other = Architecture(**{**SHAPE.to_dict(), "layers": 1})
            add_trial(uow, study, other, HOSTILE).reason = HOSTILE
        yield client


def test_trial_says_why_it_was_suggested(client):
    page = client.get("/studies/demo/trials/1")
    assert page.status_code == 200
    assert "Chosen by <strong>pareto</strong> before any trial had ended." in page.text
    assert "4.20\u00a0ms" in page.text
    assert "0.710" in page.text
    assert 'href="/studies/demo/trials/2" rel="next"' in page.text
    assert 'rel="prev"' not in page.text
    assert "    2 layers, written <code>" in page.text
    assert "    1 layer, written <code>" in client.get("/studies/demo/trials/2").text


def test_trial_of_which_nothing_was_expected_says_so(client):
    page = client.get("/studies/demo/trials/2")
    assert "No model was asked" in page.text
    assert 'rel="next"' not in page.text


@pytest.mark.parametrize("path", ["trials/1", "trials/2", "compare"])
def test_hostile_text_stays_text(client, path):
    page = client.get(f"/studies/demo/{path}")
    assert page.status_code == 200
    assert HOSTILE not in page.text
    assert "<script>" not in page.text


@pytest.mark.parametrize("number", ["3", "0", "-1", "one", "99999999999999999999", "1.5", "٣", "%3Cscript%3E"])
def test_unknown_trial_is_a_page_that_leads_back(client, number):
    page = client.get(f"/studies/demo/trials/{number}")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert 'href="/"' in page.text
    assert "<script" not in page.text


@pytest.mark.parametrize("path", ["trials/1", "compare"])
def test_unknown_study_is_a_page_that_leads_back(client, path):
    page = client.get(f"/studies/%3Cscript%3E/{path}")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text


@pytest.mark.parametrize("path", ["/studies/demo/trials/1", "/studies/demo/compare", "/workers", "/devices", "/new"])
def test_pages_have_nothing_inline_and_name_only_what_is_there(client, path):
    page = client.get(path)
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert " style=" not in page.text
    assert " onclick" not in page.text
    named = {part.partition('"')[0].partition("?")[0] for part in page.text.split('"/')[1:]}
    assert "static/pages.css" in named
    for name in named:
        assert client.get(f"/{name}").status_code == 200, name


@pytest.mark.parametrize("path", ["/studies/demo/trials/1", "/studies/demo/compare", "/workers", "/devices", "/new"])
def test_page_is_light(client, path):
    page = client.get(path)
    files = set(re.findall(r'"(/static/[^"]+)"', page.text))
    assert len(files) > 5, "every module is named, so that none waits for another"
    assert len(page.content) + sum(len(client.get(file).content) for file in files) <= 200_000


@pytest.mark.parametrize(
    ("page", "script"),
    [
        ("/studies/demo/trials/1", ("trial", "exported")),
        ("/studies/demo/compare", ("compare",)),
        ("/workers", ("workers",)),
        ("/devices", ("devices",)),
        ("/new", ("new_study",)),
    ],
)
def test_every_part_that_a_script_fills_is_on_its_page(client, page, script):
    text = client.get(page).text
    known = set(re.findall(r'data-part="([a-z-]+)"', text))
    source = "".join(client.get(f"/static/{name}.js").text for name in script)
    wanted = set(re.findall(r"""\b(?:part|fill|write)\("([a-z-]+)\"""", source))
    assert wanted
    assert wanted <= known


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.0042, "latency_p50", "4.20\u00a0ms"),
        (999_999, "parameters", "1.00M"),
        (12, "parameters", "12"),
        (-0.25, "matthews", "−0.250"),
        (None, "accuracy", "–"),
        (float("nan"), "accuracy", "–"),
    ],
)
def test_metrics_are_written_with_their_units(value, metric, text):
    assert metric_text(value, metric) == text
