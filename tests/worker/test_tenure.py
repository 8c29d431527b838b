"""A worker and its jobs, against a service that says what the test wants it to say."""

import itertools
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from client import ProblemError, Unreachable
from distillation.errors import DataError, DivergedError
from distillation.recipe import Recipe
from distillation.values import Dataset, Task, Teacher
from hardware.drift import DriftWatch, ReferenceTime
from hardware.errors import (
    BusyError,
    CompilationError,
    LockError,
    MeasurementError,
    OutOfMemoryError,
    UnsupportedProfileError,
)
from hardware.values import DeviceProfile, HardwareError
from protocol.jobs import (
    Calibrated,
    Command,
    CurvePoint,
    FailureReason,
    Grant,
    JobKind,
    PrepareWork,
    Progress,
    Renewed,
    Stopped,
)
from protocol.log_fields import fields_now
from protocol.problem import Problem
from protocol.targets import Target
from worker.checkpoints import Checkpoints
from worker.errors import Interrupted
from worker.lack import Backoff
from worker.loop import Loop
from worker.shutdown import Shutdown
from worker.tenure import Ending, Tenure

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WORK = PrepareWork(
    task=Task(dataset=Dataset(source="docstrings")), teacher=Teacher(model="built-in"), recipe=Recipe(), seed=0
)
OUTCOME = Calibrated(measurements={})
TARGET = Target(device="cpu", runtime="torch", threads=2, hardware_key="here")
SOON_S = 20.0


def grant(job=1, attempt=1, lease_s=0.06):
    return Grant(job=job, attempt=attempt, study="demo", trial=None, expires_at=NOW, lease_s=lease_s, work=WORK)


def refusal(code, status=409):
    return ProblemError(Problem(title="", status=status, detail=code, code=code))


class Api:
    """The service's side of jobs. `on_renew` gets each renewal and may raise."""

    def __init__(self, grants=(), on_renew=lambda renewal: Command.CONTINUE, when_idle=lambda: None):
        self.grants = list(grants)
        self.on_renew, self.when_idle = on_renew, when_idle
        self.requests, self.renewals, self.reports, self.releases = [], [], [], []

    def lease(self, request):
        self.requests.append(request)
        if not self.grants:
            self.when_idle()
            return None
        answer = self.grants.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def renew(self, job, renewal):
        self.renewals.append(renewal)
        return Renewed(expires_at=NOW, command=self.on_renew(renewal))

    def report(self, job, report):
        self.reports.append((job, report))

    def release(self, job, release):
        self.releases.append((job, release))


class Job:
    """A runner made of a function of the reporter."""

    def __init__(self, body):
        self.body = body

    def run(self, grant, reporter):
        return self.body(reporter)


@pytest.fixture
def shutdown():
    return Shutdown()


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def told():
    return []


@pytest.fixture
def hold(tmp_path, shutdown, pauses, told):
    backoff = Backoff(told.append, pauses.append)

    def hold_(api, body, *, upload=lambda folder: "a" * 64, **options):
        checkpoints = Checkpoints(tmp_path / "outbox", upload)
        tenure = Tenure(
            grant(**options), Job(body), api, checkpoints, shutdown=shutdown, backoff=backoff, work=tmp_path
        )
        return tenure.hold()

    return hold_


def until_stopped(reporter):
    """A job that runs until it is asked to stop."""
    for _ in range(10_000):
        if reporter.should_stop():
            raise Interrupted("asked to")
        threading.Event().wait(0.002)
    raise AssertionError("nobody asked the job to stop")


def write(folder: Path, text="weights"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state").write_text(text)
    return folder


def test_an_outcome_is_reported_with_the_attempt(hold):
    api = Api()
    assert hold(api, lambda reporter: OUTCOME, attempt=3) is Ending.REPORTED
    ((job, report),) = api.reports
    assert (job, report.attempt, report.result) == (1, 3, OUTCOME)
    assert api.releases == []


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (DataError("task.label: no column 'x'"), FailureReason.INVALID, "task.label: no column 'x'"),
        (DivergedError("loss is nan"), FailureReason.DIVERGED, "loss is nan"),
        (OutOfMemoryError("no room\nfor it"), FailureReason.OUT_OF_MEMORY, "no room for it"),
        (CompilationError("no such operator"), FailureReason.INVALID, "no such operator"),
        (UnsupportedProfileError("no GPU here"), FailureReason.INVALID, "no GPU here"),
        (RuntimeError("boom\nand more"), FailureReason.ERROR, "RuntimeError: boom and more"),
        (KeyError(), FailureReason.ERROR, "KeyError"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_an_exception_becomes_a_failure_with_a_reason(hold, error, reason, message):
    api = Api()

    def fail(reporter):
        raise error

    assert hold(api, fail) is Ending.REPORTED
    failure = api.reports[0][1].result
    assert (failure.reason, failure.message) == (reason, message)


def raising(error):
    def body(reporter):
        raise error

    return body


def wrapped(error):
    """An error of ours that the disk's lies behind."""
    ours = DataError("cannot write the data")
    ours.__cause__ = error
    return ours


NO_ROOM = OSError(28, "No space left on device", "/data/model.safetensors")


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (NO_ROOM, "the disk of /data/model.safetensors is full"),
        (wrapped(NO_ROOM), "the disk of /data/model.safetensors is full"),
        (OSError(122, "Disk quota exceeded"), "the disk of {work} is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk of {work} is full"),
        (refusal("storage_full", 507), "the service has no room: storage_full"),
    ],
)
def test_a_full_disk_is_no_attempt_and_is_told_once(hold, told, pauses, tmp_path, error, where):
    api = Api()
    assert [hold(api, raising(error)) for _ in range(8)] == [Ending.LACKING] * 8
    assert api.reports == []
    assert len(api.releases) == 8
    assert told == [f"{where.format(work=tmp_path)}; make room, the study goes on by itself"]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert hold(api, lambda reporter: OUTCOME) is Ending.REPORTED
    assert told[1:] == ["there is room again; the study goes on"]
    hold(api, raising(error))
    assert pauses[8:] == [1]


def test_what_is_lacking_besides_is_told_too(hold, told):
    api = Api()
    in_use = HardwareError("TPU is already in use")
    for error in (in_use, in_use, NO_ROOM, NO_ROOM, in_use):
        assert hold(api, raising(error)) is Ending.LACKING
    assert [line.partition(";")[0] for line in told] == [
        "TPU is already in use",
        "the disk of /data/model.safetensors is full",
        "TPU is already in use",
    ]


@pytest.mark.parametrize(
    "error",
    [
        BusyError("another process on this machine uses libtpu"),
        UnsupportedProfileError(
            "JAX does not start on tpu: Unable to initialize backend 'tpu': ABORTED: The TPU is already in use by"
            " process with pid 7. Not attempting to load libtpu.so in this process."
        ),
        UnsupportedProfileError(
            "PyTorch does not start on CUDA: CUDA error: CUDA-capable device(s) is/are busy or unavailable"
        ),
        MeasurementError(
            "measuring failed: RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable"
        ),
    ],
)
def test_a_device_that_others_use_is_no_attempt_and_is_told_once(hold, told, pauses, error):
    api = Api()
    assert [hold(api, raising(error)) for _ in range(7)] == [Ending.LACKING] * 7
    assert (api.reports, len(api.releases)) == ([], 7)
    assert told == [f"{error}; the study goes on by itself when the device is free"]
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert hold(api, lambda reporter: OUTCOME) is Ending.REPORTED
    assert told[1:] == ["the study goes on: a job has ended"]


def test_an_error_that_does_not_say_so_is_the_disk_s_where_that_is_full(hold, told, tmp_path, monkeypatch):
    monkeypatch.setattr("worker.room.shutil.disk_usage", lambda folder: SimpleNamespace(free=0))
    assert hold(Api(), raising(RuntimeError("file write failed"))) is Ending.LACKING
    assert told[0].startswith(f"the disk of {tmp_path} is full")
    api = Api()
    assert hold(api, raising(DataError("task.label: no column 'x'"))) is Ending.REPORTED
    assert api.reports[0][1].result.reason is FailureReason.INVALID


def test_an_outcome_is_kept_until_the_service_has_room_for_it(hold, told, pauses):
    answers = iter([refusal("storage_full", 507)] * 3)

    class Full(Api):
        def report(self, job, report):
            for error in answers:
                raise error
            super().report(job, report)

    api = Full()
    assert hold(api, lambda reporter: OUTCOME) is Ending.REPORTED
    assert len(api.reports) == 1
    assert pauses == [1, 1, 1]
    assert len(told) == 2


def test_a_disk_that_worker_and_service_share_is_told_by_its_path(hold, told, pauses):
    answers = iter([refusal("storage_full", 507)] * 5)

    class Full(Api):
        def release(self, job, release):
            for error in answers:
                raise error
            super().release(job, release)

    api = Full()
    assert hold(api, raising(NO_ROOM)) is Ending.LACKING
    assert len(api.releases) == 1
    assert told == ["the disk of /data/model.safetensors is full; make room, the study goes on by itself"]
    assert pauses == [1, 1, 1, 1, 1, 1]  # waiting for the service does not make the wait for the disk longer


def test_a_worker_that_shall_end_does_not_wait_for_room(hold, shutdown):
    class Full(Api):
        def report(self, job, report):
            shutdown.ask()
            raise refusal("storage_full", 507)

    assert hold(Full(), lambda reporter: OUTCOME) is Ending.LOST


def test_renewals_carry_progress_and_the_newest_checkpoint(hold, tmp_path):
    seen = threading.Event()
    ids = itertools.count(1)

    def on_renew(renewal):
        if renewal.checkpoint is not None:
            seen.set()
        return Command.CONTINUE

    def body(reporter):
        reporter.progress("distilling", 5, 10)
        reporter.checkpoint(write(tmp_path / "checkpoint"))
        assert seen.wait(SOON_S)
        return OUTCOME

    api = Api(on_renew=on_renew)
    hold(api, body, upload=lambda folder: f"{next(ids):064x}")
    last = api.renewals[-1]
    assert last.progress == Progress(stage="distilling", done=5, total=10)
    assert last.checkpoint == f"{1:064x}"
    assert all(renewal.attempt == 1 for renewal in api.renewals)


def test_a_checkpoint_is_what_it_was_when_it_was_offered(hold, tmp_path, shutdown):
    uploaded = []

    def body(reporter):
        folder = write(tmp_path / "checkpoint", "first")
        reporter.checkpoint(folder)
        (folder / "state").unlink()
        shutdown.ask()
        until_stopped(reporter)

    hold(Api(), body, upload=lambda folder: uploaded.append((folder / "state").read_text()) or "b" * 64)
    assert uploaded == ["first"]
    assert not list((tmp_path / "outbox").iterdir())


def test_a_checkpoint_that_cannot_be_sent_costs_nothing_but_itself(hold, tmp_path):
    tried = threading.Event()

    def upload(folder):
        tried.set()
        raise Unreachable("no service")

    def body(reporter):
        reporter.checkpoint(write(tmp_path / "checkpoint"))
        assert tried.wait(SOON_S)
        return OUTCOME

    assert hold(Api(), body, upload=upload) is Ending.REPORTED


def test_an_outcome_does_not_wait_for_a_checkpoint_on_its_way(hold, tmp_path):
    sending, end = threading.Event(), threading.Event()
    waited = []

    def upload(folder):
        sending.set()
        waited.append(end.wait(1))
        return "a" * 64

    def body(reporter):
        reporter.checkpoint(write(tmp_path / "checkpoint"))
        assert sending.wait(SOON_S)
        return OUTCOME

    assert hold(Api(), body, upload=upload) is Ending.REPORTED
    assert waited == []
    end.set()


@pytest.mark.parametrize(("code", "status"), [("lease_lost", 409), ("not_found", 404)])
def test_a_job_that_is_no_longer_its_own_stops_and_says_nothing_more(hold, code, status):
    """Somebody else has it, or it went with its study."""

    def lost(renewal):
        raise refusal(code, status)

    api = Api(on_renew=lost)
    assert hold(api, until_stopped) is Ending.LOST
    assert (len(api.renewals), api.reports, api.releases) == (1, [], [])


def test_a_cancelled_job_stops(hold):
    api = Api(on_renew=lambda renewal: Command.CANCEL)
    assert hold(api, until_stopped) is Ending.LOST
    assert (api.reports, api.releases) == ([], [])


def stopping_once_seen(points):
    """A service that says stop when it has heard of so many points of the curve."""
    return lambda renewal: Command.STOP if len(renewal.curve) >= points else Command.CONTINUE


def test_points_of_the_curve_ride_with_the_renewals(hold):
    seen = threading.Event()

    def on_renew(renewal):
        if len(renewal.curve) == 2:
            seen.set()
        return Command.CONTINUE

    def body(reporter):
        reporter.evaluated(10, 0.5)
        reporter.evaluated(20, 0.7)
        reporter.evaluated(20, 0.6)  # training that began anew at an earlier step
        reporter.evaluated(30, float("nan"))
        assert seen.wait(SOON_S)
        return OUTCOME

    api = Api(on_renew=on_renew)
    assert hold(api, body) is Ending.REPORTED
    assert api.renewals[-1].curve == (CurvePoint(step=10, value=0.5), CurvePoint(step=20, value=0.6))


def test_a_job_that_is_told_to_stop_ends_at_its_next_step_and_reports_where(hold, tmp_path):
    steps = itertools.count(1)
    uploaded = []

    def body(reporter):
        for step in steps:
            reporter.progress("distilling", step, 10**6)
            reporter.evaluated(step, 0.5)
            if reporter.should_stop():
                reporter.checkpoint(write(tmp_path / "half-done"))
                raise Interrupted("asked to")
            threading.Event().wait(0.002)
        raise AssertionError

    api = Api(on_renew=stopping_once_seen(3))
    assert hold(api, body, upload=lambda folder: uploaded.append(folder) or "d" * 64) is Ending.REPORTED
    ((_, report),) = api.reports
    assert report.result == Stopped(progress=Progress(stage="distilling", done=next(steps) - 1, total=10**6))
    assert (api.releases, uploaded) == ([], [])


def test_who_is_done_when_told_to_stop_reports_the_outcome(hold):
    told = threading.Event()

    def on_renew(renewal):
        told.set()
        return Command.STOP

    def body(reporter):
        reporter.evaluated(1, 0.5)
        assert told.wait(SOON_S)
        return OUTCOME

    api = Api(on_renew=on_renew)
    assert hold(api, body) is Ending.REPORTED
    assert api.reports[0][1].result == OUTCOME


def test_a_worker_is_ready_for_the_next_job_after_a_stop(loop, shutdown):
    api = Api([grant(1), grant(2)], on_renew=stopping_once_seen(1), when_idle=shutdown.ask)
    begun = []

    def body(reporter):
        begun.append(None)
        if len(begun) == 2:
            return OUTCOME
        reporter.evaluated(1, 0.5)
        return until_stopped(reporter)

    assert loop(api, body).run() is Ending.REPORTED
    assert [(job, report.result.kind) for job, report in api.reports] == [(1, "stopped"), (2, "calibrate")]


def test_an_outage_does_not_stop_the_job(hold):
    answers = iter([Unreachable("no"), refusal("store_unavailable", 503)])
    through = threading.Event()

    def on_renew(renewal):
        error = next(answers, None)
        if error is not None:
            raise error
        through.set()
        return Command.CONTINUE

    def body(reporter):
        assert through.wait(SOON_S)
        assert not reporter.should_stop()
        return OUTCOME

    api = Api(on_renew=on_renew)
    assert hold(api, body) is Ending.REPORTED


def test_a_worker_that_shall_end_releases_its_job_with_the_last_checkpoint(hold, shutdown, tmp_path):
    def body(reporter):
        shutdown.ask()
        try:
            until_stopped(reporter)
        finally:
            reporter.checkpoint(write(tmp_path / "last"))

    api = Api()
    assert hold(api, body, upload=lambda folder: "c" * 64) is Ending.RELEASED
    ((job, release),) = api.releases
    assert (job, release.attempt, release.checkpoint) == (1, 1, "c" * 64)
    assert api.reports == []


def test_a_job_that_cannot_stop_is_given_up_after_the_grace(hold, shutdown):
    end = threading.Event()

    def body(reporter):
        shutdown.ask(grace_s=0.05)
        assert end.wait(SOON_S)
        return OUTCOME

    api = Api()
    assert hold(api, body) is Ending.GIVEN_UP
    end.set()
    assert len(api.releases) == 1
    assert api.reports == []


def test_a_job_that_ends_although_the_worker_shall_end_is_reported(hold, shutdown):
    api = Api()

    def body(reporter):
        shutdown.ask()
        return OUTCOME

    assert hold(api, body) is Ending.REPORTED


@pytest.fixture
def loop(tmp_path, shutdown, told):
    def make(api, body=lambda reporter: OUTCOME, targets=lambda: (TARGET,), watch=None, happened=None):
        return Loop(
            "w",
            api,
            {JobKind.PREPARE: Job(body)},
            targets=targets,
            watch=watch,
            upload=lambda folder: "a" * 64,
            work=tmp_path,
            shutdown=shutdown,
            tell=told.append,
            happened=happened,
            wait_s=0.0,
        )

    return make


def test_who_follows_hears_of_each_job_and_how_it_ended(loop, shutdown):
    heard = []
    api = Api([grant(job=1), grant(job=2)], when_idle=shutdown.ask)
    loop(api, happened=lambda event, told: heard.append((event, told["job"], told.get("ending")))).run()
    ends = [("job", 1, None), ("job_ended", 1, "reported"), ("job", 2, None), ("job_ended", 2, "reported")]
    assert heard == ends


def test_the_loop_asks_for_what_it_can_do_and_takes_job_after_job(loop, shutdown):
    api = Api([grant(job=1), grant(job=2)], when_idle=shutdown.ask)
    loop(api).run()
    assert [job for job, _ in api.reports] == [1, 2]
    assert api.requests[0].kinds == (JobKind.PREPARE,)
    assert api.requests[0].targets == (TARGET,)


def test_readings_of_the_reference_are_told_once_and_kept_while_nobody_answers(loop, shutdown, monkeypatch):
    monkeypatch.setattr(shutdown, "pause", lambda pause_s: None)
    times = iter([(1e-3,), (2e-3, 3e-3)])

    def due():
        return tuple(
            ReferenceTime(
                profile=DeviceProfile(),
                hardware_key="here",
                p50_s=p50_s,
                disturbed=False,
                measured_at=NOW.isoformat(),
            )
            for p50_s in next(times, ())
        )

    answers = [Unreachable("no"), grant(), refusal("store_unavailable", 503), grant()]
    api = Api(answers, when_idle=shutdown.ask)
    loop(api, watch=SimpleNamespace(due=due)).run()
    told = [[reading.p50_s for reading in request.readings] for request in api.requests]
    assert told == [[], [], [1e-3], [1e-3], [2e-3, 3e-3]]
    assert next(times, None) is None


@pytest.mark.parametrize("error", [LockError("no lock can be had"), OSError(28, "No space left on device")])
def test_a_reading_that_cannot_be_taken_does_not_end_the_worker(loop, shutdown, error):
    failed = []

    def read(profile):
        raise error

    watch = DriftWatch((DeviceProfile(),), read=read, failed=lambda profile, error: failed.append(error))
    api = Api([grant(job=1), grant(job=2)], when_idle=shutdown.ask)
    loop(api, watch=watch).run()
    assert failed == [error]
    assert [job for job, _ in api.reports] == [1, 2]


def test_what_can_be_measured_is_told_anew_after_each_job(loop, shutdown):
    found = iter([(TARGET,), (), (TARGET,)])
    api = Api([grant(job=1), grant(job=2)], when_idle=shutdown.ask)
    loop(api, targets=lambda: next(found)).run()
    assert [request.targets for request in api.requests] == [(TARGET,), (), (TARGET,)]


def test_the_loop_outlives_an_outage(loop, shutdown, monkeypatch):
    pauses = []
    monkeypatch.setattr(shutdown, "pause", pauses.append)
    api = Api([Unreachable("no"), refusal("store_unavailable", 503), grant()], when_idle=shutdown.ask)
    loop(api).run()
    assert len(api.reports) == 1
    assert pauses == [0.2, 0.4]


def test_a_request_keeps_its_name_until_it_is_answered(loop, shutdown, monkeypatch):
    monkeypatch.setattr(shutdown, "pause", lambda seconds: None)
    api = Api([Unreachable("no"), refusal("store_unavailable", 503), grant(), None], when_idle=shutdown.ask)
    loop(api).run()
    first, *again, then, last = [request.request for request in api.requests]
    assert again == [first, first]
    assert len({first, then, last}) == 3


def test_log_lines_say_of_which_job_they_are(loop, shutdown, caplog):
    """Also those of the job's own thread."""
    caplog.set_level("INFO")
    known = []
    caplog.handler.addFilter(lambda record: known.append((record.getMessage(), dict(fields_now()))) or True)

    def fail(reporter):
        raise RuntimeError("boom")

    loop(Api([grant(job=7, attempt=2)], when_idle=shutdown.ask), fail).run()
    told = [fields for message, fields in known if "job 7" in message]
    assert told == [{"study": "demo", "job": 7, "attempt": 2}] * 3


def test_renewals_are_numbered(hold):
    enough = threading.Event()

    def on_renew(renewal):
        if renewal.number == 3:
            enough.set()
        return Command.CONTINUE

    api = Api(on_renew=on_renew)
    assert hold(api, lambda reporter: enough.wait(SOON_S) and OUTCOME) is Ending.REPORTED
    assert [renewal.number for renewal in api.renewals][:3] == [1, 2, 3]


def test_the_loop_waits_for_room_and_goes_on(loop, shutdown, told, monkeypatch):
    pauses = []
    monkeypatch.setattr(shutdown, "pause", pauses.append)
    bodies = iter([raising(NO_ROOM), lambda reporter: OUTCOME])
    api = Api([refusal("storage_full", 507), grant(attempt=1), grant(attempt=2)], when_idle=shutdown.ask)
    assert loop(api, lambda reporter: next(bodies)(reporter)).run() is Ending.REPORTED
    assert [release.attempt for _, release in api.releases] == [1]
    assert [report.attempt for _, report in api.reports] == [2]
    assert pauses == [1, 2]
    assert len(told) == 2


def test_a_worker_that_the_service_refuses_ends(loop):
    with pytest.raises(ProblemError, match="upgrade_needed"):
        loop(Api([refusal("upgrade_needed")])).run()


def test_a_job_that_comes_while_the_worker_ends_is_given_back(loop, shutdown):
    class Late(Api):
        def lease(self, request):
            shutdown.ask()
            return super().lease(request)

    api = Late([grant()])
    assert loop(api).run() is Ending.RELEASED
    assert len(api.releases) == 1
    assert api.reports == []


@pytest.mark.parametrize("granted", [None, grant()])
def test_a_worker_that_waits_for_a_job_ends_without_it(loop, shutdown, granted):
    over = threading.Event()

    class Waits(Api):
        def lease(self, request):
            if not self.requests:
                self.requests.append(request)
                shutdown.ask()
                assert over.wait(SOON_S)
                return None
            return super().lease(request)

    api = Waits([granted] if granted else [])
    ending = loop(api).run()
    over.set()
    first, last = api.requests
    assert (last.request, last.wait_s) == (first.request, 0.0)
    assert ending is (None if granted is None else Ending.RELEASED)
    assert [job for job, _ in api.releases] == ([] if granted is None else [granted.job])


def test_a_failed_job_does_not_end_the_worker(loop, shutdown):
    def fail(reporter):
        raise RuntimeError("boom")

    api = Api([grant(job=1), grant(job=2)], when_idle=shutdown.ask)
    loop(api, fail).run()
    assert [report.result.reason for _, report in api.reports] == [FailureReason.ERROR] * 2
