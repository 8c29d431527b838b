"""The stamp of the machine and software that a latency belongs to."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import assert_never

from hardware import presence
from hardware.backend import versions
from hardware.cores import TOPOLOGY, available_cores, core_quota, pick
from hardware.nvml import gpu
from hardware.values import Device, DeviceProfile, Runtime

ANY = DeviceProfile()
"""PyTorch on the CPU."""

DRIVER = Path("/proc/driver/nvidia")


def environment(profile: DeviceProfile = ANY) -> dict[str, str]:
    """All of this machine that a latency of this profile may depend on and that lasts: nothing that changes by itself.

    Of software only what the profile's runtime is made of. Two machines of one kind have equal stamps: their latencies
    may be compared, and the host's name is not in it. What the system does not tell is left out, or `unknown`.
    """
    stamp = {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "logical_cores": str(os.cpu_count() or 1),
        "available_cores": str(len(available_cores())),
        "governor": _frequency("scaling_governor") or "unknown",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    quota = core_quota()
    if quota is not None:
        stamp["core_quota"] = f"{quota:g}"
    most_khz = _frequency("scaling_max_freq")
    if most_khz is not None:
        stamp["cpu_clock_khz"] = most_khz
    return stamp | _accelerator(profile.device) | _software(profile)


def machine() -> dict[str, str]:
    """Of the stamp what is hardware and system: on what something was computed."""
    stamp = environment()
    return {name: stamp[name] for name in ("cpu", "architecture", "logical_cores", "available_cores", "system")}


def hardware_key(stamp: dict[str, str] | None = None) -> str:
    """Canonical key of a stamp, by default this machine's for PyTorch on the CPU.

    Latencies under different keys are never compared.
    """
    text = json.dumps(environment() if stamp is None else stamp, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _cpu_model() -> str:
    if sys.platform == "darwin":
        told = subprocess.run(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        return told.stdout.strip() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told_by_kernel = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {name.strip(): value.strip() for name, value in told_by_kernel.items()}
    # ARM kernels give no model name, only who designed the core and its part number.
    arm = " ".join(fields[name] for name in ("CPU implementer", "CPU part") if name in fields)
    return fields.get("model name") or arm or platform.machine()


def _frequency(name: str) -> str | None:
    """A setting of the core that is measured on first; most virtual machines tell none."""
    core = pick(1, available_cores())[0]
    try:
        return (TOPOLOGY / f"cpu{core}" / "cpufreq" / name).read_text().strip()
    except OSError:
        return None


def _accelerator(device: Device) -> dict[str, str]:
    match device:
        case Device.CPU:
            return {}
        case Device.CUDA:
            with gpu() as told:
                return _driver() if told is None else told.stamp()
        case Device.TPU:
            chips = presence.tpu_chips()
            return {"tpu": ", ".join(chips)} if chips else {}
        case _:
            assert_never(device)


def _driver(folder: Path = DRIVER) -> dict[str, str]:
    """What the driver itself tells of the GPU and its version, where its management library cannot be asked."""
    told = {}
    with contextlib.suppress(OSError, IndexError):
        told["driver"] = (folder / "version").read_text().splitlines()[0].strip()
    for information in sorted(folder.glob("gpus/*/information"))[:1]:
        with contextlib.suppress(OSError):
            models = [line for line in information.read_text().splitlines() if line.startswith("Model:")]
            told |= {"gpu": models[0].removeprefix("Model:").strip()} if models else {}
    return told


def _software(profile: DeviceProfile) -> dict[str, str]:
    found = {name: _version(name) for name in versions(profile)}
    stamp = {name: said for name, said in found.items() if said is not None}
    if profile.runtime is Runtime.TORCH_COMPILE and profile.device is Device.CPU:
        stamp["compiler"] = _compiler()
    return stamp


@cache
def _compiler() -> str:
    path = presence.compiler()
    if path is None:
        return "unknown"
    told = subprocess.run([path, "--version"], capture_output=True, text=True)  # noqa: S603
    return (told.stdout.splitlines() or ["unknown"])[0]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
