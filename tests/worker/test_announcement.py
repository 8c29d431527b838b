"""What a worker tells of its machine."""

import pytest

from hardware.drift import ReferenceTime
from hardware.environment import environment, hardware_key
from hardware.tpu.estimator import estimator_key
from hardware.values import Device, DeviceProfile, Dtype, Runtime
from worker import announcement
from worker.announcement import drift_watch, reading_of, targets


def test_this_machine_is_told_with_its_dtypes_threads_and_hardware():
    found = {(target.device, target.runtime): target for target in targets() if target.chips == ("",)}
    assert all(target.device is Device.TPU for target in targets() if target.chips != ("",))
    torch = found[Device.CPU, Runtime.TORCH]
    assert torch.dtypes == tuple(Dtype)
    assert announcement.supports(DeviceProfile(threads=torch.threads)) is None
    assert announcement.supports(DeviceProfile(threads=torch.threads + 1)) is not None
    for target in found.values():
        profile = DeviceProfile(device=target.device, runtime=target.runtime, dtype=target.dtypes[0])
        assert target.hardware_key == hardware_key(environment(profile))


def test_only_what_is_supported_is_told(monkeypatch):
    def supports(profile):
        is_gpu = profile.device is Device.CUDA and profile.runtime is Runtime.JAX and profile.dtype is Dtype.BFLOAT16
        is_estimate = profile.device is Device.TPU and profile.chip == "v4" and profile.runtime is Runtime.JAX
        return None if (is_gpu and not profile.chip) or is_estimate else "no"

    monkeypatch.setattr(announcement, "supports", supports)
    monkeypatch.setattr("hardware.tpu.estimator.version", lambda package: "1.2")  # libtpu need not be installed
    gpu, estimate = targets()
    assert (gpu.device, gpu.runtime, gpu.dtypes, gpu.chips) == ("cuda", "jax", (Dtype.BFLOAT16,), ("",))
    assert (estimate.device, estimate.chips, estimate.hardware_key) == ("tpu", ("v4",), estimator_key("v4"))
    read = []

    def reading(profile):
        read.append(profile)
        return ReferenceTime(
            profile=profile,
            hardware_key="k",
            p50_s=1e-3,
            disturbed=True,
            measured_at="2026-01-01T00:00:00+00:00",
        )

    (time,) = drift_watch(reading).due()
    assert read == [DeviceProfile(device="cuda", runtime="jax", dtype="bfloat16")]
    told = reading_of(time)
    assert (told.target, told.p50_s, told.disturbed, told.tolerance) == ("cuda/jax/bfloat16", 1e-3, True, 0.03)


@pytest.mark.parametrize(("quota", "most"), [(None, 3), (1.5, 1), (0.5, 1), (8.0, 3)])
def test_no_more_threads_are_told_than_cores_are_granted(monkeypatch, quota, most):
    monkeypatch.setattr(announcement, "available_cores", lambda: (0, 1, 2))
    monkeypatch.setattr(announcement, "core_quota", lambda: quota)
    assert targets()[0].threads == most
