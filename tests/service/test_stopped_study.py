"""A whole study in this process: service, suggester and worker loop are real, what the jobs would find out is written
down here. One trial is slow and learns nothing.
"""

import threading
import time
from contextlib import nullcontext
from dataclasses import replace

import httpx
import pytest
from fastapi.testclient import TestClient

from client import Client
from protocol.jobs import CurvePoint, DistillWork, JobKind, MeasureWork
from protocol.targets import Target
from protocol.views import StudyState, TrialState
from service.app import create_app
from service.suggester import Suggester
from worker.errors import Interrupted
from worker.loop import Loop
from worker.shutdown import Shutdown

STEPS, POINTS = 200, (50, 100, 150, 200)
BAD = 10
PATIENCE_S = 60.0


class Bench:
    """A runner of every kind. Distillations go step by step; that of the bad trial waits at half for somebody to end
    it, and says how far it came.
    """

    def __init__(self, answers, upload):
        self.answers, self.upload = answers, upload
        self.bad_steps = None

    def run(self, grant, reporter):
        if isinstance(grant.work, MeasureWork):
            self.answers.latency_s = lambda _: 30e-3 if grant.trial == BAD else 10e-3 - 0.3e-3 * grant.trial
        if isinstance(grant.work, DistillWork):
            return self.distill(grant, reporter)
        return self.answers.to(grant.work)

    def distill(self, grant, reporter):
        final = 0.4 if grant.trial == BAD else 0.7 + 0.01 * grant.trial
        curve = []
        for step in range(1, STEPS + 1):
            if reporter.should_stop():
                self.bad_steps = step - 1
                raise Interrupted("asked to")
            reporter.progress("distilling", step, STEPS)
            if step in POINTS:
                value = final - 0.1 * (POINTS[-1] - step) / 50
                curve.append(CurvePoint(step=step, value=value))
                reporter.evaluated(step, value)
            if grant.trial == BAD and step == POINTS[1]:
                self.wait(reporter)
        outcome = self.answers.to(grant.work)
        score = outcome.selection.model_copy(update={"value": final, "low": final - 0.01, "high": final + 0.01})
        return outcome.model_copy(update={"selection": score, "curve": tuple(curve)})

    def wait(self, reporter):
        end = time.monotonic() + PATIENCE_S
        while not reporter.should_stop() and time.monotonic() < end:
            threading.Event().wait(0.005)


def through(http):
    """The service as a transport: no socket between client and service."""

    def answer(request):
        found = http.request(request.method, request.url.path, content=request.read(), headers=request.headers)
        return httpx.Response(found.status_code, content=found.content)

    return httpx.MockTransport(answer)


@pytest.fixture
def quick(settings):
    """Leases that are renewed many times a second; the clock of these tests stands still, so none expires."""
    return replace(settings, lease_s=0.06)


def test_a_trial_that_is_slow_and_learns_nothing_is_stopped_and_the_study_completes(
    quick, clock, store, spec, answers, tmp_path
):
    changes = {"early_stopping": True, "budget": {**spec["budget"], "trials": 12, "finalists": 1, "flash_floor": STEPS}}
    with TestClient(create_app(quick, clock)) as http, Client("http://testserver", wire=through(http)) as client:
        for name in ("data", "teacher", "weights", "export"):
            (tmp_path / name).write_text(name)
            client.artefacts.upload_file(tmp_path / name)
        assert http.post("/v1/studies", json={"spec": {**spec, **changes}}).status_code == 201
        suggester, shutdown, over = Suggester(store, nullcontext), Shutdown(), threading.Event()

        def suggest():
            while not over.is_set():
                if suggester.step():
                    continue
                with store.read() as uow:
                    if uow.studies.find("demo").ended_at is not None:
                        shutdown.ask()
                over.wait(0.03)

        thread = threading.Thread(target=suggest)
        thread.start()
        bench = Bench(answers, client.artefacts.upload_file)
        loop = Loop(
            "w",
            client.jobs,
            dict.fromkeys(JobKind, bench),
            targets=lambda: (Target(device="cpu", runtime="torch", threads=4, hardware_key="k"),),
            upload=client.artefacts.upload_folder,
            work=tmp_path / "work",
            shutdown=shutdown,
            tell=print,
            wait_s=0.05,
        )
        try:
            loop.run()
        finally:
            over.set()
            thread.join()
        study, trials = client.studies.view("demo"), client.studies.trials("demo")
    assert study.state is StudyState.COMPLETED
    assert study.trials == {"completed": 11, "stopped": 1}
    (stopped,) = [trial for trial in trials if trial.state is TrialState.STOPPED]
    assert stopped.number == BAD
    assert "at best in the end: trial " in stopped.reason
    assert stopped.early_stop.saved_steps == study.saved_steps == STEPS - bench.bad_steps >= STEPS / 2
    assert stopped.evaluation is None
