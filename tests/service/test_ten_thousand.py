"""A study of 10,000 trials: what a request costs is counted, for time tells little on a machine that others use too."""

import json
import shutil
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import bindparam, event, text

from optimization import front as fronts
from protocol.jobs import JobKind
from protocol.views import FrontView
from service.operations.front import MOST_POINTS, completed, present_front
from service.settings import sqlite_url
from service.store.columns import Instant, Json

MANY, FEW = 10_000, 200
PAGE = 50


@pytest.fixture
def database_url(empty_sqlite, tmp_path):
    shutil.copy(empty_sqlite, tmp_path / "stillhouse.db")
    return sqlite_url(tmp_path)


@pytest.fixture
def settings(settings):
    """Leases so long that nothing looks for expired ones meanwhile."""
    return replace(settings, lease_s=80_000)


def fill(worker, count):
    """A study whose first trial was evaluated, and as many like it as lack: each with metrics of its own."""
    worker.create(budget={"trials": 2 * MANY}, constraints=["latency_p50 <= 50 ms"])
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    worker.work()
    generator = np.random.default_rng(0)
    rows = []
    for number in range(2, count + 1):
        latency_s = float(generator.uniform(1e-3, 2e-2))
        accuracy = 0.9 - 1e-3 / latency_s - float(generator.exponential(0.02))
        metrics = {"latency_p50": latency_s, "accuracy": accuracy, "parameters": float(number)}
        rows.append({"number": number, "key": f"k{number}", "metrics": json.dumps(metrics)})
    with worker.store.write() as uow:
        connection = uow._session.connection()
        first = connection.execute(text("SELECT id FROM trials")).scalar_one()
        columns = "study_id, state, architecture, origin, created_at, ended_at, variances, predicted"
        insert = f"INSERT INTO trials ({columns}, number, architecture_key, metrics) SELECT {columns}, :number, :key, "
        connection.execute(text(f"{insert} :metrics FROM trials WHERE id = {first}"), rows)
        for table in ("evaluations", "measurements"):
            names = [column for (_, column, *_) in connection.execute(text(f"PRAGMA table_info({table})"))]
            kept = ", ".join(name for name in names if name not in ("id", "trial_id"))
            others = f"(SELECT id AS other FROM trials WHERE id != {first})"
            connection.execute(
                text(
                    f"INSERT INTO {table} (trial_id, {kept}) SELECT other, {kept} FROM {others}, {table}"
                    f" WHERE trial_id = {first}"
                )
            )
        uow.studies.find("demo").reference = {"accuracy": 0.0, "latency_p50": 3e-2}


@dataclass
class Cost:
    statements: int = 0
    decoded: int = 0
    judged: list[int] = field(default_factory=list)
    """Rows of each comparison of trials."""


@pytest.fixture
def cost(http, monkeypatch):
    """What was spent since it was last looked at."""
    spent = Cost()

    def execute(*_):
        spent.statements += 1

    def decode(self, value, dialect, before=Json.process_result_value):
        spent.decoded += 1
        return before(self, value, dialect)

    class Counting:
        hypervolume = staticmethod(fronts.moocore.hypervolume)

        @staticmethod
        def is_nondominated(losses, before=fronts.moocore.is_nondominated, **given):
            spent.judged.append(len(losses))
            return before(losses, **given)

    event.listen(http.app.state.parts.store._engine, "before_cursor_execute", execute)
    monkeypatch.setattr(Json, "process_result_value", decode)
    monkeypatch.setattr(fronts, "moocore", Counting)

    def take():
        nonlocal spent
        now = Cost(**vars(spent))
        spent.statements, spent.decoded, spent.judged = 0, 0, []
        return now

    return take


def get(http, path):
    answer = http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


PATHS = (
    "",
    "/demo",
    "/demo/trials/7",
    f"/demo/trials?limit={PAGE}",
    f"/demo/trials?limit={PAGE}&sort=-accuracy&state=completed",
    f"/demo/trials?limit={PAGE}&constraint=latency_p50 <= 10 ms&on_front=true",
    "/demo/front",
    "/demo/history",
    "/demo/points",
)


def test_statements_and_checked_values_do_not_grow_with_the_trials(http, worker, cost):
    costs = {}
    for count in (FEW, MANY):
        fill(worker, count)
        for path in PATHS:
            http.app.state.parts.store._memory.clear()
            cost()
            get(http, f"/v1/studies{path}")
            costs[count, path] = cost()
        with worker.store.write() as uow:
            uow.studies.delete(uow.studies.find("demo"))
    for path in PATHS:
        few, many = costs[FEW, path], costs[MANY, path]
        assert many.statements == few.statements <= 20, path
        assert many.decoded <= 12 * PAGE, path


def test_front_and_history_are_not_quadratic(http, worker, cost):
    fill(worker, MANY)
    cost()
    view = FrontView.model_validate(get(http, "/v1/studies/demo/front"))
    judged = cost().judged
    assert len(judged) <= MOST_POINTS + 1
    assert sum(judged) < 20 * MANY
    assert len(view.history) == MOST_POINTS
    assert [point.trials for point in view.history] == [*range(20, MANY + 1, 20)]
    assert view.history[-1].hypervolume == pytest.approx(view.hypervolume)
    volumes = [point.hypervolume for point in view.history]
    assert volumes == sorted(volumes)


def complete(worker, number, metrics, ended_at):
    """One more completed trial like the first, but for these."""
    with worker.store.write() as uow:
        connection = uow._session.connection()
        columns = "study_id, state, architecture, origin, created_at, variances, predicted"
        values = {"number": number, "key": f"more {number}", "metrics": json.dumps(metrics), "ended_at": ended_at}
        insert = f"INSERT INTO trials ({columns}, number, architecture_key, metrics, ended_at) SELECT {columns}, "
        inserted = text(f"{insert} :number, :key, :metrics, :ended_at FROM trials WHERE number = 1")
        connection.execute(inserted.bindparams(bindparam("ended_at", type_=Instant)), values)


def test_present_front_follows_on_the_one_before_whoever_ends_when(http, worker, clock, cost):
    fill(worker, FEW)
    get(http, "/v1/studies/demo")
    assert sum(cost().judged) >= FEW
    generator = np.random.default_rng(1)
    longest = len(get(http, "/v1/studies/demo/front")["numbers"])
    for number in range(FEW + 1, FEW + 21):
        minutes = 0 if number % 10 else 30  # some end long before others, by another replica's clock
        latency_s = float(generator.uniform(1e-3, 1e-2))
        metrics = {"latency_p50": latency_s, "accuracy": 0.9 - 1e-3 / latency_s, "parameters": 1.0}
        complete(worker, number, metrics, clock() - timedelta(minutes=minutes))
        clock.advance(60)
        cost()
        study = get(http, "/v1/studies/demo")
        judged = cost().judged
        if minutes == 0:
            assert sum(judged) <= 2 * (longest + 2)
        with worker.store.read() as uow:
            found = uow.studies.find("demo")
            everything = completed(uow, found)
            rows = [trial.metrics for trial in everything]
            expected = {everything[place].number for place in fronts.front(found.spec.objectives, rows)}
            assert present_front(uow, found).numbers == expected
        listed = get(http, "/v1/studies/demo/trials?limit=500&on_front=true")
        assert {trial["number"] for trial in listed} == expected
        assert study["hypervolume"] == pytest.approx(get(http, "/v1/studies/demo/front")["hypervolume"])
        longest = max(longest, len(expected))


def test_points_hold_every_trial(http, worker):
    fill(worker, MANY)
    points = get(http, "/v1/studies/demo/points")
    assert points["numbers"] == [*range(1, MANY + 1)]
    assert len(points["metrics"]["accuracy"]) == MANY
    front = FrontView.model_validate(get(http, "/v1/studies/demo/front"))
    assert [number for number, best in zip(points["numbers"], points["on_front"], strict=True) if best] == [
        *front.numbers
    ]
