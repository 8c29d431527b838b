"""Measurements as plain values."""

from dataclasses import asdict, replace

import pytest
from pydantic import TypeAdapter

from hardware.values import Device, DeviceProfile, Effort, Measurement, Quantile, Source, Verdict

MEASUREMENT = Measurement(
    profile=DeviceProfile(batch=8, threads=2),
    effort=Effort.SEARCH,
    source=Source.MEASURED,
    verdict=Verdict.NOISY,
    p50=Quantile(value_s=0.1, low_s=0.09, high_s=0.11),
    p90=Quantile(value_s=0.2, low_s=0.19, high_s=0.21),
    p99=Quantile(value_s=0.3, low_s=0.29, high_s=None),
    throughput_per_s=80.0,
    load_s=0.5,
    first_call_s=0.2,
    compile_s=0.0,
    peak_memory_bytes=300_000_000,
    log_variance=0.001,
    hardware_key="0123456789abcdef",
    environment={"cpu": "one", "torch": "2"},
    samples_s=[[0.1, 0.2], [0.1]],
    measured_at="2025-01-02T03:04:05+00:00",
    notes=("moved",),
    reference_shift=0.1,
    voided=2,
)


def test_measurement_survives_json() -> None:
    adapter = TypeAdapter(Measurement)
    assert adapter.validate_python(asdict(MEASUREMENT)) == MEASUREMENT
    assert adapter.validate_json(adapter.dump_json(MEASUREMENT), strict=True) == MEASUREMENT


def test_profiles_have_one_key_each() -> None:
    profiles = [DeviceProfile(), DeviceProfile(batch=2), DeviceProfile(length=64), DeviceProfile(threads=2)]
    assert len({profile.key for profile in profiles}) == len(profiles)
    assert DeviceProfile(batch=1).key == DeviceProfile().key


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0},
        {"batch": 100_001},
        {"length": -1},
        {"length": 100_001},
        {"threads": True},
        {"threads": 1.5},
        {"threads": 1025},
        {"device": "abacus"},
    ],
)
def test_impossible_profile_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)) if "device" not in wrong else "abacus"):
        DeviceProfile(**wrong)


@pytest.mark.parametrize("value_s", [0.0, -0.1, float("nan"), float("inf")])
def test_an_impossible_latency_is_refused(value_s: float) -> None:
    with pytest.raises(ValueError, match="finite and above 0 s"):
        Quantile(value_s=value_s, low_s=None, high_s=None)


@pytest.mark.parametrize("bound_s", [0.0, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["low_s", "high_s"])
def test_an_impossible_bound_is_refused(name: str, bound_s: float) -> None:
    with pytest.raises(ValueError, match=f"{name} of a latency must be finite and above 0 s"):
        replace(MEASUREMENT.p50, **{name: bound_s})


def test_bounds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValueError, match=r"low_s of a latency must be at most high_s, got 0\.3 and 0\.2"):
        Quantile(value_s=0.25, low_s=0.3, high_s=0.2)


@pytest.mark.parametrize("log_variance", [-1e-9, float("nan"), float("inf")])
def test_an_impossible_variance_is_refused(log_variance: float) -> None:
    with pytest.raises(ValueError, match="log_variance must be finite and at least 0"):
        replace(MEASUREMENT, log_variance=log_variance)


def test_fewer_calls_than_samples_are_refused() -> None:
    assert replace(MEASUREMENT, calls=3).calls == MEASUREMENT.kept
    with pytest.raises(ValueError, match="at least the 3 samples that are kept, got 2"):
        replace(MEASUREMENT, calls=2)


def test_profile_without_a_chip_keeps_the_key_it_always_had():
    assert DeviceProfile().key == "b5efd347f99a7cc7"
    assert DeviceProfile(device=Device.TPU, chip="v4").key != DeviceProfile(device=Device.TPU, chip="v5e").key


def test_measurements_of_before_there_were_accelerators_still_load() -> None:
    later = ("copy_s", "event_share", "device_peak_memory_bytes", "energy_j")
    stored = {name: value for name, value in asdict(MEASUREMENT).items() if name not in later}
    assert TypeAdapter(Measurement).validate_python(stored) == MEASUREMENT
