"""Whether a process had its cores for itself."""

import os
import subprocess
import sys
import time

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


def test_a_caller_that_sleeps_while_an_accelerator_computes_is_not_held_against_it() -> None:
    meter = OccupancyMeter(caller_computes=False)
    assert meter.read().busy is None
    assert Occupancy(busy=None, waiting=0.0).undisturbed == 1.0
    assert Occupancy(busy=None, waiting=0.25).undisturbed == 0.75
    assert not Occupancy(busy=None, waiting=0.0).contended
