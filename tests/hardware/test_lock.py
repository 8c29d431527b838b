"""The device's lock, between real processes."""

import os
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hardware.errors import BusyError, LockError
from hardware.lock import DIRECTORY_VARIABLE, computing, measuring
from hardware.values import Device

ROOT = Path(__file__).resolve().parents[2]

LOOP = """
import sys, time
from hardware.lock import computing, measuring
from hardware.values import Device

kind, count, hold_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(count):
    with {"computing": computing, "measuring": measuring}[kind](Device.CPU):
        start = time.monotonic()
        while time.monotonic() < start + hold_s:
            pass
        end = time.monotonic()
    print(kind, start, end, flush=True)
"""

HOLD = """
import sys
from hardware.lock import computing, measuring
from hardware.values import Device

with {"computing": computing, "measuring": measuring}[sys.argv[1]](Device.CPU):
    print("in", flush=True)
    sys.stdin.readline()
"""

FORK = """
import os, sys
from hardware.lock import measuring
from hardware.values import Device

with measuring(Device.CPU):
    if not os.fork():
        sys.stdin.readline()
        os._exit(0)
print("left", flush=True)
sys.stdin.readline()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts Python processes that share one folder of locks with this one; none outlives the test."""
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", code, *arguments]
        started.append(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 30)
    assert ready, "the process said nothing for 30 s"
    return process.stdout.readline().strip()


def go(*processes: "subprocess.Popen[str]") -> None:
    for process in processes:
        assert line(process) == "ready"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def spans(*processes: "subprocess.Popen[str]") -> list[tuple[str, float, float]]:
    told = [text.split() for process in processes for text in process.communicate(timeout=60)[0].splitlines()]
    return sorted(((kind, float(start), float(end)) for kind, start, end in told), key=lambda span: span[1])


def test_nothing_overlaps_a_measurement(start: Start) -> None:
    loops = [start(LOOP, kind, "40", "0.002") for kind in ("measuring", "computing", "measuring", "computing")]
    go(*loops)
    taken = spans(*loops)
    assert len(taken) == 160
    for number, (kind, began, ended) in enumerate(taken):
        for other, other_began, other_ended in taken[number + 1 :]:
            if "measuring" in (kind, other):
                assert ended <= other_began or other_ended <= began


def test_computations_share_the_device(start: Start) -> None:
    first, second = start(HOLD, "computing"), start(HOLD, "computing")
    assert line(first) == "in"
    assert line(second) == "in"  # while the first has not left: it waits for a line of ours


def test_stream_of_computations_does_not_keep_a_measurement_out(start: Start) -> None:
    # Four of them, so that at any time one computes: without a turnstile the measurement comes after all of them.
    crowd = [start(LOOP, "computing", "150", "0.01") for _ in range(4)]
    measurement = start(LOOP, "measuring", "3", "0.001")
    go(*crowd, measurement)
    taken = spans(*crowd, measurement)
    last_measured = max(number for number, span in enumerate(taken) if span[0] == "measuring")
    assert last_measured < len(taken) / 2


def test_stream_of_measurements_does_not_keep_a_computation_out(start: Start) -> None:
    crowd = [start(LOOP, "measuring", "100", "0.005") for _ in range(2)]
    computation = start(LOOP, "computing", "3", "0.001")
    go(*crowd, computation)
    taken = spans(*crowd, computation)
    last_computed = max(number for number, span in enumerate(taken) if span[0] == "computing")
    assert last_computed < len(taken) / 2


def test_other_users_can_take_the_locks_whatever_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    before = os.umask(0o077)
    try:
        with computing(Device.CPU):
            pass
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [0o644, 0o644]


@pytest.mark.parametrize("kind", ["measuring", "computing"])
def test_killed_holder_frees_the_device(start: Start, kind: str) -> None:
    holder = start(HOLD, kind)
    assert line(holder) == "in"
    os.kill(holder.pid, signal.SIGKILL)
    with measuring(Device.CPU):
        assert holder.wait(timeout=20) == -signal.SIGKILL


def test_freed_device_can_be_had_although_a_forked_process_still_has_the_handle(start: Start) -> None:
    forked = start(FORK)
    assert line(forked) == "left"
    successor = start(HOLD, "measuring")
    assert line(successor) == "in"


def test_thread_that_computes_may_not_measure(start: Start) -> None:
    with computing(Device.CPU), pytest.raises(LockError, match="cannot measure there"), measuring(Device.CPU):
        pass
    with measuring(Device.CPU):
        pass


def test_computation_that_does_not_wait_is_told_that_the_device_is_busy(start: Start) -> None:
    other = start(HOLD, "measuring")
    assert line(other) == "in"
    with pytest.raises(BusyError, match="measures on cpu, or is about to"), computing(Device.CPU, wait=False):
        pass
    other.kill()
    with measuring(Device.CPU):
        pass
    with computing(Device.CPU, wait=False), computing(Device.CPU):
        pass


@pytest.mark.parametrize("kind", ["measuring", "computing"])
def test_measurement_that_does_not_wait_is_told_that_the_device_is_busy(start: Start, kind: str) -> None:
    other = start(HOLD, kind)
    assert line(other) == "in"
    with pytest.raises(BusyError, match="computes or measures on cpu"), measuring(Device.CPU, wait=False):
        pass
    other.kill()
    with measuring(Device.CPU):
        pass
    with measuring(Device.CPU, wait=False), measuring(Device.CPU):
        pass
    with computing(Device.CPU), pytest.raises(LockError), measuring(Device.CPU, wait=False):
        pass


def test_inside_itself_the_lock_does_nothing(start: Start) -> None:
    with measuring(Device.CPU), measuring(Device.CPU), computing(Device.CPU):
        pass
    with computing(Device.CPU), computing(Device.CPU):
        pass
    other = start(HOLD, "measuring")
    assert line(other) == "in"


def test_error_inside_frees_the_device(start: Start) -> None:
    with pytest.raises(KeyError), measuring(Device.CPU):
        raise KeyError
    other = start(HOLD, "measuring")
    assert line(other) == "in"


def test_folder_of_the_locks_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "new" / "folder"))
    with computing(Device.CPU):
        assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["cpu.lock", "cpu.turnstile"]


@pytest.mark.parametrize("use", [measuring, computing])
def test_folder_that_cannot_hold_locks_is_named_with_what_to_do(
    use: Callable[[Device], AbstractContextManager[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below"):
        monkeypatch.setenv(DIRECTORY_VARIABLE, str(folder))
        with (
            pytest.raises(
                LockError, match=f"in {folder}: .*; mend that, or name another folder with {DIRECTORY_VARIABLE}"
            ),
            use(Device.CPU),
        ):
            pass


def test_place_of_the_locks_depends_on_no_temporary_folder(tmp_path: Path) -> None:
    """What is full or told to one process must not hide its locks from another one."""
    script = "from hardware.lock import _directory; print(_directory())"
    places = set()
    for folder in ("/tmp", str(tmp_path), "/nowhere"):
        environment = {name: value for name, value in os.environ.items() if name != DIRECTORY_VARIABLE}
        told = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=environment | {"TMPDIR": folder},
            capture_output=True,
            text=True,
            check=True,
        )
        places.add(told.stdout)
    assert len(places) == 1
