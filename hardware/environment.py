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
from hardware.backend import sources, versions
from hardware.cores import TOPOLOGY, available_cores, core_quota, pick
from hardware.nvml import first_visible, gpu
from hardware.settings import stamped
from hardware.sources import fingerprint
from hardware.values import Device, DeviceProfile, Runtime

ANY = DeviceProfile()
"""PyTorch on the CPU."""

DRIVER = Path("/proc/driver/nvidia")


def environment(profile: DeviceProfile = ANY) -> dict[str, str]:
    """All of this machine that a latency of this profile may depend on and that lasts: nothing that changes by itself.

    Of software only what the profile's runtime is made of, and the source of ours that says what is computed. Two
    machines of one kind have equal stamps: their latencies may be compared, and the host's name is not in it. What the
    system does not tell is left out, or `unknown`.
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
    boost = _boost()
    if boost is not None:
        stamp["cpu_boost"] = boost
    return stamp | stamped(os.environ) | _accelerator(profile.device) | _software(profile)


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


def _boost(topology: Path = TOPOLOGY) -> str | None:
    """Whether cores may run above their base clock; None where the system does not tell."""
    for name, off in (("intel_pstate/no_turbo", "1"), ("cpufreq/boost", "0")):
        with contextlib.suppress(OSError):
            return "off" if (topology / name).read_text().strip() == off else "on"
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
    with contextlib.suppress(OSError, IndexError, StopIteration):
        # In the order of their places on the bus, by which they are numbered.
        cards = [file.read_text() for file in sorted(folder.glob("gpus/*/information"))]
        wanted = first_visible()
        card = cards[int(wanted)] if wanted.isdigit() else next(text for text in cards if wanted in text)
        model = next(line for line in card.splitlines() if line.startswith("Model:"))
        told["gpu"] = model.removeprefix("Model:").strip()
    return told


def _software(profile: DeviceProfile) -> dict[str, str]:
    found = {name: _version(name) for name in versions(profile)}
    stamp = {name: said for name, said in found.items() if said is not None}
    if sources(profile):
        stamp["encoder"] = fingerprint(*sources(profile))
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
