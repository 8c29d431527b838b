import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from distillation.recipe import Knowledge, Recipe, Stage, Term
from protocol.study import StudySpec
from protocol.suggestion import SuggestionRecord
from protocol.targets import Target
from protocol.tokens import CreateToken, Scope
from service.operations.tokens import create_token, open_session
from service.settings import sqlite_url
from service.store import migrate
from service.store.engine import open_engine, writing
from service.store.tables import Table
from service.store.unit_of_work import Store
from tests.databases import postgres_server


@pytest.fixture(scope="module")
def postgres():
    with postgres_server() as server:
        yield server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """A database without any table."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    url = request.getfixturevalue("postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url


def tables(database_url):
    url = make_url(database_url)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


@contextmanager
def connected(database_url):
    engine = open_engine(database_url)
    try:
        with writing(engine).begin() as connection:
            yield connection
    finally:
        engine.dispose()


def test_failures_come_and_go_with_their_revision_and_the_rows_stay(database_url):
    """Also of a study that rows of other tables refer to."""
    migrate.upgrade(database_url, "0001")
    with connected(database_url) as connection:
        connection.execute(
            text(
                "INSERT INTO studies (id, name, digest, spec, state, created_at, notes, error, suggester_attempt)"
                " VALUES (1, 'old', 'd', '{}', 'failed', '2026-01-01 00:00:00+00:00', '[]', 'it broke', 0)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO jobs (id, study_id, kind, work, created_at, state, attempt, released)"
                " VALUES (1, 1, 'prepare', '{}', '2026-01-01 00:00:00+00:00', 'failed', 1, 0)"
            )
        )
    migrate.upgrade(database_url)
    with connected(database_url) as connection:
        assert connection.execute(text("SELECT error, failure FROM studies")).all() == [("it broke", None)]
        connection.execute(text("UPDATE studies SET failure = 'invalid'"))
    migrate.downgrade(database_url, "0001")
    with connected(database_url) as connection:
        columns = {
            column["name"] for table in ("studies", "finalists") for column in inspect(connection).get_columns(table)
        }
        assert "failure" not in columns
        assert connection.execute(
            text("SELECT studies.error, jobs.state FROM jobs JOIN studies ON study_id = studies.id")
        ).all() == [("it broke", "failed")]
    migrate.upgrade(database_url)
    assert migrate.difference(database_url) == []


def test_recipes_of_weights_become_recipes_of_terms_and_back(database_url):
    old = {
        "steps": 70,
        "weights": {"logits": 2.0, "hidden_states": 0.5, "hard_labels": 0.0},
        "matching": "uniform",
        "temperature": 3.0,
        "initialisation": "teacher",
    }
    migrate.upgrade(database_url, "0002")
    spec = {"name": "old", "teacher": "built-in", "task": {"dataset": "docstrings"}, "distillation": old}
    with connected(database_url) as connection:
        connection.execute(
            text(
                "INSERT INTO studies (id, name, digest, spec, state, created_at, notes, suggester_attempt)"
                " VALUES (1, 'old', 'd', :spec, 'running', '2026-01-01 00:00:00+00:00', '[]', 0)"
            ),
            {"spec": json.dumps(spec)},
        )
        connection.execute(
            text(
                "INSERT INTO jobs (id, study_id, kind, work, created_at, state, attempt, released)"
                " VALUES (1, 1, 'distill', :work, '2026-01-01 00:00:00+00:00', 'queued', 0, 0)"
            ),
            {"work": json.dumps({"kind": "distill", "recipe": old})},
        )
    migrate.upgrade(database_url)
    spec = StudySpec.model_validate_json(json.dumps(stored(database_url, "spec", "studies")))
    assert spec.distillation == Recipe(
        steps=70,
        stages=(
            Stage(
                terms=(
                    Term(knowledge=Knowledge.LOGITS, weight=2.0, temperature=3.0),
                    Term(knowledge=Knowledge.HIDDEN_STATES, weight=0.5, embeddings=True),
                    Term(knowledge=Knowledge.HARD_LABELS, weight=0.0),
                )
            ),
        ),
    )
    assert stored(database_url, "work", "jobs")["recipe"]["initialisation"] == "lower"
    migrate.downgrade(database_url, "0002")
    assert stored(database_url, "spec", "studies")["distillation"] == old
    assert stored(database_url, "work", "jobs")["recipe"] == old


def test_calibrations_come_and_go_with_their_revision_and_the_trials_stay(database_url):
    migrate.upgrade(database_url, "0003")
    with connected(database_url) as connection:
        connection.execute(
            text(
                "INSERT INTO studies (id, name, digest, spec, state, created_at, notes, suggester_attempt)"
                " VALUES (1, 'old', 'd', '{}', 'searching', '2026-01-01 00:00:00+00:00', '[]', 0)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO trials (id, study_id, number, state, architecture, architecture_key, origin, created_at,"
                " metrics, variances, predicted)"
                " VALUES (1, 1, 1, 'pending', '{}', 'k', 'sobol', '2026-01-01 00:00:00+00:00', '{}', '{}', '{}')"
            )
        )
    migrate.upgrade(database_url)
    with connected(database_url) as connection:
        assert connection.execute(text("SELECT origin, predicted_latency FROM trials")).all() == [("sobol", None)]
        assert connection.execute(text("SELECT count(*) FROM calibrations")).scalar_one() == 0
    migrate.downgrade(database_url, "0003")
    assert "calibrations" not in tables(database_url)
    with connected(database_url) as connection:
        assert "predicted_latency" not in {column["name"] for column in inspect(connection).get_columns("trials")}
        assert connection.execute(text("SELECT origin FROM trials")).scalar_one() == "sobol"


def stored(database_url, column, table):
    with connected(database_url) as connection:
        value = connection.execute(text(f"SELECT {column} FROM {table}")).scalar_one()
    return json.loads(value) if isinstance(value, str) else value


def test_decisions_to_stop_come_and_go_with_their_revision_and_the_rows_stay(database_url):
    shape = {"layers": 1, "hidden_size": 8, "heads": 1, "head_size": 8, "ffn_size": 8, "vocabulary_size": 10}
    migrate.upgrade(database_url, "0003")
    with connected(database_url) as connection:
        connection.execute(
            text(
                "INSERT INTO studies (id, name, digest, spec, state, created_at, notes, suggester_attempt)"
                " VALUES (1, 'old', 'd', '{}', 'searching', '2026-01-01 00:00:00+00:00', '[]', 0)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO trials (id, study_id, number, state, architecture, architecture_key, origin, created_at,"
                " metrics, variances, predicted)"
                " VALUES (1, 1, 1, 'distilling', :shape, 'k', 'sobol', '2026-01-01 00:00:00+00:00', '{}', '{}', '{}')"
            ),
            {"shape": json.dumps(shape)},
        )
    migrate.upgrade(database_url)
    store = Store(database_url)
    with store.read() as uow:
        assert uow.trials.get(1).early_stop is None
    store.close()
    migrate.downgrade(database_url, "0003")
    with connected(database_url) as connection:
        columns = {column["name"] for table in ("jobs", "trials") for column in inspect(connection).get_columns(table)}
        assert columns.isdisjoint({"early_stop", "curve"})
        assert connection.execute(text("SELECT state FROM trials")).all() == [("distilling",)]
    migrate.upgrade(database_url)
    assert migrate.difference(database_url) == []


def test_suggestions_come_and_go_with_their_revision_and_the_rows_stay(database_url):
    shape = {"layers": 1, "hidden_size": 8, "heads": 1, "head_size": 8, "ffn_size": 8, "vocabulary_size": 10}
    migrate.upgrade(database_url, "0006")
    with connected(database_url) as connection:
        connection.execute(
            text(
                "INSERT INTO studies (id, name, digest, spec, state, created_at, notes, suggester_attempt)"
                " VALUES (1, 'old', 'd', '{}', 'searching', '2026-01-01 00:00:00+00:00', '[]', 0)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO trials (id, study_id, number, state, architecture, architecture_key, origin, created_at,"
                " metrics, variances, predicted)"
                " VALUES (1, 1, 1, 'distilling', :shape, 'k', 'sobol', '2026-01-01 00:00:00+00:00', '{}', '{}', '{}')"
            ),
            {"shape": json.dumps(shape)},
        )
    migrate.upgrade(database_url)
    store = Store(database_url)
    with store.write() as uow:
        trial = uow.trials.get(1)
        assert trial.suggestion is None
        trial.suggestion = SuggestionRecord(strategy="sobol", seconds=1.5)
    with store.read() as uow:
        assert uow.trials.get(1).suggestion == SuggestionRecord(strategy="sobol", seconds=1.5)
    store.close()
    migrate.downgrade(database_url, "0006")
    with connected(database_url) as connection:
        assert "suggestion" not in {column["name"] for column in inspect(connection).get_columns("trials")}
        assert connection.execute(text("SELECT state FROM trials")).all() == [("distilling",)]


def test_migrations_lead_to_the_tables_in_the_code(database_url):
    migrate.upgrade(database_url)
    assert migrate.difference(database_url) == []
    assert tables(database_url) == {*Table.metadata.tables, "alembic_version"}


def test_migrations_lead_back_to_nothing_and_up_again(database_url):
    migrate.upgrade(database_url)
    migrate.downgrade(database_url, "base")
    assert tables(database_url) == {"alembic_version"}
    migrate.upgrade(database_url)
    assert migrate.difference(database_url) == []


def test_database_that_is_up_to_date_is_left_alone(database_url):
    migrate.upgrade(database_url)
    migrate.upgrade(database_url)
    assert migrate.difference(database_url) == []


def test_processes_that_migrate_at_once_do_it_once(database_url):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate.upgrade(database_url), range(4)))
    assert migrate.difference(database_url) == []


def test_missing_migration_is_noticed(database_url):
    migrate.upgrade(database_url)
    migrate.downgrade(database_url, "base")
    lines = migrate.difference(database_url)
    assert any("add_table" in line and "studies" in line for line in lines)


def test_check_says_by_its_exit_code_that_nothing_lacks():
    assert migrate.main(["--check"]) == 0


def test_migrations_are_found_in_a_checkout(pytestconfig):
    assert migrate.migrations() == pytestconfig.rootpath / "alembic"


def test_open_measurements_say_all_that_they_need_and_studies_stay_with_their_hardware(database_url):
    migrate.upgrade(database_url, "0003")
    profile = {"device": "cpu", "runtime": "torch", "dtype": "bfloat16", "threads": 2}
    jobs = [
        (1, "calibrate", "done", "cpu/torch", profile),
        (2, "measure", "queued", "cpu/torch", profile),
        (3, "finalize", "leased", "cpu/torch", profile),
        (4, "distill", "queued", None, None),
    ]
    with connected(database_url) as connection:
        connection.execute(
            text(
                "INSERT INTO studies (id, name, digest, spec, state, created_at, notes, suggester_attempt)"
                " VALUES (1, 'old', 'd', '{}', 'searching', '2026-01-01 00:00:00+00:00', '[]', 0)"
            )
        )
        for identity, kind, state, target, wanted in jobs:
            connection.execute(
                text(
                    "INSERT INTO jobs (id, study_id, kind, target, work, created_at, state, attempt, released)"
                    " VALUES (:id, 1, :kind, :target, :work, '2026-01-01 00:00:00+00:00', :state, 0, 0)"
                ),
                {
                    "id": identity,
                    "kind": kind,
                    "state": state,
                    "target": target,
                    "work": json.dumps({"profile": wanted}),
                },
            )
        for identity, key in ((1, "first"), (2, "second")):
            connection.execute(
                text(
                    "INSERT INTO measurements (id, study_id, role, name, measurement, samples, samples_s, created_at)"
                    " VALUES (:id, 1, 'reference', 'teacher', :measurement, 1, '[]', '2026-01-01 00:00:00+00:00')"
                ),
                {"id": identity, "measurement": json.dumps({"hardware_key": key})},
            )
        connection.execute(
            text(
                "INSERT INTO workers (name, kinds, targets, seen_at)"
                " VALUES ('w', '[]', '[\"cpu/torch\"]', '2026-01-01 00:00:00+00:00')"
            )
        )
    migrate.upgrade(database_url)
    with connected(database_url) as connection:
        assert connection.execute(text("SELECT hardware_key FROM studies")).all() == [("first",)]
        found = connection.execute(text("SELECT id, target, hardware_key FROM jobs ORDER BY id")).all()
    assert found == [
        (1, "cpu/torch", None),
        (2, "cpu/torch/bfloat16/2", "first"),
        (3, None, None),
        (4, None, None),
    ]
    store = Store(database_url)
    with store.write() as uow:
        (worker,) = uow.workers.all()
        assert [target.label for target in worker.targets] == ["cpu/torch"]
        worker.targets = (Target(device="cpu", runtime="torch", threads=2, hardware_key="first"),)
    store.close()
    assert migrate.difference(database_url) == []
    migrate.downgrade(database_url, "0003")
    assert stored(database_url, "targets", "workers") == ["cpu/torch"]
    with connected(database_url) as connection:
        found = connection.execute(text("SELECT id, target FROM jobs ORDER BY id")).all()
    assert found == [(1, "cpu/torch"), (2, "cpu/torch"), (3, "cpu/torch"), (4, None)]


def test_artefacts_of_before_are_as_young_as_they_are_and_no_number_of_a_job_returns(database_url):
    migrate.upgrade(database_url, "0006")
    with connected(database_url) as connection:
        connection.execute(
            text("INSERT INTO artefacts (id, size_bytes, created_at) VALUES ('a', 1, '2026-01-01 00:00:00+00:00')")
        )
        connection.execute(
            text(
                "INSERT INTO studies (id, name, digest, spec, state, created_at, notes, suggester_attempt)"
                " VALUES (1, 'old', 'd', '{}', 'failed', '2026-01-01 00:00:00+00:00', '[]', 0)"
            )
        )
        for _ in range(2):
            connection.execute(text(NEW_JOB))
    migrate.upgrade(database_url)
    with connected(database_url) as connection:
        row = connection.execute(text("SELECT created_at, touched_at, examined FROM artefacts")).one()
        assert (row.touched_at, bool(row.examined)) == (row.created_at, False)
        assert connection.execute(text("SELECT suggestions, suggesting_s FROM studies")).all() == [(0, 0.0)]
        connection.execute(text("DELETE FROM jobs WHERE id = 2"))
        connection.execute(text(NEW_JOB))
        assert connection.execute(text("SELECT max(id) FROM jobs")).scalar_one() == 3
    migrate.downgrade(database_url, "0006")
    with connected(database_url) as connection:
        assert connection.execute(text("SELECT id FROM jobs ORDER BY id")).scalars().all() == [1, 3]
        assert connection.execute(text("SELECT id FROM artefacts")).scalars().all() == ["a"]
    migrate.upgrade(database_url)
    assert migrate.difference(database_url) == []


NEW_JOB = (
    "INSERT INTO jobs (study_id, kind, work, created_at, state, attempt, released)"
    " VALUES (1, 'prepare', '{}', '2026-01-01 00:00:00+00:00', 'failed', 1, 0)"
)


def test_stopped_studies_go_on_where_an_older_service_takes_over(database_url):
    migrate.upgrade(database_url, "0006")
    at = "2026-01-02 00:00:00+00:00"
    with connected(database_url) as connection:
        connection.execute(
            text(
                "INSERT INTO studies (id, name, digest, spec, state, created_at, notes, suggester_attempt)"
                " VALUES (1, 'old', 'd', '{}', 'searching', '2026-01-01 00:00:00+00:00', '[]', 0)"
            )
        )
        for identity, state in ((1, "done"), (2, "leased"), (3, "queued")):
            connection.execute(
                text(
                    "INSERT INTO jobs (id, study_id, kind, work, created_at, state, attempt, released)"
                    " VALUES (:id, 1, 'prepare', '{}', '2026-01-01 00:00:00+00:00', :state, 1, 0)"
                ),
                {"id": identity, "state": state},
            )
    migrate.upgrade(database_url)
    assert migrate.difference(database_url) == []
    with connected(database_url) as connection:
        assert connection.execute(text("SELECT state FROM jobs ORDER BY id")).scalars().all() == [
            "done",
            "leased",
            "queued",
        ]
        stopped = {"at": at}
        connection.execute(
            text("UPDATE studies SET state = 'stopped', stopped_from = 'searching', stopped_at = :at"), stopped
        )
        connection.execute(text("UPDATE jobs SET state = 'cancelled', ended_at = :at WHERE id > 1"), stopped)
    migrate.downgrade(database_url, "0006")
    assert {"events", "idempotency_keys"}.isdisjoint(tables(database_url))
    with connected(database_url) as connection:
        assert connection.execute(text("SELECT state FROM studies")).scalar_one() == "searching"
        states = connection.execute(text("SELECT state FROM jobs ORDER BY id")).scalars().all()
        assert states == ["done", "queued", "queued"]
        assert "stopped_from" not in {column["name"] for column in inspect(connection).get_columns("studies")}
        indexes = {index["name"] for index in inspect(connection).get_indexes("jobs")}
        assert {"ix_jobs_state_id", "ix_jobs_study_id_state", "ix_jobs_trial_id"} <= indexes
    migrate.upgrade(database_url)
    assert migrate.difference(database_url) == []


def test_last_attempts_of_old_jobs_are_known_and_their_turn_is_kept(database_url):
    rows = [
        (1, "prepare", "done", 3, 1, "a", "2026-01-01 00:00:00+00:00", "2026-01-01 00:01:00+00:00"),
        (2, "measure", "queued", 2, 0, None, "2026-01-01 00:02:00+00:00", None),
        (3, "distill", "leased", 2, 0, "b", "2026-01-01 00:03:00+00:00", None),
        (4, "measure", "queued", 0, 0, None, None, None),
        (5, "measure", "failed", 3, 0, "c", "2026-01-01 00:04:00+00:00", "2026-01-01 00:04:30+00:00"),
    ]
    migrate.upgrade(database_url, "0006")
    with connected(database_url) as connection:
        connection.execute(
            text(
                "INSERT INTO studies (id, name, digest, spec, state, created_at, notes, suggester_attempt)"
                " VALUES (1, 'old', 'd', '{}', 'searching', '2026-01-01 00:00:00+00:00', '[]', 0)"
            )
        )
        for identity, kind, state, attempt, released, worker, leased_at, ended_at in rows:
            connection.execute(
                text(
                    "INSERT INTO jobs (id, study_id, kind, work, created_at, state, attempt, released, worker,"
                    " leased_at, ended_at) VALUES (:id, 1, :kind, '{}', '2026-01-01 00:00:00+00:00', :state, :attempt,"
                    " :released, :worker, :leased_at, :ended_at)"
                ),
                {
                    "id": identity,
                    "kind": kind,
                    "state": state,
                    "attempt": attempt,
                    "released": released,
                    "worker": worker,
                    "leased_at": leased_at,
                    "ended_at": ended_at,
                },
            )
    migrate.upgrade(database_url)
    store = Store(database_url)
    with store.read() as uow:
        seen = [attempt for job in range(1, 6) for attempt in uow.attempts.of(job)]
        assert [(one.job_id, one.attempt, one.worker, one.reason, one.seconds) for one in seen] == [
            (1, 3, "a", "done", 60),
            (2, 2, "", "error", 0),
            (3, 2, "b", None, None),
            (5, 3, "c", "error", 30),
        ]
        assert [uow.jobs.lanes([kind]) != [] for kind in ("measure", "distill")] == [True, False]
    store.close()
    with connected(database_url) as connection:
        assert connection.execute(text("SELECT failures FROM jobs ORDER BY id")).scalars().all() == [0, 2, 1, 0, 0]
    assert migrate.difference(database_url) == []
    migrate.downgrade(database_url, "0006")
    assert {"attempts", "stale_writes"}.isdisjoint(tables(database_url))
    with connected(database_url) as connection:
        assert connection.execute(text("SELECT count(*) FROM jobs")).scalar_one() == 5


def test_tokens_come_and_go_with_their_revision(database_url):
    migrate.upgrade(database_url)
    store = Store(database_url)
    with store.write() as uow:
        token = create_token(uow, CreateToken(name="mine", scope=Scope.READ_ONLY))
        open_session(uow, token.id)
    with store.read() as uow:
        assert [row.scope for row in uow.tokens.everything()] == [Scope.READ_ONLY] * 2
    store.close()
    migrate.downgrade(database_url, "0006")
    assert "tokens" not in tables(database_url)
    migrate.upgrade(database_url)
    assert migrate.difference(database_url) == []
