"""The stamp of the machine and software that a latency belongs to."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hardware.cores import available_cores, core_quota, pick
from hardware.values import DeviceProfile

PACKAGES = ("torch",)
"""Packages whose version can change a latency."""


def environment(profile: DeviceProfile | None = None) -> dict[str, str]:
    """All of this machine that a latency of the profile may depend on and that lasts: nothing that changes by itself.

    Two machines of one kind have equal stamps: their latencies may be compared, and the host's name is not in it.
    """
    del profile
    stamp = {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "logical_cores": str(os.cpu_count() or 1),
        "available_cores": str(len(available_cores())),
        "governor": _governor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    quota = core_quota()
    if quota is not None:
        stamp["core_quota"] = f"{quota:g}"
    return stamp | {name: _version(name) for name in PACKAGES}


def machine() -> dict[str, str]:
    """Of the stamp what is hardware and system: on what something was computed."""
    stamp = environment()
    return {name: stamp[name] for name in ("cpu", "architecture", "logical_cores", "available_cores", "system")}


def hardware_key(stamp: dict[str, str] | None = None) -> str:
    """Canonical key of a stamp, by default this machine's. Latencies under different keys are never compared."""
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


def _governor() -> str:
    """The frequency governor of the core that is measured on first; 'unknown' in most virtual machines."""
    core = pick(1, available_cores())[0]
    try:
        return Path(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
