"""Whether a process had its cores for itself."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hardware.contention import Occupancy, OccupancyMeter

linux = pytest.mark.skipif(sys.platform != "linux", reason="this system cannot pin processes to one core")

BUSY = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
print("ready", flush=True)
while True:
    pass
"""


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.parametrize(
    ("busy", "waiting", "contended"),
    [
        (1.0, 0.0, False),
        (0.95, None, False),
        (0.89, 0.0, True),
        (0.89, None, True),
        (0.99, 0.2, True),
        (None, 0.0, False),
        (None, 0.2, True),
    ],
)
def test_round_is_contended_when_its_threads_did_not_run(
    busy: float | None, waiting: float | None, contended: bool
) -> None:
    assert Occupancy(busy=busy, waiting=waiting).contended is contended


def test_round_is_contended_when_the_machine_around_it_was_busy() -> None:
    assert not Occupancy(busy=1.0, waiting=0.0, others=0.05).contended
    beside = Occupancy(busy=1.0, waiting=0.0, others=0.3)
    assert beside.contended
    assert beside.crowded
    assert not beside.shared
    assert beside.undisturbed == 1.0


def test_thread_that_waits_for_something_else_is_not_busy() -> None:
    reader, writer = os.pipe()
    echo = subprocess.Popen([sys.executable, "-c", "print(end='')"], stdout=writer)
    meter = OccupancyMeter()
    os.close(writer)
    assert os.read(reader, 1) == b""  # until the interpreter has started and ended
    occupancy = meter.read()
    os.close(reader)
    assert echo.wait() == 0
    assert occupancy.busy < 0.5


@linux
def test_two_processes_on_one_core_are_contended() -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    rival = subprocess.Popen([sys.executable, "-c", BUSY, str(core)], stdout=subprocess.PIPE)
    try:
        assert rival.stdout is not None
        assert rival.stdout.readline() == b"ready\n"
        os.sched_setaffinity(0, {core})
        meter = OccupancyMeter()
        spin(0.5)
        occupancy = meter.read()
    finally:
        os.sched_setaffinity(0, before)
        rival.kill()
        rival.communicate()
    assert occupancy.contended
    assert occupancy.busy < 0.8
    assert occupancy.waiting is None or occupancy.waiting > 0.2


@linux
def test_what_the_process_computes_itself_is_no_other_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = tmp_path / "stat"
    monkeypatch.setattr("hardware.contention._MACHINE", machine)
    ticks_per_s = os.sysconf("SC_CLK_TCK")

    def busy(seconds: float) -> None:
        ticks = round(seconds * ticks_per_s)
        machine.write_text(f"cpu  {ticks} 0 0 999 999 0 0 0 777 0\ncpu0 1 1 1 1\n", encoding="ascii")

    busy(100.0)
    meter, own_s, wall_s = OccupancyMeter(machine=True), time.process_time(), time.perf_counter()
    spin(0.2)
    busy(100.0 + (time.process_time() - own_s) + 0.5)
    others = meter.read().others
    assert others == pytest.approx(0.5 / (time.perf_counter() - wall_s) / (os.cpu_count() or 1), rel=0.1)


@linux
def test_work_on_another_core_is_seen() -> None:
    rival = subprocess.Popen([sys.executable, "-c", BUSY, str(min(os.sched_getaffinity(0)))], stdout=subprocess.PIPE)
    try:
        assert rival.stdout is not None
        assert rival.stdout.readline() == b"ready\n"
        meter = OccupancyMeter(machine=True)
        spin(0.5)
        others = meter.read().others
    finally:
        rival.kill()
        rival.communicate()
    assert others is not None
    assert others > 0.3 / (os.cpu_count() or 1)


@linux
def test_work_on_a_sibling_is_seen_on_a_machine_of_many_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that shares its circuits with a busy one may be half as fast; of all cores that is a small share."""
    machine = tmp_path / "stat"
    monkeypatch.setattr("hardware.contention._MACHINE", machine)
    monkeypatch.setattr("hardware.contention.available_cores", lambda: (3,))
    monkeypatch.setattr("hardware.contention.with_siblings", lambda cores: (*cores, 35))
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    ticks_per_s = os.sysconf("SC_CLK_TCK")

    def busy(mine_s: float, sibling_s: float) -> None:
        rows = {"cpu": mine_s + sibling_s, "cpu3": mine_s, "cpu35": sibling_s, "cpu7": 0}
        machine.write_text("".join(f"{name} {round(s * ticks_per_s)} 0 0 9 9 0 0 0 0 0\n" for name, s in rows.items()))

    busy(100.0, 100.0)
    meter, own_s, wall_s = OccupancyMeter(machine=True), time.process_time(), time.perf_counter()
    spin(0.2)
    busy(100.0 + (time.process_time() - own_s), 100.0 + 0.2)
    occupancy = meter.read()
    assert occupancy.others == pytest.approx(0.1 / (time.perf_counter() - wall_s), rel=0.2)
    assert occupancy.crowded


def test_a_system_that_does_not_tell_is_not_held_against_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardware.contention._MACHINE", tmp_path / "none")
    assert OccupancyMeter(machine=True).read().others is None


def test_nobody_asks_for_the_machine_unless_told_to() -> None:
    assert OccupancyMeter().read().others is None


def test_a_caller_that_sleeps_while_an_accelerator_computes_is_not_held_against_it() -> None:
    meter = OccupancyMeter(caller_computes=False)
    assert meter.read().busy is None
    assert Occupancy(busy=None, waiting=0.0).undisturbed == 1.0
    assert Occupancy(busy=None, waiting=0.25).undisturbed == 0.75
    assert not Occupancy(busy=None, waiting=0.0).contended
