import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from protocol.study import StudySpec
from protocol.views import StudyState
from service.dashboard.pages import missing_page, studies_page, study_page

HOSTILE = "<script>alert('x')</script>\"&"


class Parsed(HTMLParser):
    """Texts by the id of their element, and every script of a page."""

    def __init__(self, response):
        super().__init__()
        self.texts, self.scripts, self.tags, self._open = {}, [], [], []
        self.source = response.body.decode()
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "script":
            self.scripts.append(given)
        if tag not in ("meta", "link"):
            self._open.append(given.get("id"))

    def handle_endtag(self, tag):
        self._open.pop()

    def handle_data(self, data):
        for identity in filter(None, self._open):
            self.texts[identity] = self.texts.get(identity, "") + data

    def text(self, identity):
        return " ".join(self.texts.get(identity, "").split())

    def element(self, identity):
        return next(given for _, given in self.tags if given.get("id") == identity)


def test_overview_without_studies_says_how_to_start_one():
    page = Parsed(studies_page([]))
    assert "stillhouse run" in page.text("empty")
    assert "hidden" not in page.element("empty")
    assert "hidden" in page.element("studies")


def test_overview_shows_each_study_with_its_numbers(study):
    running = study(state=StudyState.SEARCHING, trials={"completed": 5, "infeasible": 1, "distilling": 1})
    running = running.model_copy(update={"front_size": 3, "hypervolume": 0.41234, "remaining_s": 200.4})
    page = Parsed(studies_page([running, study(name="other")]))
    text = page.text("studies")
    assert "demobuilt-in → docstrings searching 6 of 16 3 0.4123 3 min 20 s" in text
    assert "other" in text
    assert "preparing 0 of 16 0 – not known yet" in text
    assert {given.get("href") for tag, given in page.tags if tag == "a"} >= {"/studies/demo", "/studies/other"}


def test_empty_study_does_not_pretend_to_know_the_remaining_time(study):
    page = Parsed(study_page(study()))
    assert page.text("remaining") == "not known yet"
    assert page.text("trials-count") == "0 of 16"
    assert page.text("hypervolume") == "–"
    assert page.text("teacher") == "–"
    assert "hidden" in page.element("error")


def test_running_study_shows_its_numbers_before_any_script_runs(study, prepared):
    running = study(
        state=StudyState.SEARCHING,
        trials={"completed": 8, "failed": 1, "pending": 2},
        prepared=prepared,
        front_size=4,
        hypervolume=0.00123449,
        remaining_s=59.6,
    )
    page = Parsed(study_page(running))
    assert page.text("state") == "searching"
    assert page.text("trials-count") == "8 of 16", "a failed trial is replaced by another"
    assert page.text("front-size") == "4"
    assert page.text("hypervolume") == "0.001234"
    assert page.text("teacher") == "0.743"
    assert page.text("remaining-term") == "Remaining"
    assert page.text("remaining") == "1 min 00 s"


def test_finished_study_says_how_long_it_took(study):
    view = study(state=StudyState.COMPLETED)
    page = Parsed(study_page(view.model_copy(update={"ended_at": view.created_at + timedelta(seconds=425)})))
    assert page.text("remaining-term") == "Took"
    assert page.text("remaining") == "7 min 05 s"
    assert "hidden" in page.element("jobs-section")


def test_failed_study_shows_why(study):
    page = Parsed(study_page(study(state=StudyState.FAILED, error="the teacher was not found")))
    assert page.text("error") == "the teacher was not found"
    assert "hidden" not in page.element("error")
    assert page.element("state")["data-state"] == "failed"


@pytest.mark.parametrize("page", ["study", "studies", "missing"])
def test_hostile_text_stays_text(study, page):
    values = study().spec.canonical() | {"teacher": HOSTILE, "task": {"dataset": HOSTILE}}
    hostile = study(
        name=HOSTILE, spec=StudySpec.model_validate(values), error=HOSTILE, notes=(HOSTILE,), digest=HOSTILE
    )
    response = {
        "study": lambda: study_page(hostile),
        "studies": lambda: studies_page([hostile]),
        "missing": lambda: missing_page(HOSTILE),
    }[page]()
    parsed = Parsed(response)
    assert HOSTILE not in parsed.source
    assert "<script>" not in parsed.source
    assert all(given.get("src", "").startswith("/static/") for given in parsed.scripts)
    if page == "study":
        assert parsed.text("error") == HOSTILE
        assert parsed.element("study")["data-study"] == HOSTILE


def test_pages_allow_only_their_own_scripts_and_have_none_inline(study):
    for response in (studies_page([study()]), study_page(study()), missing_page("x")):
        policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        page = Parsed(response)
        assert all("src" in given for given in page.scripts)
        assert not [given for _, given in page.tags if any(name.startswith("on") for name in given)]
        assert not re.search(r"https?://", page.source)


def test_missing_study_is_404():
    response = missing_page("nowhere")
    assert response.status_code == 404
    assert "nowhere" in response.body.decode()


def test_every_element_that_the_scripts_fill_is_on_the_page(study):
    from service.dashboard.assets import HERE

    pages = [Parsed(study_page(study())), Parsed(studies_page([study()]))]
    known = {given["id"] for page in pages for _, given in page.tags if "id" in given}
    scripts = "".join(path.read_text() for path in (HERE / "static").glob("*.js"))
    wanted = set(re.findall(r"""\b(?:getElementById|place|setText|show)\("([a-z-]+)\"""", scripts))
    assert len(wanted) > 15
    assert wanted - known == set()
