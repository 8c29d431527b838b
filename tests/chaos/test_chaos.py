"""Everything that may fail does, again and again; at the end nothing is lost and nothing counted twice.

Real processes over loopback: the service, its suggesters, workers whose jobs are small (`roles.py`), a network with
faults (`proxy.py`). Each round one thing happens to one of them, and the fleet must get on before the next.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import socket
import time
from collections import Counter
from contextlib import suppress

import pytest
from sqlalchemy import text

from client import Client, ClientError
from protocol.study import StudySpec
from search_space import Architecture
from service.store.artefact_files import ArtefactFiles
from service.store.engine import open_engine, reading
from tests.chaos import roles
from tests.chaos.proxy import FaultyProxy
from tests.outcomes import SEARCH_SPACE

pytestmark = pytest.mark.chaos

ROUNDS = {"sqlite": 60, "postgresql": 140}
"""200 in all. `STILLHOUSE_CHAOS_ROUNDS` is another number for each, for who looks for the rare."""

PATIENCE_S = 60.0
"""In which the fleet must get on after a round."""

TRIALS = 6
SPEC = {
    "teacher": "built-in",
    "task": {"dataset": "docstrings"},
    "search_space": SEARCH_SPACE,
    "target": {"batch": 1, "length": 32, "threads": 1},
    "distillation": {"steps": 1000},
    "budget": {"trials": TRIALS, "finalists": 1, "measuring": "quick", "final_measuring": "quick"},
    "strategy": "random",
}


class Fleet:
    """Processes by name; each is started again whenever it was killed."""

    def __init__(self, database, home, rng, replicas):
        self.database, self.home, self.random = database, home, rng
        self._context = multiprocessing.get_context("forkserver")  # what is heavy is imported once
        self._context.set_forkserver_preload(["tests.chaos.roles"])
        ports = [free_port() for _ in range(replicas)]
        self.proxy = FaultyProxy(ports, rate=0.1, seed=rng.randrange(2**32))
        self._starts = {}
        for place, port in enumerate(ports):
            self._starts[f"server-{place}"] = (roles.run_server, home, database.url, port)
        for place in range(2):
            self._starts[f"suggester-{place}"] = (roles.run_suggesting, home, database.url)
        for place, skew_s in enumerate((0.0, 86_400.0, -86_400.0, 3.0)):
            name = f"worker-{place}"
            self._starts[name] = (roles.run_worker, self.proxy.url, home / name, name, skew_s)
        self.running = {}
        self.frozen = {}
        for name in self._starts:
            self.start(name)

    def names(self, role):
        return [name for name in self._starts if name.startswith(role)]

    def any(self, role):
        return self.random.choice(self.names(role))

    def start(self, name):
        target, *arguments = self._starts[name]
        self.running[name] = self._context.Process(target=target, args=arguments, name=name, daemon=True)
        self.running[name].start()

    def kill(self, name):
        """kill -9, and it is there again."""
        self.running[name].kill()
        self.running[name].join()
        self.frozen.pop(name, None)
        self.start(name)

    def end(self, name):
        """SIGTERM, as at an upgrade."""
        self.thaw()
        self.running[name].terminate()
        self.running[name].join(PATIENCE_S)
        assert self.running[name].exitcode is not None, f"{name} did not end"
        self.start(name)

    def freeze(self, name):
        """Its lease ends meanwhile; later it goes on as if nothing had happened."""
        os.kill(self.running[name].pid, signal.SIGSTOP)
        self.frozen.setdefault(name, time.monotonic())

    def thaw(self, *, after_s=0.0):
        """Those that have been frozen for so long."""
        for name, since_s in list(self.frozen.items()):
            if time.monotonic() >= since_s + after_s:
                os.kill(self.running[name].pid, signal.SIGCONT)
                del self.frozen[name]

    def fill_disk(self, is_full):
        for name in self.names("server"):
            with suppress(ProcessLookupError):
                roles.limit_files(self.running[name].pid, 16 if is_full else -1)

    def mend(self):
        """Nothing happens any more, and what ended by itself is started again."""
        self.thaw()
        self.proxy.rate = 0.0
        self.fill_disk(False)
        for name, process in self.running.items():
            if not process.is_alive():
                self.start(name)

    def close(self):
        self.thaw()
        for process in self.running.values():
            process.kill()
        for process in self.running.values():
            process.join()
        self.proxy.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def happenings(fleet):
    """What may happen, by how often it does."""
    found = {
        "kill -9 of a worker": (4, lambda: fleet.kill(fleet.any("worker"))),
        "kill -9 of a replica": (3, lambda: fleet.kill(fleet.any("server"))),
        "kill -9 of a suggester": (2, lambda: fleet.kill(fleet.any("suggester"))),
        "SIGTERM of a worker": (1, lambda: fleet.end(fleet.any("worker"))),
        "SIGTERM of a replica": (1, lambda: fleet.end(fleet.any("server"))),
        "a worker frozen": (3, lambda: fleet.freeze(fleet.any("worker"))),
        "a replica frozen": (1, lambda: fleet.freeze(fleet.any("server"))),
    }
    found["a full disk"] = (1, lambda: fleet.fill_disk(True))
    if fleet.database.is_postgres:
        found["connections cut"] = (3, fleet.database.cut)
        found["PostgreSQL restarted"] = (1, fleet.database.restart)
    else:
        del found["a full disk"]  # it would be the database's, too, which other tests are about
    return found


class Books:
    """What the database says, and what the processes remember."""

    def __init__(self, database, home):
        self._engine = open_engine(database.url)
        self.home = home

    def rows(self, statement):
        end_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                with reading(self._engine).connect() as connection:
                    return connection.execute(text(statement)).all()
            except Exception:  # it is being restarted
                if time.monotonic() > end_s:
                    raise
                time.sleep(0.1)

    def value(self, statement):
        return self.rows(statement)[0][0]

    def done(self):
        return self.value("SELECT count(*) FROM jobs WHERE state = 'done'")

    def noted(self, what):
        for path in self.home.glob("worker-*/*.ledger"):
            for line in path.read_text().splitlines():
                words = json.loads(line)
                if words["what"] == what:
                    yield words

    def close(self):
        self._engine.dispose()


def test_nothing_is_lost_and_nothing_counted_twice(database, tmp_path, capsys, request):
    store = "postgresql" if database.is_postgres else "sqlite"
    rounds = int(os.environ.get("STILLHOUSE_CHAOS_ROUNDS", ROUNDS[store]))
    rng = random.Random(20260301)
    from service.store.migrate import upgrade

    upgrade(database.url)
    began_s, happened, created = time.monotonic(), Counter(), []
    fleet = Fleet(database, tmp_path, rng, replicas=2 if database.is_postgres else 1)
    books = Books(database, tmp_path)
    try:
        with Client(fleet.proxy.url, patience_s=20.0) as client:
            may_happen = happenings(fleet)
            names = [name for name, (weight, _) in may_happen.items() for _ in range(weight)]
            for _ in range(rounds):
                keep_busy(client, books, created)
                name = rng.choice(names)
                happened[name] += 1
                may_happen[name][1]()
                get_on(books, fleet)
                fleet.thaw(after_s=1.5 * roles.LEASE_S)
            fleet.mend()
            until(lambda: books.value(OPEN_STUDIES) == 0, "all studies to end")
        found = audit(books, created, ArtefactFiles(tmp_path / "artefacts"))
    finally:
        fleet.close()
        books.close()
    took_s = time.monotonic() - began_s
    with capsys.disabled():
        print(
            f"\nchaos on {store}: {rounds} rounds in {took_s:.0f} s ({told(happened)}); the network: "
            f"{told(fleet.proxy.met)}; {found['jobs']} jobs of {len(created)} studies in {found['grants']} leases; "
            f"lost: {len(found['lost'])}, doubled: {len(found['doubled'])}"
        )
    assert found["lost"] == []
    assert found["doubled"] == []
    assert found["jobs"] >= rounds


OPEN_STUDIES = "SELECT count(*) FROM studies WHERE ended_at IS NULL"


def keep_busy(client, books, created):
    """There are always some studies under way. A creation that was not acknowledged is sent again."""
    while books.value(OPEN_STUDIES) < 3:
        spec = StudySpec.model_validate({**SPEC, "name": f"study-{len(created)}", "seed": len(created)})
        end_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                client.studies.create(spec)
                break
            except ClientError:
                if time.monotonic() > end_s:
                    raise
        created.append(spec.name)


def get_on(books, fleet):
    """Some results are accepted while it is as it is, or after it was mended."""
    before, began_s = books.done(), time.monotonic()

    def has_got_on():
        if time.monotonic() > began_s + 2 * roles.LEASE_S:
            fleet.thaw()
            fleet.fill_disk(False)
        return books.done() > before or books.value(OPEN_STUDIES) == 0

    until(has_got_on, "the fleet to get on")


def until(found, what):
    """Polls real processes; there is no clock to fake here."""
    end_s = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < end_s, f"waited {PATIENCE_S:g} s for {what}"
        time.sleep(0.05)


def audit(books, created, files):
    """What was acknowledged and is not there, and what is there twice."""
    lost, doubled = [], []
    jobs = {row.id: row for row in books.rows("SELECT id, state, attempt, reported_attempt FROM jobs")}
    accepted = Counter()
    for words in books.noted("accepted"):
        accepted[words["job"]] += 1
        job = jobs.get(words["job"])
        if job is None or job.state != "done" or job.reported_attempt != words["attempt"]:
            lost.append(f"{words} was acknowledged, and the job is {job}")
    doubled += [f"job {job} was accepted from {count} workers" for job, count in accepted.items() if count > 1]
    lost += [f"job {job.id} is {job.state}" for job in jobs.values() if job.state != "done"]

    studies = {row.name: row.state for row in books.rows("SELECT name, state FROM studies")}
    lost += [f"study {name} is {studies.get(name)}" for name in created if studies.get(name) != "completed"]
    trials = books.rows(
        "SELECT studies.name, spec, trials.number, trials.state, architecture, selection, weights"
        " FROM trials JOIN studies ON studies.id = trials.study_id"
        " LEFT JOIN evaluations ON evaluations.trial_id = trials.id AND evaluations.fidelity = 'flash'"
    )
    per_study = Counter(row.name for row in trials)
    lost += [f"study {name} has {count} trials" for name, count in per_study.items() if count < TRIALS]
    doubled += [f"study {name} has {count} trials" for name, count in per_study.items() if count > TRIALS]
    for row in trials:
        lost += mistakes(row, files)
    for statement in ONCE:
        doubled += [f"{tuple(row)}: {statement}" for row in books.rows(statement)]
    artefacts = books.rows("SELECT id FROM artefacts")
    lost += [f"artefact {row.id}" for row in artefacts if not files.exists(row.id)]
    return {"jobs": len(jobs), "grants": sum(1 for _ in books.noted("grant")), "lost": lost, "doubled": doubled}


ONCE = (
    "SELECT trial_id, role, count(*) FROM measurements WHERE trial_id IS NOT NULL GROUP BY trial_id, role"
    " HAVING count(*) > 1",
    "SELECT study_id, name, count(*) FROM measurements WHERE trial_id IS NULL GROUP BY study_id, name"
    " HAVING count(*) > 1",
    "SELECT trial_id, kind, count(*) FROM jobs WHERE trial_id IS NOT NULL GROUP BY trial_id, kind HAVING count(*) > 1",
    "SELECT study_id, kind, count(*) FROM jobs WHERE trial_id IS NULL GROUP BY study_id, kind HAVING count(*) > 1",
)
"""Of each of these there is one: what is found is there twice."""


def mistakes(row, files):
    """Whether the trial has the outcome that its own work comes to."""
    if row.state != "completed":
        return [f"trial {row.number} of {row.name} is {row.state}"]
    architecture = Architecture(**_json(row.architecture))
    digest = roles.chain(architecture, (_json(row.spec)["seed"] + row.number) % 2**31)
    found = []
    if _json(row.selection)["value"] != roles.score(digest).value:
        found.append(f"trial {row.number} of {row.name} has the value of another one")
    (content,) = files.files_of(row.weights)
    if files.path(content).read_bytes() != digest:
        found.append(f"trial {row.number} of {row.name} has the weights of another one")
    return found


def _json(value):
    return json.loads(value) if isinstance(value, str) else value


def told(counts):
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
