"""Leases against a model of them: whatever is sent, in whatever order, and however late."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from protocol.jobs import (
    AttemptEnd,
    Command,
    Evaluated,
    Failure,
    FailureReason,
    Grant,
    JobKind,
    JobState,
    Release,
    Renewal,
    Report,
)
from protocol.study import StudySpec
from search_space import Architecture
from service.errors import LeaseLostError
from service.operations import jobs
from service.operations.audit import audited
from service.operations.failures import fail_study
from service.operations.studies import create_study
from service.operations.trials import add_trial
from service.store.attempts import MOST_STALE

MAX_ATTEMPTS = 3
WORKERS = st.sampled_from(["a", "b", "c"])
METRICS = {"accuracy": 0.5, "energy": 2.0}
OUTCOMES = st.sampled_from(
    [
        Evaluated(metrics=METRICS),
        Evaluated(metrics=METRICS, infeasible="too hot"),
        Failure(reason=FailureReason.ERROR, message="it broke"),
        Failure(reason=FailureReason.INVALID, message="it cannot be"),
        Failure(reason=FailureReason.OUT_OF_MEMORY, message="it does not fit"),
    ]
)
counter = itertools.count()


@dataclass
class Modelled:
    """What a job should be like."""

    study: str
    priority: int
    state: JobState = JobState.QUEUED
    attempt: int = 0
    released: int = 0
    failures: int = 0
    expires_at: datetime | None = None
    reported: tuple[int, str] | None = None
    accepted: int = 0
    refused: int = 0
    ends: dict[int, AttemptEnd | None] = field(default_factory=dict)

    def broke(self, reason: AttemptEnd, *, retriable: bool = True) -> None:
        self.ends[self.attempt] = reason
        self.failures += 1
        again = retriable and self.attempt - self.released < MAX_ATTEMPTS
        self.state = JobState.QUEUED if again else JobState.FAILED


class Leases(RuleBasedStateMachine):
    grants = Bundle("grants")

    def __init__(self, worker, clock):
        super().__init__()
        self.worker, self.clock = worker, clock
        self.jobs: dict[int, Modelled] = {}
        self.requests: dict[str, tuple[str, Grant | None]] = {}
        self.told: list[tuple[Grant, Evaluated | Failure]] = []

    @initialize(counts=st.tuples(st.integers(2, 3), st.integers(0, 2)), priority=st.sampled_from([0, 0, 1]))
    def begin(self, counts, priority):
        for count, rank in zip(counts, (0, priority), strict=True):
            name = f"study-{next(counter)}"
            with self.worker.store.write() as uow:
                create_study(uow, spec(name, rank))
                study = uow.studies.find(name)
                for layers in range(1, count + 1):
                    add_trial(uow, study, shape(layers), "test")
                uow.flush()
                self.jobs |= {job.id: Modelled(study=name, priority=rank) for job in uow.jobs.open(study.id)}

    # --- what workers do

    @rule(target=grants, worker=WORKERS, named=st.booleans())
    def lease(self, worker, named):
        request = f"request-{next(counter)}" if named else None
        grant = self.worker.lease(worker, kinds=(JobKind.EVALUATE,), request=request)
        self.expire()
        turn = self.turn()
        assert (None if grant is None else grant.job) == turn
        if request is not None:
            self.requests[request] = worker, grant
        if grant is None:
            return multiple()
        job = self.jobs[turn]
        job.attempt += 1
        job.state, job.expires_at, job.ends[job.attempt] = JobState.LEASED, grant.expires_at, None
        assert grant.attempt == job.attempt
        return grant

    @rule(data=st.data())
    def ask_again(self, data):
        """A request whose answer was lost, or that the network delivers twice."""
        granted = {name: held for name, held in self.requests.items() if held[1] is not None}
        if not granted:
            return
        name = data.draw(st.sampled_from(sorted(granted)))
        worker, before = granted[name]
        again = self.worker.lease(worker, kinds=(JobKind.EVALUATE,), request=name)
        job = self.jobs[before.job]
        if job.state is JobState.LEASED and job.attempt == before.attempt:
            assert (again.job, again.attempt, again.work) == (before.job, before.attempt, before.work)
            job.expires_at = again.expires_at
        else:
            assert again is None

    @rule(grant=grants, late=st.integers(0, 1))
    def renew(self, grant, late):
        job = self.jobs[grant.job]
        if self.is_stale(job, grant, may_be_cancelled=True):
            self.refuse(grant, Renewal(attempt=grant.attempt, number=late))
            return
        renewed = self.worker.renew(grant, number=late)
        assert renewed.command is (Command.CANCEL if job.state is JobState.CANCELLED else Command.CONTINUE)
        if job.state is JobState.LEASED:
            job.expires_at = renewed.expires_at

    @rule(grant=grants, outcome=OUTCOMES)
    def report(self, grant, outcome):
        job = self.jobs[grant.job]
        self.told.append((grant, outcome))
        told = grant.attempt, outcome.model_dump_json()
        if job.reported == told:
            self.worker.report(grant, outcome)
            return
        if self.is_stale(job, grant):
            self.refuse(grant, Report(attempt=grant.attempt, result=outcome))
            return
        self.worker.report(grant, outcome)
        job.reported = told
        if isinstance(outcome, Failure):
            job.broke(AttemptEnd(outcome.reason), retriable=outcome.retriable)
            return
        job.state, job.accepted = JobState.DONE, job.accepted + 1
        job.ends[job.attempt] = AttemptEnd.INFEASIBLE if outcome.infeasible else AttemptEnd.DONE

    @rule(data=st.data())
    def report_again(self, data):
        """The answer to a report was lost, or the network delivers it twice, perhaps much later."""
        if self.told:
            grant, outcome = data.draw(st.sampled_from(self.told))
            self.report(grant, outcome)

    @rule(grant=grants, times=st.integers(1, 2))
    def release(self, grant, times):
        """Also twice in a row: the first answer was lost."""
        for _ in range(times):
            self.release_once(grant)

    def release_once(self, grant):
        job = self.jobs[grant.job]
        if job.ends[grant.attempt] is AttemptEnd.RELEASED:
            self.worker.release(grant)
        elif self.is_stale(job, grant, may_be_cancelled=True):
            self.refuse(grant, Release(attempt=grant.attempt))
        else:
            self.worker.release(grant)
            if job.state is JobState.LEASED:
                job.state, job.released = JobState.QUEUED, job.released + 1
                job.ends[job.attempt] = AttemptEnd.RELEASED

    @rule(grant=grants, ahead=st.sampled_from([-7, 1, 2**40]))
    def forge(self, grant, ahead):
        """An attempt that was never granted."""
        forged = grant.model_copy(update={"attempt": self.jobs[grant.job].attempt + ahead})
        self.refuse(forged, Renewal(attempt=forged.attempt))

    # --- what happens to them

    @rule(seconds=st.sampled_from([1, 14, 15, 29, 30, 31, 200]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def sweep(self):
        with self.worker.store.write() as uow:
            swept = jobs.sweep(uow, self.worker.settings)
        assert swept == self.expire()

    @rule(data=st.data())
    def give_up(self, data):
        """A study ends under its workers' hands; seldom, or little else would be seen."""
        if data.draw(st.integers(0, 9)):
            return
        name = data.draw(st.sampled_from(sorted({job.study for job in self.jobs.values()})))
        self.end(name)
        for job in self.jobs.values():
            if job.study == name and job.state in (JobState.QUEUED, JobState.LEASED):
                if job.state is JobState.LEASED:
                    job.ends[job.attempt] = AttemptEnd.CANCELLED
                job.state = JobState.CANCELLED

    # --- what must hold

    @invariant()
    def store_is_as_modelled(self):
        with self.worker.store.read() as uow:
            for identity, job in self.jobs.items():
                row = uow.jobs.get(identity)
                assert (row.state, row.attempt, row.released, row.failures) == (
                    job.state,
                    job.attempt,
                    job.released,
                    job.failures,
                )
                assert {one.attempt: one.reason for one in uow.attempts.of(identity)} == job.ends
                assert row.stale_writes == job.refused
                assert job.accepted == (job.state is JobState.DONE)

    def teardown(self):
        """None is lost: whoever goes on working has them all ended."""
        try:
            for _ in range(MAX_ATTEMPTS * len(self.jobs) + 1):
                self.clock.advance(1000)
                grant = self.lease("z", named=False)
                if not isinstance(grant, Grant):
                    break
                self.report(grant, Evaluated(metrics=METRICS))
            ended = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
            assert all(job.state in ended for job in self.jobs.values())
            self.store_is_as_modelled()
            with self.worker.store.read() as uow:
                for identity, job in self.jobs.items():
                    assert len(uow.attempts.stale(identity)) == min(job.refused, MOST_STALE)
        finally:
            for name in {job.study for job in self.jobs.values()}:
                self.end(name)

    # --- the model

    def is_stale(self, job, grant, *, may_be_cancelled=False):
        states = (JobState.LEASED, JobState.CANCELLED) if may_be_cancelled else (JobState.LEASED,)
        return job.attempt != grant.attempt or job.state not in states

    def refuse(self, grant, message):
        calls = {Renewal: jobs.renew, Report: jobs.report, Release: lambda uow, _, *rest: jobs.release(uow, *rest)}
        with pytest.raises(LeaseLostError), audited(self.worker.store, grant.job, message) as uow:
            calls[type(message)](uow, self.worker.settings, grant.job, message)
        self.jobs[grant.job].refused += 1

    def turn(self):
        """The job that is to be leased next."""
        queued = {identity: job for identity, job in self.jobs.items() if job.state is JobState.QUEUED}
        leased = [job.study for job in self.jobs.values() if job.state is JobState.LEASED]

        def rank(identity):
            job = queued[identity]
            return -job.priority, leased.count(job.study), int(job.study.partition("-")[2]), job.failures, identity

        return min(queued, key=rank, default=None)

    def expire(self):
        expired = [job for job in self.jobs.values() if job.state is JobState.LEASED and job.expires_at <= self.clock()]
        for job in expired:
            job.broke(AttemptEnd.LEASE_EXPIRED)
        return len(expired)

    def end(self, name):
        with self.worker.store.write() as uow:
            study = uow.studies.lock(uow.studies.find(name).id)
            if study.ended_at is None:
                fail_study(uow, study, "nobody wants it any more", FailureReason.ERROR)


def spec(name, priority):
    return StudySpec.model_validate(
        {
            "name": name,
            "external": True,
            "priority": priority,
            "search_space": {"layers": [1, 2, 3], "hidden_size": 16, "heads": 1, "ffn_size": 16},
            "objectives": {"accuracy": "maximize", "energy": "minimize"},
            "strategy": "random",
        }
    )


def shape(layers):
    return Architecture(vocabulary_size=30_522, layers=layers, hidden_size=16, heads=1, head_size=16, ffn_size=16)


def explore(worker, clock, *, examples, steps):
    """Every run is another one; a failure prints the steps that led to it."""
    run_state_machine_as_test(
        partial(Leases, worker, clock),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_job_is_accepted_twice_none_is_lost_and_every_stale_write_is_refused(worker, clock):
    explore(worker, clock, examples=15, steps=20)


@pytest.mark.chaos
def test_no_job_is_accepted_twice_none_is_lost_whatever_happens(worker, clock):
    explore(worker, clock, examples=400, steps=60)
