import itertools
import math

import pytest

from optimization.front import front, hypervolume, infer_reference
from optimization.values import Objective
from protocol.jobs import JobKind
from protocol.targets import Target
from protocol.views import FrontView, StudyView, TrialView
from service.operations.paging import encode
from service.operations.trials import add_trial

SIZES = (40, 48, 56, 72, 80, 88)


@pytest.fixture
def searched(worker, answers):
    """Seven trials; one waits, one failed, one breaks the study's bound on accuracy after it was trained, and one its
    bound on latency before.
    """
    worker.create(budget={"trials": 9}, constraints=["accuracy >= 0.65", "latency_p50 <= 6 ms"])
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    worker.work()  # the baseline
    with worker.store.write() as uow:
        study = uow.studies.lock(1)
        base = uow.trials.of(study.id)[0].architecture
        for size in SIZES:
            add_trial(uow, study, type(base)(**{**base.to_dict(), "ffn_size": size}), "test")
    answers.latency_s = lambda architecture: {48: 7e-3}.get(architecture.ffn_size, 1e-3 + architecture.ffn_size * 1e-5)
    answers.accuracy = lambda architecture: {72: 0.6}.get(architecture.ffn_size, 0.7 + 0.0004 * architecture.ffn_size)
    for _ in range(5):
        worker.report(worker.lease(kinds=(JobKind.MEASURE,)))
    while (grant := worker.lease(kinds=(JobKind.DISTILL,))) is not None:
        worker.report(grant)
    for _ in range(3):
        worker.fail(worker.lease(kinds=(JobKind.MEASURE,)))
    return worker


def trials(http, query="", status=200):
    answer = http.get(f"/v1/studies/demo/trials{query}")
    assert answer.status_code == status, answer.text
    return [TrialView.model_validate(one) for one in answer.json()]


def numbers(http, query=""):
    return [trial.number for trial in trials(http, query)]


def paged(http, path):
    """Every page's items, by the links from one to the next."""
    pages = []
    while path is not None:
        answer = http.get(path)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        path = answer.links.get("next", {}).get("url")
    return pages


def test_the_searched_study_is_as_these_tests_take_it(searched, http):
    states = [str(trial.state) for trial in trials(http)]
    assert states == ["completed", "completed", "infeasible", "completed", "infeasible", "completed", "failed"]


FILTERED = [
    ("", [1, 2, 3, 4, 5, 6, 7]),
    ("?sort=-number", [7, 6, 5, 4, 3, 2, 1]),
    ("?sort=created_at", [1, 2, 3, 4, 5, 6, 7]),
    ("?state=completed", [1, 2, 4, 6]),
    ("?state=infeasible&state=failed", [3, 5, 7]),
    ("?feasible=true", [1, 2, 4, 6]),
    ("?feasible=false", [3, 5]),
    ("?constraint=latency_p50 <= 1.5 ms", [2]),
    ("?constraint=latency_p50 <= 7 ms&constraint=accuracy >= 60 %", [1, 2, 4, 5, 6]),
    ("?constraint=latency_p50 <= 1.5 ms&feasible=false", [1, 3, 4, 5, 6]),
    ("?constraint=latency_p50 <= 1.5 ms&state=failed", []),
]


def test_trials_are_filtered(searched, http):
    for query, expected in FILTERED:
        assert numbers(http, query) == expected, query


def test_trials_are_ordered_and_those_that_do_not_know_come_last(searched, http):
    every = trials(http)
    for sort in ("accuracy", "-accuracy", "latency_p50", "-parameters", "created_at", "-created_at"):
        name, sign = sort.removeprefix("-"), -1 if sort.startswith("-") else 1

        def key(trial, name=name, sign=sign):
            value = trial.created_at.timestamp() if name == "created_at" else trial.metrics.get(name)
            return (value is None, sign * (value or 0), trial.number)

        expected = [trial.number for trial in sorted(every, key=key)]
        assert numbers(http, f"?sort={sort}") == expected, sort


def test_pages_are_the_list_in_parts(searched, http):
    for query in ("sort=number", "sort=-accuracy", "sort=accuracy", "sort=-created_at", "state=completed"):
        whole = numbers(http, f"?{query}")
        for limit in (1, 2, 3, 7):
            pages = paged(http, f"/v1/studies/demo/trials?{query}&limit={limit}")
            assert [trial["number"] for trial in itertools.chain(*pages)] == whole, (query, limit)
            assert len(pages) == math.ceil(len(whole) / limit)


def test_trials_on_the_front_are_those_of_the_front(searched, http):
    view = FrontView.model_validate(http.get("/v1/studies/demo/front").json())
    assert tuple(numbers(http, "?on_front=true")) == view.numbers
    assert sorted([*view.numbers, *numbers(http, "?on_front=false")]) == [1, 2, 3, 4, 5, 6, 7]
    constraint = "constraint=accuracy >= 0.5"
    moved = FrontView.model_validate(http.get(f"/v1/studies/demo/front?{constraint}").json())
    assert tuple(numbers(http, f"?on_front=true&{constraint}")) == moved.numbers


def test_front_is_moved_without_new_trials(searched, http):
    """Also to take in a trial that broke the study's own bound."""
    own = FrontView.model_validate(http.get("/v1/studies/demo/front").json())
    known = {trial.number: trial.metrics for trial in trials(http) if "accuracy" in trial.metrics}
    objectives = searched.study().spec.objectives
    moved = FrontView.model_validate(http.get("/v1/studies/demo/front?constraint=latency_p50 <= 10 ms").json())
    assert sorted(known) == [1, 2, 4, 5, 6]
    order = sorted(known)
    assert moved.numbers == tuple(order[place] for place in front(objectives, [known[number] for number in order]))
    assert moved.reference == own.reference
    none = FrontView.model_validate(http.get("/v1/studies/demo/front?constraint=accuracy >= 99 %").json())
    assert none.numbers == ()
    assert none.hypervolume == 0


@pytest.mark.parametrize("metrics", [("accuracy", "parameters"), ("latency_p50", "accuracy", "parameters")])
def test_front_over_other_metrics_has_a_reference_of_its_own(searched, http, metrics):
    query = "&".join(f"metric={metric}" for metric in metrics)
    view = FrontView.model_validate(http.get(f"/v1/studies/demo/front?{query}").json())
    rows = {trial.number: trial.metrics for trial in trials(http, "?state=completed")}
    objectives = [
        Objective(metric=metric, direction="maximize" if metric == "accuracy" else "minimize") for metric in metrics
    ]
    reference = infer_reference(objectives, [*rows.values()])
    assert view.reference == reference
    assert view.numbers == tuple([*rows][place] for place in front(objectives, [*rows.values()]))
    assert view.hypervolume == pytest.approx(hypervolume(objectives, [*rows.values()], reference))
    assert view.history[-1].hypervolume == view.hypervolume


REFUSED = [
    ("front?metric=accuracy", "two or three different"),
    ("front?metric=accuracy&metric=accuracy", "two or three different"),
    ("front?metric=accuracy&metric=speed", "unknown metric 'speed'"),
    ("front?metric=f1&metric=parameters", "f1 is not measured by this study"),
    ("front?constraint=fast", "is not a constraint"),
    ("trials?constraint=latency_p50 <= 4", "has the unit 'none'"),
    ("trials?sort=colour", "unknown metric 'colour'"),
    ("trials?cursor=abc", "none that this service gave"),
    ("trials?cursor=WzEsMl0", "of a list in another order"),
    ("trials?sort=created_at&cursor=WyJhIiwxXQ", "of a list in another order"),
    ("trials?limit=0", "must be at least 1"),
    ("trials?limit=1001", "must be at most 1,000"),
    ("trials?state=happy", "must be"),
]


def test_what_cannot_be_asked_is_said(http, worker):
    worker.create()
    for path, words in REFUSED:
        refused = http.get(f"/v1/studies/demo/{path}")
        assert refused.status_code == 422, refused.text
        assert words in refused.json()["detail"]


def test_studies_come_in_pages_the_newest_first(http, worker, clock):
    for name in ("a", "b", "c", "d"):
        worker.create(name=name)
        clock.advance(name == "b")  # some begin at one instant
    pages = paged(http, "/v1/studies?limit=3")
    assert [len(page) for page in pages] == [3, 1]
    assert [StudyView.model_validate(one).name for page in pages for one in page] == ["d", "c", "b", "a"]
    assert http.get("/v1/studies?cursor=eA").status_code == 422


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["night-2", "night-1", "day", "100"]),
        ("?name=night", ["night-2", "night-1"]),
        ("?name=NIGHT&limit=1", ["night-2", "night-1"]),
        ("?state=stopped&state=failed", ["night-1"]),
        ("?name=-&state=preparing&limit=1", ["night-2"]),
        ("?name=_", []),
        ("?name=100", ["100"]),
    ],
)
def test_studies_are_filtered_over_all_pages(worker, http, query, names):
    for name in ("100", "day", "night-1", "night-2"):
        worker.create(name=name)
    assert http.post("/v1/studies/night-1:stop").status_code == 200
    assert [study["name"] for page in paged(http, f"/v1/studies{query}") for study in page] == names


ELSEWHERE = {"another": (1,), "longer": ("x", "y", "z"), "no instant": ("soon", "a"), "no zone": ("2026-03-01", "a")}


@pytest.mark.parametrize("path", ["/v1/workers", "/v1/calibrations", "/v1/devices"])
def test_a_cursor_of_another_list_is_refused(http, path):
    assert http.get(path).json() == []
    for name, place in ELSEWHERE.items():
        refused = http.get(path, params={"cursor": encode(place)})
        assert refused.status_code == 422, name
        assert "of a list in another order" in refused.json()["detail"]
    assert http.get(f"{path}?limit=1001").status_code == 422


def test_workers_and_devices_come_in_pages_by_name_and_key(http, worker):
    targets = {f"w{place}": (Target(device="cpu", runtime="torch", hardware_key=f"k{place}"),) for place in range(5)}
    for name in ("w3", "w1", "w4", "w0", "w2"):
        worker.lease(name, targets=targets[name])
    for path, key, known in (("/v1/workers", "name", "w"), ("/v1/devices", "hardware_key", "k")):
        pages = paged(http, f"{path}?limit=2")
        assert [[one[key] for one in page] for page in pages] == [
            [f"{known}0", f"{known}1"],
            [f"{known}2", f"{known}3"],
            [f"{known}4"],
        ]
        assert paged(http, path) == [list(itertools.chain(*pages))]
