"""The latency that the TPU compiler expects of an architecture on a chip that is not attached."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from encoders.values import Head
from hardware.chips import Chip
from hardware.environment import hardware_key
from hardware.errors import BusyError, HangError, MeasurementError, OutOfMemoryError, UnsupportedProfileError
from hardware.isolation import fork_server
from hardware.lock import computing, measuring
from hardware.roofline import Bound, lower_bound
from hardware.sources import fingerprint
from hardware.tpu.compiler import LOG, dumped_program
from hardware.tpu.schedule import Schedule, schedule
from hardware.tpu.targets import TARGETS, Target, not_estimable
from hardware.values import (
    Device,
    DeviceProfile,
    Effort,
    HardwareError,
    Measurement,
    Quantile,
    Source,
    Verdict,
)
from search_space import Architecture

LIMIT_S = 600.0
"""What a compilation may take on a busy machine; more is a hang."""


PACKAGES = ("jax", "jaxlib", "libtpu")

FOLDER_VARIABLE = "STILLHOUSE_TPU_CACHE"
"""Environment variable that names the folder of the estimates made so far."""

LEAST_COVERAGE = 0.5
"""Of the bytes that computing instructions write, by those with an estimate; below, their sum tells too little."""

SOURCES = ("encoders.jax_encoder", "hardware.tpu.compiler", "hardware.tpu.schedule")
"""The modules of ours that say what is compiled, and how the compiler's program is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What is kept of a compilation. `memory_bytes` is what program and data need on the device."""

    schedule: Schedule
    compile_s: float
    memory_bytes: int


def estimate(
    architecture: Architecture,
    head: Head,
    profile: DeviceProfile,
    *,
    folder: Path | None = None,
    effort: Effort = Effort.SEARCH,
    limit_s: float = LIMIT_S,
    lock: Callable[[Device], AbstractContextManager[None]] = measuring,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Measurement:
    """The compiler's estimate for the chip that the profile names, no less than what the roofline allows.

        latency = max(sum of the estimated cycles / clock, bytes moved / bandwidth, operations / peak)

    of the device alone: what a host needs to start a program is not in it. No chip is touched and nothing is timed but
    the compilation: all quantiles are the one value, without bounds or samples, and nothing would vary if it were
    estimated again. `folder` keeps what has been compiled; by default that of `FOLDER_VARIABLE`, else one in the user's
    cache. A compilation shares the CPU, so that it waits for what is measured there, and has the lock of TPUs on this
    machine, because the compiler has one user at a time.

    Raises:
        UnsupportedProfileError: no such chip, or the compiler is not installed, or the architecture is too short.
        OutOfMemoryError: the program does not fit into the chip's memory.
        BusyError: something that is not ours uses libtpu on this machine.
        HangError: the compiler did not end within `limit_s` and was killed.
        MeasurementError: the compiler failed, or its program cannot be priced.
    """
    compiled = compilation(architecture, head, profile, folder=folder, limit_s=limit_s, lock=lock)
    return _measurement(architecture, head, profile, compiled, effort, clock())


def compilation(
    architecture: Architecture,
    head: Head,
    profile: DeviceProfile,
    *,
    folder: Path | None = None,
    limit_s: float = LIMIT_S,
    lock: Callable[[Device], AbstractContextManager[None]] = measuring,
) -> Compiled:
    """What an estimate is made of, kept in the folder or compiled now.

    Raises:
        HardwareError: as `estimate`.
    """
    _check(architecture, profile)
    target = TARGETS[profile.chip]
    kept = (folder or default_folder()) / f"{_key(architecture, head, profile, target)}.json"
    compiled = _read(kept)
    if compiled is None:
        # The CPU first, as always, for it is what computes here: no measurement on it shall be disturbed.
        with computing(Device.CPU), lock(Device.TPU):
            compiled = _compile(architecture, head, profile, target, limit_s)
        _write(kept, compiled)
    return compiled


def estimator_key(chip: str) -> str:
    """The hardware key of all estimates for this chip with the compiler that is installed here."""
    return hardware_key(_stamp(TARGETS[chip].chip))


def default_folder() -> Path:
    """Where estimates are kept unless told otherwise."""
    named = os.environ.get(FOLDER_VARIABLE)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(cache) / "stillhouse" / "tpu"


def _check(architecture: Architecture, profile: DeviceProfile) -> None:
    reason = not_estimable(profile)
    if reason is not None:
        raise UnsupportedProfileError(f"cannot estimate for {profile.label}: {reason}")
    if profile.length > architecture.max_positions:
        raise UnsupportedProfileError(
            f"cannot estimate at length {profile.length}: the architecture has {architecture.max_positions} positions"
        )


def _key(architecture: Architecture, head: Head, profile: DeviceProfile, target: Target) -> str:
    """Of all that the schedule depends on: not of threads, nor of what is computed from it afterwards."""
    parts = {
        "architecture": architecture.key,
        "head": asdict(head),
        "topology": target.topology,
        "dtype": profile.dtype,
        "batch": profile.batch,
        "length": profile.length,
        "encoder": fingerprint(*SOURCES),
        **_versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _stamp(known: Chip) -> dict[str, str]:
    return {"chip": f"TPU {known.name}, {known.unit}", **_versions(), "encoder": fingerprint(*SOURCES)}


def _versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}


def _read(path: Path) -> Compiled | None:
    """What was kept; None for nothing, and for what is not whole."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Compiled(**(kept | {"schedule": Schedule(**kept["schedule"])}))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(path: Path, compiled: Compiled) -> None:
    """Keep it; what cannot be kept has cost too much to be thrown away for that."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(asdict(compiled)), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        logging.getLogger(__name__).warning(
            "an estimate is not kept, and will be compiled again: %s cannot be written (%s); %s names another folder",
            path.parent,
            error.strerror,
            FOLDER_VARIABLE,
        )


def _compile(
    architecture: Architecture, head: Head, profile: DeviceProfile, target: Target, limit_s: float
) -> Compiled:
    with TemporaryDirectory(prefix="stillhouse-tpu-") as name, fork_server(("hardware.tpu.compiler",)) as server:
        folder = Path(name)
        request = {
            "architecture": architecture.to_dict(),
            "head": asdict(head),
            "profile": asdict(profile),
            "topology": target.topology,
            "folder": name,
        }
        try:
            told = server.call("hardware.tpu.compiler:compile_program", request, limit_s=limit_s)
        except HangError:
            raise HangError(f"the TPU compiler did not end within {limit_s:g} s and was killed") from None
        except MeasurementError as error:
            raise _explained(error, profile, _last_words(folder)) from error
        if (told["kind"], told["cores"]) != (target.kind, target.cores):
            raise MeasurementError(
                f"the compiler takes {target.topology} for {told['cores']} cores of {told['kind']!r},"
                f" not for {target.cores} of {target.kind!r}"
            )
        text = dumped_program(folder)
        if text is None:
            raise MeasurementError(f"the TPU compiler wrote no program, or several; it said: {_last_words(folder)}")
        return Compiled(schedule=schedule(text), compile_s=told["compile_s"], memory_bytes=told["memory_bytes"])


def _explained(error: MeasurementError, profile: DeviceProfile, last_words: str) -> HardwareError:
    message = str(error)
    if "libtpu multi-process lockfile" in message or "libtpu_lockfile" in message:
        return BusyError(
            "another process on this machine uses libtpu, which has one user at a time; estimate again when it has"
            " ended, or remove /tmp/libtpu_lockfile if there is none"
        )
    if "RESOURCE_EXHAUSTED" in message:
        return OutOfMemoryError(f"the program does not fit into the memory of {profile.label}: {_first_line(message)}")
    if isinstance(error, OutOfMemoryError):  # of this machine, which says nothing of the chip's
        return MeasurementError("the TPU compiler was killed, most likely because this machine's memory ran out")
    said = f"; it said: {last_words}" if "died" in message and last_words else ""
    return MeasurementError(f"the TPU compiler failed: {_first_line(message)}{said}")


def _first_line(message: str) -> str:
    return message.removeprefix("measuring failed: ").partition("\n")[0][:500]


def _last_words(folder: Path) -> str:
    """The last line that the compiler's process printed."""
    try:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:500] for line in reversed(lines) if line.strip()), "")


def _measurement(
    architecture: Architecture,
    head: Head,
    profile: DeviceProfile,
    compiled: Compiled,
    effort: Effort,
    now: datetime,
) -> Measurement:
    known = TARGETS[profile.chip].chip
    bound = lower_bound(architecture, head, profile, known)
    latency_s, notes = priced(compiled.schedule, known, bound)
    value = Quantile(value_s=latency_s, low_s=None, high_s=None)
    stamp = _stamp(known)
    return Measurement(
        profile=profile,
        effort=effort,
        source=Source.COMPILER,
        verdict=Verdict.ESTIMATED,
        p50=value,
        p90=value,
        p99=value,
        throughput_per_s=profile.batch / latency_s,
        load_s=0.0,
        first_call_s=0.0,
        compile_s=compiled.compile_s,
        peak_memory_bytes=0,
        device_peak_memory_bytes=compiled.memory_bytes,
        bound_s=bound.seconds,
        log_variance=0.0,
        hardware_key=hardware_key(stamp),
        environment=stamp,
        samples_s=[],
        measured_at=now.isoformat(),
        notes=notes,
    )


def priced(found: Schedule, known: Chip, bound: Bound) -> tuple[float, tuple[str, ...]]:
    """The seconds that a schedule takes on a chip, and what is to be said of them.

    Raises:
        MeasurementError: the chip's clock is not known, or too little of the schedule carries an estimate.
    """
    if found.byte_coverage < LEAST_COVERAGE:
        raise MeasurementError(
            f"the compiler has estimates for instructions that write {found.byte_coverage:.0%} of the bytes alone, less"
            f" than {LEAST_COVERAGE:.0%}"
        )
    if known.clock_hz is None:
        raise MeasurementError(f"the clock of {known.name} is not known, so that cycles are no time")
    cycles_s, copies_s = found.cycles / known.clock_hz, found.moved_bytes / known.bandwidth
    least_s, why = max((bound.seconds, bound.label), (copies_s, "bytes copied / bandwidth"))
    count = found.estimated + found.unestimated
    notes = (
        f"estimated by the TPU compiler for {known.unit} of {known.name}, not measured:"
        f" {found.cycles:,} cycles at {known.clock_hz / 1e9:g} GHz are {cycles_s * 1e3:.4g} ms",
        f"{found.estimated} of {count} computing instructions carry an estimate;"
        f" they write {found.byte_coverage:.1%} of the bytes",
        f"at least {least_s * 1e3:.4g} ms: {why}" + (", which is taken" if least_s > cycles_s else ""),
    )
    return max(cycles_s, least_s), notes
