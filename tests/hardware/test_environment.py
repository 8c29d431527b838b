"""The stamp of a machine."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from hardware.environment import _boost, _driver, environment, hardware_key
from hardware.settings import stamped
from hardware.values import Device, DeviceProfile, Runtime


def test_stamp_names_what_a_latency_depends_on() -> None:
    stamp = environment()
    assert stamp["logical_cores"] == str(os.cpu_count())
    assert stamp["torch"] == version("torch")
    assert stamp["python"].endswith(platform.python_version())
    assert stamp["cpu"]
    assert all(stamp.values())


def test_key_is_the_same_in_another_process() -> None:
    code = "from hardware.environment import hardware_key; print(hardware_key())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == hardware_key()


def test_key_changes_with_any_part_of_the_stamp() -> None:
    stamp = environment()
    keys = {hardware_key(stamp | {name: "other"}) for name in stamp}
    assert len(keys | {hardware_key(stamp)}) == len(stamp) + 1
    assert hardware_key(dict(reversed(stamp.items()))) == hardware_key(stamp)


def test_two_machines_of_one_kind_share_a_key() -> None:
    assert platform.node() not in environment().values()


JAX = DeviceProfile(runtime=Runtime.JAX)


def test_stamp_has_only_the_packages_of_its_runtime() -> None:
    assert "jax" not in environment(DeviceProfile())
    assert environment(JAX)["jax"] == version("jax")
    assert environment(JAX)["jaxlib"] == version("jaxlib")
    assert "torch" not in environment(JAX)
    onnx = environment(DeviceProfile(runtime=Runtime.ONNX))
    assert {"onnxruntime", "torch"} <= onnx.keys()
    assert "jax" not in onnx


def test_a_new_version_changes_the_keys_of_its_runtime_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    profiles = [DeviceProfile(runtime=runtime) for runtime in (Runtime.TORCH, Runtime.JAX, Runtime.ONNX)]
    before = [hardware_key(environment(profile)) for profile in profiles]
    monkeypatch.setattr("hardware.environment.version", lambda name: "99" if name == "jax" else version(name))
    after = [hardware_key(environment(profile)) for profile in profiles]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]


def test_stamp_of_torch_on_a_cpu_has_nothing_of_other_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in stamped(os.environ):
        monkeypatch.delenv(name)
    added = {"core_quota", "cpu_clock_khz", "cpu_boost"}
    assert environment().keys() - added == {
        "cpu",
        "architecture",
        "logical_cores",
        "available_cores",
        "governor",
        "system",
        "python",
        "torch",
        "encoder",
    }


def test_compiler_of_the_kernels_belongs_to_what_is_compiled_here() -> None:
    assert "compiler" in environment(DeviceProfile(runtime=Runtime.TORCH_COMPILE))
    assert "compiler" not in environment(DeviceProfile(runtime=Runtime.TORCH_COMPILE, device=Device.CUDA))


def test_driver_tells_of_the_gpu_where_its_library_cannot_be_asked(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  600.1\nGCC version: 13\n")
    card = tmp_path / "gpus" / "0000:01:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t\t A GPU\nIRQ: 32\n")
    assert _driver(tmp_path) == {"driver": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  600.1", "gpu": "A GPU"}
    assert _driver(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("visible", "gpu"), [(None, "First"), ("0", "First"), ("1", "Second"), ("1,0", "Second"), ("GPU-22", "Second")]
)
def test_driver_tells_of_the_gpu_that_cuda_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, gpu: str
) -> None:
    for place, name, uuid in (("0000:01:00.0", "First", "GPU-11"), ("0000:c1:00.0", "Second", "GPU-22")):
        card = tmp_path / "gpus" / place
        card.mkdir(parents=True)
        (card / "information").write_text(f"Model: \t\t {name}\nIRQ: 131\nGPU UUID: \t {uuid}\n")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert _driver(tmp_path)["gpu"] == gpu


@pytest.mark.parametrize(
    ("file", "text", "boost"),
    [
        ("intel_pstate/no_turbo", "1", "off"),
        ("intel_pstate/no_turbo", "0", "on"),
        ("cpufreq/boost", "0", "off"),
        ("cpufreq/boost", "1", "on"),
        ("cpufreq/other", "1", None),
    ],
)
def test_a_clock_that_may_not_rise_is_told(tmp_path: Path, file: str, text: str, boost: str | None) -> None:
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(f"{text}\n")
    assert _boost(tmp_path) == boost
