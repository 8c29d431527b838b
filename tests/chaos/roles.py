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
from hardware.values import DeviceProfile, Effort, Measurement
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
    PrepareWork,
    Release,
    Renewal,
    Renewed,
    Report,
    Score,
)
from protocol.targets import Target
from search_space import Architecture
from service.server import serve
from service.settings import Settings
from service.suggester import run_suggester
from tests.outcomes import latency_s, measurement, prepared
from worker.errors import Interrupted
from worker.loop import Loop
from worker.runner import Reporter
from worker.shutdown import Shutdown

LEASE_S = 1.0
MOST_ATTEMPTS = 10_000
"""Nobody here is a poison: what fails is the surroundings."""

LINKS = 24


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
                return prepared(data=data, teacher=teacher)
            case CalibrateWork():
                return Calibrated(
                    measurements={
                        name: measured(one.architecture, work.profile, one.effort)
                        for name, one in work.references.items()
                    }
                )
            case MeasureWork():
                return Measured(measurement=measured(work.architecture, work.profile, work.effort))
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
                    measurement=None if profile is None else measured(work.architecture, profile, work.effort),
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


def measured(architecture: Architecture, profile: DeviceProfile, effort: Effort) -> Measurement:
    return measurement(latency_s(architecture), profile, effort)


def limit_files(pid: int, size_bytes: int) -> None:
    """From now on the process cannot write beyond so many bytes of a file, as if its disk were full."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))
