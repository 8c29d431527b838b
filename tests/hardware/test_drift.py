"""Readings of the reference architecture."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hardware.attempt import Attempt
from hardware.cores import available_cores, pick
from hardware.drift import (
    BUSY_S,
    INTERVAL_S,
    PROCESSES,
    DriftWatch,
    ReferenceTime,
    _measure,
    read_reference,
    reference_profile,
)
from hardware.environment import hardware_key
from hardware.errors import BusyError, LockError, OutOfMemoryError
from hardware.judgement import doubts_of, judged
from hardware.lock import DIRECTORY_VARIABLE
from hardware.plan import rules_of
from hardware.round import Round
from hardware.values import Device, DeviceProfile, Effort, Measurement, Quantile, QuantileName, Source, Verdict

PROFILE = DeviceProfile()


def measurement(p50_s: float, notes: tuple[str, ...] = ()) -> Measurement:
    quantile = Quantile(value_s=p50_s, low_s=None, high_s=None)
    return Measurement(
        profile=PROFILE,
        effort=Effort.QUICK,
        source=Source.MEASURED,
        verdict=Verdict.PROVISIONAL,
        p50=quantile,
        p90=quantile,
        p99=quantile,
        throughput_per_s=1 / p50_s,
        load_s=0.1,
        first_call_s=0.1,
        compile_s=0.0,
        peak_memory_bytes=1,
        log_variance=0.0,
        hardware_key="k",
        environment={},
        samples_s=[[p50_s]],
        measured_at="2026-01-01T00:00:00+00:00",
        notes=notes,
    )


def test_a_reading_is_the_median_of_fresh_processes() -> None:
    values = iter([measurement(2e-3), measurement(9e-3), measurement(3e-3)])
    seen = []

    def one(profile: DeviceProfile) -> Measurement:
        seen.append(profile)
        return next(values)

    found = read_reference(DeviceProfile(batch=8, length=16, threads=2), measure_one=one, clock=lambda: 0.0)
    assert (found.p50_s, found.disturbed, found.hardware_key) == (3e-3, False, "k")
    assert seen == [DeviceProfile(batch=1, length=128, threads=1)] * PROCESSES
    assert found.profile == seen[0]


def test_a_reading_stops_when_its_time_is_spent() -> None:
    now_s, values = iter([0.0, 1.0, 100.0]), iter([measurement(2e-3), measurement(4e-3)])
    found = read_reference(PROFILE, measure_one=lambda profile: next(values), clock=lambda: next(now_s))
    assert (found.p50_s, found.disturbed) == (3e-3, False)


def test_loading_the_runtime_costs_a_reading_no_process() -> None:
    clock, seen = Clock(), []

    def one(profile: DeviceProfile) -> Measurement:
        clock.now_s += 1.0 if seen else 60.0
        seen.append(profile)
        return measurement(2e-3)

    read_reference(PROFILE, measure_one=one, clock=clock)
    assert len(seen) == PROCESSES


def test_a_disturbed_reading_is_told_as_such_and_not_prolonged() -> None:
    values = iter([measurement(2e-3), measurement(9e-3, ("shared",))])
    assert read_reference(PROFILE, measure_one=lambda profile: next(values), clock=lambda: 0.0).disturbed


def test_a_gpu_that_waits_for_the_host_is_not_disturbed() -> None:
    """The reference architecture is so small that every GPU does."""
    gpu = DeviceProfile(device=Device.CUDA)
    round_ = Round(
        samples_s=[2e-3] * 100,
        load_s=0.1,
        compile_s=0.0,
        first_call_s=0.1,
        warm=True,
        busy=None,
        waiting=0.0,
        peak_memory_bytes=1,
        event_share=0.2,
    )
    rules = rules_of(Effort.QUICK, Device.CUDA, (QuantileName.P50,))

    def reading(round_: Round) -> ReferenceTime:
        measured = judged(Attempt(rounds=[round_]), rules, gpu, Effort.QUICK, datetime(2025, 1, 2, tzinfo=UTC))
        assert "waits for the host" in measured.notes[-1]
        return read_reference(gpu, measure_one=lambda _: measured, clock=lambda: 0.0)

    assert not reading(round_).disturbed
    assert reading(replace(round_, slowed="too warm")).disturbed


def test_a_real_reading_has_this_machines_key(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    monkeypatch.setattr("hardware.attempt.RETRIES", 0)
    monkeypatch.setattr("hardware.drift.PROCESSES", 1)
    found = read_reference(PROFILE)
    assert found.hardware_key == hardware_key()
    assert 0 < found.p50_s < 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs the system's times of each core")
def test_work_on_other_cores_disturbs_a_reading(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    monkeypatch.setattr("hardware.attempt.RETRIES", 0)
    measured_on = pick(1, available_cores())
    others = [core for core in available_cores() if core not in measured_on]
    if len(others) * 5 < (os.cpu_count() or 1):
        pytest.skip("too few of the machine's cores may be used to make it busy")
    spin = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
    rivals = [subprocess.Popen([sys.executable, "-c", spin, str(core)]) for core in others]
    try:
        found = _measure(PROFILE)
    finally:
        for rival in rivals:
            rival.kill()
            rival.wait()
    assert any("other work took up to" in doubt for doubt in doubts_of(found))


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def time_of(profile: DeviceProfile) -> ReferenceTime:
    return ReferenceTime(
        profile=reference_profile(profile), hardware_key="k", p50_s=1e-3, disturbed=False, measured_at="now"
    )


def test_each_profile_is_read_at_the_start_and_once_in_a_while() -> None:
    clock, gpu = Clock(), DeviceProfile(device=Device.CUDA)
    watch = DriftWatch((PROFILE, gpu), read=time_of, clock=clock, failed=lambda *_: None)
    assert [each.profile.device for each in watch.due()] == ["cpu", "cuda"]
    clock.now_s += INTERVAL_S - 1
    assert watch.due() == ()
    clock.now_s += 1
    assert len(watch.due()) == 2


def test_a_device_in_use_is_not_waited_for_but_tried_again_soon() -> None:
    clock, answers = Clock(), iter([BusyError("no"), BusyError("no"), None])

    def read(profile: DeviceProfile) -> ReferenceTime:
        error = next(answers)
        if error is not None:
            raise error
        return time_of(profile)

    watch = DriftWatch((PROFILE,), read=read, clock=clock, failed=lambda *_: None)
    taken = []
    for _ in range(3):
        taken.append(len(watch.due()))
        assert watch.due() == ()
        clock.now_s += BUSY_S
    assert taken == [0, 0, 1]


@pytest.mark.parametrize("error", [OutOfMemoryError("no room"), LockError("no room"), OSError("no room")])
def test_a_reading_that_breaks_is_told_and_not_tried_again_at_once(error: Exception) -> None:
    clock, told = Clock(), []

    def read(profile: DeviceProfile) -> ReferenceTime:
        raise error

    watch = DriftWatch((PROFILE,), read=read, clock=clock, failed=lambda profile, error: told.append(str(error)))
    assert watch.due() == ()
    clock.now_s += BUSY_S
    assert watch.due() == ()
    assert told == ["no room"]
