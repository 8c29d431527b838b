"""The processes of a fleet: service and suggester as they are, and workers whose jobs take some milliseconds.

It is the protocol that is on trial, so these workers train nothing: a job computes a chain of hashes that follows from
its work alone, in many steps, with checkpoints from which another worker goes on. The loop around it, its leases,
checkpoints, uploads and reports are the worker's own.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import threading
import time
from contextlib import nullcontext
from pathlib import Path

from client import Client
from encoders.values import Head
from hardware.values import DeviceProfile, Effort, Measurement, Quantile, Source, Verdict
from protocol.jobs import (
    Calibrated,
    CalibrateWork,
    CurvePoint,
    Distilled,
    DistillWork,
    Finalized,
    FinalizeWork,
    Grant,
    JobKind,
    LeaseRequest,
    Measured,
    MeasureWork,
    Outcome,
    Prepared,
    PrepareWork,
    Release,
    Renewal,
    Renewed,
    Report,
    Score,
)
from protocol.targets import Target
from search_space import Architecture, parameter_count
from service.server import serve
from service.settings import Settings
from service.suggester import run_suggester
from worker.errors import Interrupted
from worker.loop import Loop
from worker.runner import Reporter
from worker.shutdown import Shutdown

LEASE_S = 1.0
MOST_ATTEMPTS = 10_000
"""Nobody here is a poison: what fails is the surroundings."""

LINKS = 24
TEACHER = Architecture(vocabulary_size=100, layers=4, hidden_size=64, heads=4, head_size=16, ffn_size=256)


def settings(home: Path, database_url: str, port: int = 0) -> Settings:
    return Settings(home=home, database_url=database_url, lease_s=LEASE_S, max_attempts=MOST_ATTEMPTS, port=port)


def run_server(home: Path, database_url: str, port: int) -> None:
    serve(settings(home, database_url, port))


def run_suggesting(home: Path, database_url: str) -> None:
    run_suggester(settings(home, database_url), nullcontext, threading.Event())


def run_worker(url: str, home: Path, name: str, skew_s: float) -> None:
    """A worker whose clock is wrong by so much."""
    wall = time.time
    time.time = lambda: wall() + skew_s  # type: ignore[assignment]
    home.mkdir(parents=True, exist_ok=True)
    shutdown = Shutdown()
    shutdown.on_signals()
    with Client(url, patience_s=20.0, cache=home / "cache", pause=shutdown.pause) as client:
        quick = QuickRunner(client, home)
        Loop(
            name,
            _Told(client, home / f"{name}.ledger"),
            dict.fromkeys(JobKind, quick),
            targets=lambda: (Target(device="cpu", runtime="torch", hardware_key="k"),),
            upload=client.artefacts.upload_folder,
            work=home,
            shutdown=shutdown,
            tell=lambda line: None,
            wait_s=0.5,
        ).run()


class _Told:
    """What a worker says, and a ledger of what was acknowledged."""

    def __init__(self, client: Client, ledger: Path) -> None:
        self._jobs = client.jobs
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def lease(self, request: LeaseRequest) -> Grant | None:
        grant = self._jobs.lease(request)
        if grant is not None:
            self._note(what="grant", job=grant.job, attempt=grant.attempt)
        return grant

    def renew(self, job: int, renewal: Renewal) -> Renewed:
        return self._jobs.renew(job, renewal)

    def report(self, job: int, report: Report) -> None:
        self._jobs.report(job, report)
        self._note(what="accepted", job=job, attempt=report.attempt, kind=report.result.kind)

    def release(self, job: int, release: Release) -> None:
        self._jobs.release(job, release)

    def _note(self, **words: object) -> None:
        os.write(self._ledger, json.dumps(words).encode() + b"\n")


class QuickRunner:
    """Every kind of job, as a chain of hashes."""

    def __init__(self, client: Client, home: Path) -> None:
        self._artefacts, self._home = client.artefacts, home

    def run(self, grant: Grant, reporter: Reporter) -> Outcome:
        work = grant.work
        folder = self._home / f"job-{grant.job}-{grant.attempt}-{os.getpid()}"
        match work:
            case PrepareWork():
                data, teacher = (self._sent(folder / name, name.encode()) for name in ("data", "teacher"))
                return prepared(data, teacher)
            case CalibrateWork():
                return Calibrated(
                    measurements={
                        name: measurement(one.architecture, work.profile, one.effort)
                        for name, one in work.references.items()
                    }
                )
            case MeasureWork():
                return Measured(measurement=measurement(work.architecture, work.profile, work.effort))
            case DistillWork():
                digest = self._chain(work, folder, reporter)
                return Distilled(
                    selection=score(digest),
                    curve=(CurvePoint(step=work.steps, value=score(digest).value),),
                    steps=work.steps,
                    seconds=0.1,
                    weights=self._sent(folder / "weights", digest),
                )
            case FinalizeWork():
                digest = self._chain(work, folder, reporter)
                profile = work.profile
                return Finalized(
                    selection=score(digest),
                    report=score(digest),
                    curve=(),
                    steps=work.steps,
                    seconds=0.1,
                    measurement=None if profile is None else measurement(work.architecture, profile, work.effort),
                    export=self._sent(folder / "export", digest),
                )

    def _chain(self, work: DistillWork | FinalizeWork, folder: Path, reporter: Reporter) -> bytes:
        """From its beginning, or from where an earlier attempt stopped."""
        digest, done = beginning(work.architecture, work.seed), 0
        if work.checkpoint is not None:
            self._artefacts.download_folder(work.checkpoint, folder / "before")
            done, text = json.loads((folder / "before" / "chain.json").read_text())
            digest = bytes.fromhex(text)
        for link in range(done, LINKS):
            if reporter.should_stop():
                raise Interrupted
            digest = following(digest)
            reporter.progress("linking", link + 1, LINKS)
            if link % 6 == 5:
                checkpoint = folder / f"checkpoint-{link}"
                checkpoint.mkdir(parents=True, exist_ok=True)
                (checkpoint / "chain.json").write_text(json.dumps([link + 1, digest.hex()]))
                reporter.checkpoint(checkpoint)
        return digest

    def _sent(self, folder: Path, content: bytes) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "content.bin").write_bytes(content)
        return self._artefacts.upload_folder(folder)


def beginning(architecture: Architecture, seed: int) -> bytes:
    return hashlib.sha256(f"{architecture.key} {seed}".encode()).digest()


def following(digest: bytes) -> bytes:
    """Some milliseconds later."""
    return hashlib.pbkdf2_hmac("sha256", digest, b"link", 4000)


def chain(architecture: Architecture, seed: int) -> bytes:
    """What every attempt at this work comes to, wherever it was interrupted."""
    digest = beginning(architecture, seed)
    for _ in range(LINKS):
        digest = following(digest)
    return digest


def score(digest: bytes) -> Score:
    value = 0.5 + int.from_bytes(digest[:4]) / 2**34
    return Score(value=value, low=value - 0.01, high=value + 0.01)


def latency_s(architecture: Architecture) -> float:
    return 1e-3 + 2e-8 * parameter_count(architecture)


def measurement(architecture: Architecture, profile: DeviceProfile, effort: Effort) -> Measurement:
    p50_s = latency_s(architecture)

    def quantile(value_s: float) -> Quantile:
        return Quantile(value_s=value_s, low_s=0.98 * value_s, high_s=1.02 * value_s)

    return Measurement(
        profile=profile,
        effort=effort,
        source=Source.MEASURED,
        verdict=Verdict.STEADY,
        p50=quantile(p50_s),
        p90=quantile(1.1 * p50_s),
        p99=quantile(1.3 * p50_s),
        throughput_per_s=1 / p50_s,
        load_s=0.1,
        first_call_s=0.2,
        compile_s=0.0,
        peak_memory_bytes=10_000_000,
        log_variance=1e-4,
        hardware_key="k",
        environment={"cpu": "none: these latencies are computed"},
        samples_s=[[p50_s] * 5],
        measured_at="2026-03-01T12:00:00+00:00",
    )


def prepared(data: str, teacher: str) -> Prepared:
    one = Score(value=0.85, low=0.84, high=0.86)
    return Prepared(
        data=data,
        teacher=teacher,
        architecture=TEACHER,
        head=Head(classes=2),
        classes=("yes", "no"),
        splits={"train": 800, "selection": 100, "report": 100},
        teacher_selection=one,
        teacher_report=one,
        baselines={},
        seconds=0.1,
    )


def limit_files(pid: int, size_bytes: int) -> None:
    """From now on the process cannot write beyond so many bytes of a file, as if its disk were full."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))
