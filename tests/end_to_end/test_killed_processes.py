"""What survives kill -9: of the worker in the middle of a distillation, and of everything at once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from client import Client, ClientError
from protocol.jobs import JobKind
from protocol.views import StudyState, StudyView, TrialView

pytestmark = pytest.mark.chaos
PATIENCE_S = 240.0


@pytest.fixture
def connect() -> Iterator[Callable[[int], Client]]:
    """Clients of the service on a port, closed at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda port: stack.enter_context(Client(f"http://127.0.0.1:{port}"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(found: Callable[[], object], what: str) -> None:
    """Polls a real system; there is no clock to fake here."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(ClientError):
            if found():
                return
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE_S:g} s for {what}")


def study(client: Client) -> StudyView:
    return client.studies.view("small")


def distilling(client: Client, past: int) -> bool:
    """Whether a distillation is under way and past this step."""
    jobs = [job for job in study(client).jobs if job.kind is JobKind.DISTILL]
    return any(job.progress is not None and job.progress.done > past for job in jobs)


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def named(processes: list[psutil.Process], role: str) -> psutil.Process:
    return next(process for process in processes if role in process.cmdline())


def ended_trials(client: Client) -> dict[int, TrialView]:
    return {trial.number: trial for trial in client.studies.trials("small") if trial.state.ended}


def test_a_killed_worker_loses_nothing(stillhouse, study_file, connect):
    port = free_port()
    stillhouse.environment["STILLHOUSE_LEASE_S"] = "3"
    process = stillhouse.start("run", study_file(steps=4000, trials=3), "--port", str(port), "--no-hold")
    client = connect(port)
    until(lambda: distilling(client, past=200), "a distillation under way")
    named(family(process), "worker").kill()
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output + stillhouse.logs()
    assert "3" in output


def test_killing_everything_loses_no_trial(stillhouse, study_file, connect):
    port = free_port()
    stillhouse.environment["STILLHOUSE_LEASE_S"] = "3"
    path = study_file(steps=3000, trials=4)
    process = stillhouse.start("run", path, "--port", str(port), "--no-hold")
    client = connect(port)
    until(lambda: ended_trials(client) and distilling(client, past=100), "one trial ended and one under way")
    before = ended_trials(client)
    children = family(process)
    for victim in [process, *children]:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)
    process.communicate(timeout=30)

    second = stillhouse.start("run", path, "--port", str(port), "--no-hold")
    until(lambda: study(client).state is StudyState.COMPLETED, "the study to complete")
    after = ended_trials(client)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0, output + stillhouse.logs()
    assert len(after) == 4
    for number, trial in before.items():
        assert after[number] == trial.model_copy(
            update={"finalist": after[number].finalist, "on_front": after[number].on_front}
        )


def test_killing_the_supervisor_leaves_no_process_behind(stillhouse, study_file, connect):
    port = free_port()
    process = stillhouse.start("run", study_file(steps=4000), "--port", str(port), "--no-hold")
    client = connect(port)
    until(lambda: distilling(client, past=50), "a distillation under way")
    children = family(process)
    assert len(children) >= 3
    process.kill()
    process.communicate(timeout=30)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive


def test_interrupting_stops_every_process_and_the_same_command_continues(stillhouse, study_file, connect):
    port = free_port()
    path = study_file(steps=2000, trials=3)
    process = stillhouse.start("run", path, "--port", str(port), "--no-hold")
    client = connect(port)
    until(lambda: distilling(client, past=50), "a distillation under way")
    children = family(process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "stillhouse run" in output
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    second = stillhouse.run("run", path, "--port", str(port), "--no-hold")
    assert second.returncode == 0, second.stdout + stillhouse.logs()
