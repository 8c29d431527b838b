"""`stillhouse doctor`: what this machine can do, what is missing, and how to install it. Imports no runtime."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

from cli.errors import ExitCode
from client import Client, ClientError, ProblemError
from hardware.backend import supports, versions
from hardware.cores import available_cores, core_quota
from hardware.environment import environment, machine
from hardware.presence import no_device
from hardware.tpu.targets import TARGETS
from hardware.values import Device, DeviceProfile, Dtype, Runtime
from protocol.problem import SCOPE_MISSING

DISTRIBUTION = "stillhouse"
UNLISTED = ("dev", "bench")
"""Extras for who changes Stillhouse."""

NEEDED = ("server", "worker")
"""Extras without which `stillhouse run` cannot run."""

LEAST_FREE_BYTES = 2_000_000_000
"""Below this a study's artefacts and checkpoints may fill the disk."""

_REQUIREMENT = re.compile(r"\s*(?P<name>[A-Za-z0-9._-]+)[^;]*(?:;.*?extra\s*==\s*['\"](?P<extra>[\w-]+)['\"])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """A runtime on a device, or a chip that is estimated for: its dtypes, or why there is none."""

    device: str
    runtime: str
    dtypes: tuple[str, ...]
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """An extra of the distribution: the versions of what it needs, None for what is missing."""

    name: str
    packages: dict[str, str | None]

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name, version in self.packages.items() if version is None)

    @property
    def install(self) -> str | None:
        return f"pip install '{DISTRIBUTION}[{self.name}]'" if self.missing else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Hardware and system; `core_quota` is a container's limit."""

    stamp: dict[str, str]
    available_cores: int
    core_quota: float | None
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """A kind of device: what it says of itself, or why it is not there."""

    device: str
    stamp: dict[str, str]
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeFolder:
    path: str
    exists: bool
    free_bytes: int
    why: str | None
    """Why it cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    url: str
    why: str | None
    """What is wrong with it; None where it is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that was found. `problems` are what keeps `stillhouse run` from running here."""

    versions: dict[str, str]
    machine: Machine
    devices: tuple[Present, ...]
    runtimes: tuple[Runnable, ...]
    extras: tuple[Extra, ...]
    home: HomeFolder
    service: Service

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(self._problems())

    def _problems(self) -> Iterator[str]:
        for extra in self.extras:
            if extra.name in NEEDED and extra.missing:
                yield f"the extra {extra.name} is not complete: {extra.install}"
        if not any(one.dtypes for one in self.runtimes):
            yield "no runtime can be measured or estimated for here"
        if self.home.why is not None:
            yield f"the home {self.home.path} cannot be used: {self.home.why}"
        elif self.home.free_bytes < LEAST_FREE_BYTES:
            yield f"the home {self.home.path} has only {self.home.free_bytes / 1e9:.1f} GB of room"

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.FAILED if self.problems else ExitCode.DONE

    def plain(self) -> dict[str, object]:
        """As JSON tells it."""
        told = asdict(self)
        told["extras"] = [
            asdict(extra) | {"missing": list(extra.missing), "install": extra.install} for extra in self.extras
        ]
        return told | {"ok": not self.problems, "problems": list(self.problems)}


def examine(home: Path, url: str) -> Findings:
    """Looks at files, installed packages and the service; starts nothing and writes nothing."""
    return Findings(
        versions=_versions(),
        machine=_machine(),
        devices=tuple(map(_device, Device)),
        runtimes=tuple(_runtimes()),
        extras=tuple(_extras()),
        home=_home(home),
        service=_service(url),
    )


def _versions() -> dict[str, str]:
    return {DISTRIBUTION: _version(DISTRIBUTION) or "unknown", "python": platform.python_version()}


def _machine() -> Machine:
    return Machine(
        stamp=machine(),
        available_cores=len(available_cores()),
        core_quota=core_quota(),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )


def _device(device: Device) -> Present:
    why = no_device(device)
    stamp: dict[str, str] = {}
    if why is None and device.is_accelerator:
        runtime = Runtime.JAX if device is Device.TPU else Runtime.TORCH
        known = environment(DeviceProfile(runtime=runtime))
        found = environment(DeviceProfile(device=device, runtime=runtime))
        stamp = {name: value for name, value in found.items() if known.get(name) != value}
    return Present(device=device, stamp=stamp, why=why)


def _runtimes() -> Iterator[Runnable]:
    """Of devices that are there, and of chips that are estimated for."""
    for device in (device for device in Device if no_device(device) is None):
        for runtime in Runtime:
            if versions(profile := DeviceProfile(device=device, runtime=runtime)):
                yield _runnable(device, profile)
    for chip in TARGETS:
        yield _runnable(f"tpu {chip}, estimated", DeviceProfile(device=Device.TPU, runtime=Runtime.JAX, chip=chip))


def _runnable(name: str, profile: DeviceProfile) -> Runnable:
    reasons = {dtype: supports(replace(profile, dtype=dtype)) for dtype in Dtype}
    dtypes = tuple(str(dtype) for dtype, why in reasons.items() if why is None)
    return Runnable(
        device=name, runtime=profile.runtime, dtypes=dtypes, why=None if dtypes else next(iter(reasons.values()))
    )


def _extras() -> Iterator[Extra]:
    wanted: defaultdict[str, list[str]] = defaultdict(list)
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        requirements = []
    for requirement in requirements:
        if (found := _REQUIREMENT.match(requirement)) and found["extra"]:
            wanted[found["extra"]].append(found["name"])
    for extra, names in wanted.items():
        if extra not in UNLISTED:
            yield Extra(name=extra, packages={name: _version(name) for name in sorted(names)})


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _home(home: Path) -> HomeFolder:
    """The folder, or the nearest one above it that is there: in that it would be made."""
    there = next(place for place in (home, *home.parents) if place.exists())
    why = None
    if not there.is_dir():
        why = f"{there} is a file, not a folder"
    elif not os.access(there, os.W_OK | os.X_OK):
        why = f"{there} cannot be written"
    free_bytes = shutil.disk_usage(there).free
    return HomeFolder(path=str(home), exists=home.is_dir(), free_bytes=free_bytes, why=why)


def _service(url: str) -> Service:
    try:
        with Client(url, patience_s=0) as client:
            if not client.healthy():
                return Service(url=url, why="it is not well; its log says why")
            client.studies.list()
            return Service(url=url, why=None)
    except ProblemError as error:
        if error.code == SCOPE_MISSING:  # a worker's token, which is right where it is
            return Service(url=url, why=None)
        return Service(url=url, why=f"it answers, and refuses: {error}")
    except ClientError as error:
        return Service(url=url, why=str(error))
