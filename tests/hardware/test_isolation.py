"""Fresh processes: what comes back from them, and that none is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hardware.errors import HangError, MeasurementError, OutOfMemoryError
from hardware.isolation import ForkServer

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

ROOT = Path(__file__).resolve().parents[2]

CALLER = """
import threading
from hardware.isolation import ForkServer
server = ForkServer(())
threading.Thread(target=server.call, args=("time:sleep", 600), kwargs={"limit_s": 600}).start()
print(server.pid, flush=True)
"""


@pytest.fixture
def server() -> Iterator[ForkServer]:
    server = ForkServer(())
    yield server
    server.close()


def evaluated(server: ForkServer, expression: str) -> object:
    return server.call("builtins:eval", expression, limit_s=30)


def only_child(pid: int) -> psutil.Process:
    """The process that a server has forked, once it has."""
    server = psutil.Process(pid)
    while not server.children():
        os.sched_yield()
    return server.children()[0]


def ended(*processes: psutil.Process) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=20)
    for process in alive:
        process.kill()
    return not alive


def test_every_call_is_a_fresh_process(server: ForkServer) -> None:
    pids = {evaluated(server, "__import__('os').getpid()") for _ in range(3)}
    assert len(pids | {server.pid, os.getpid()}) == 5


def test_nothing_that_one_call_changes_reaches_the_next(server: ForkServer) -> None:
    evaluated(server, "setattr(__import__('builtins'), 'left_behind', 1)")
    assert evaluated(server, "hasattr(__import__('builtins'), 'left_behind')") is False


def test_large_results_arrive_whole(server: ForkServer) -> None:
    assert evaluated(server, "[n / 7 for n in range(300000)]") == [n / 7 for n in range(300_000)]


def test_what_a_library_prints_does_not_disturb_the_answer(capfd: pytest.CaptureFixture[str]) -> None:
    server = ForkServer(())
    try:
        assert evaluated(server, "print('noise', flush=True) or 7") == 7
    finally:
        server.close()
    assert "noise" in capfd.readouterr().err


def test_hang_is_killed_at_its_limit_and_the_server_lives_on(server: ForkServer) -> None:
    with pytest.raises(HangError, match=r"did not end within 0\.3 s and was killed"):
        server.call("time:sleep", 600, limit_s=0.3)
    assert psutil.Process(server.pid).children() == []
    assert evaluated(server, "6 * 7") == 42


def test_server_that_does_not_answer_is_killed(server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardware.isolation.GRACE_S", 0.2)
    process = psutil.Process(server.pid)
    process.suspend()
    with pytest.raises(HangError, match="gave no answer"):
        server.call("builtins:len", [], limit_s=0.1)
    assert not process.is_running()
    assert not server.alive


def test_process_that_crashes_says_how(server: ForkServer) -> None:
    with pytest.raises(MeasurementError, match=r"died \(signal SIGABRT\)") as caught:
        evaluated(server, "__import__('os').abort()")
    assert not isinstance(caught.value, OutOfMemoryError)
    assert evaluated(server, "1") == 1


@pytest.mark.parametrize(
    "expression",
    ["bytearray(1 << 60)", "__import__('os').kill(__import__('os').getpid(), 9)"],
    ids=["raised", "killed"],
)
def test_running_out_of_memory_is_told_apart(server: ForkServer, expression: str) -> None:
    with pytest.raises(OutOfMemoryError):
        evaluated(server, expression)


def test_error_keeps_its_message_and_traceback(server: ForkServer) -> None:
    with pytest.raises(MeasurementError, match="ValueError: invalid literal for int") as caught:
        server.call("builtins:int", "seven", limit_s=30)
    assert "Traceback" in caught.value.__notes__[0]


def test_module_that_cannot_be_imported_is_named() -> None:
    with pytest.raises(MeasurementError, match="No module named 'no_such_runtime'"):
        ForkServer(("no_such_runtime",))


def test_dead_server_is_told_not_waited_for(server: ForkServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(MeasurementError, match=r"server has ended \(signal SIGKILL\)"):
        server.call("builtins:len", [], limit_s=30)
    assert not server.alive


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_to_the_whole_process_group_is_left_to_the_client(server: ForkServer, number: signal.Signals) -> None:
    os.kill(server.pid, number)
    assert evaluated(server, f"__import__('os').kill(__import__('os').getpid(), {int(number)}) or 7") == 7
    assert evaluated(server, "6 * 7") == 42


def test_interrupted_call_leaves_no_process(server: ForkServer) -> None:
    process = psutil.Process(server.pid)

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            server.call("time:sleep", 600, limit_s=600)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not process.is_running()


def test_script_without_a_main_guard_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from hardware.isolation import ForkServer\n"
        "print('started', ForkServer(()).call('builtins:len', [1, 2], limit_s=30))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    answer = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=True)
    assert answer.stdout.split() == ["started", "2"]


@linux
def test_server_with_torch_has_one_thread() -> None:
    server = ForkServer(("hardware.torch_eager",))
    try:
        assert psutil.Process(server.pid).num_threads() == 1
    finally:
        server.close()


@linux
@pytest.mark.parametrize("victim", ["caller", "server"])
def test_killing_the_caller_or_the_server_leaves_no_orphan(victim: str) -> None:
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, text=True
    )
    assert caller.stdout is not None
    server = psutil.Process(int(caller.stdout.readline()))
    child = only_child(server.pid)
    os.kill(caller.pid if victim == "caller" else server.pid, signal.SIGKILL)
    assert ended(server, child)
    caller.communicate(timeout=20)


def test_running_out_of_xlas_memory_is_told_apart(server: ForkServer) -> None:
    endless = "__import__('jax').config.update('jax_platforms', 'cpu') or __import__('jax').numpy.zeros(1 << 45)"
    with pytest.raises(OutOfMemoryError, match="RESOURCE_EXHAUSTED"):
        evaluated(server, endless)


def test_running_out_of_numpys_memory_is_told_apart(server: ForkServer) -> None:
    with pytest.raises(OutOfMemoryError, match="Unable to allocate"):
        evaluated(server, "__import__('numpy').ones(1 << 50)")
