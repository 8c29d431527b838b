"""The measuring procedure: one architecture on one device profile, in fresh processes, judged as a whole."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from encoders.values import Head
from hardware.attempt import undisturbed
from hardware.backend import allowance_s, backend_module, exporter, supports
from hardware.errors import UnsupportedProfileError
from hardware.isolation import ForkServer, fork_server
from hardware.judgement import judged
from hardware.lock import measuring
from hardware.plan import PLANS, REFERENCE, REFERENCE_HEAD, reference_rules, rules_of, tolerance
from hardware.roofline import chip_name, lower_bound_s, refuse_below
from hardware.round import Round, Rules
from hardware.tpu.estimator import estimate
from hardware.values import Device, DeviceProfile, Effort, Measurement, QuantileName
from search_space import Architecture, cost

EXPORT_LIMIT_S = 600.0
"""What it may take to write a model for a runtime that does not run PyTorch."""

LEAST_RATE = 1e9
"""Operations a second of the slowest device whose calls are waited for: BERT-base takes 22 s there for 128 tokens."""

OVERTIME_CALLS = 3
"""The first call, and those in which the time of the warm-up and that of the timed calls run out."""

MOST_OVERTIME_S = 3600.0


def measure(
    architecture: Architecture,
    head: Head,
    profile: DeviceProfile,
    effort: Effort,
    *,
    quantiles: tuple[QuantileName, ...] = (QuantileName.P50,),
    checkpoint: Path | None = None,
    seed: int = 0,
    asks_machine: bool = False,
    lock: Callable[[Device], AbstractContextManager[None]] = measuring,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Measurement:
    """The latency on this machine of the model in the folder `checkpoint`, else of one with random weights.

    Either is of this architecture and head. `quantiles` are those that count: it is measured until they are narrow, as
    far as there is time, and verdict and variance are theirs. With `asks_machine`, work on the
    machine's other cores disturbs `quick`, too, as it does the other efforts. Waits for the locks of the device and of
    the CPU that drives it, then takes at least the time that the effort's plan asks for; slow calls take longer,
    because each process needs its samples, and a busy machine up to some retries more. The first call of this process
    also loads the runtime; what compiles or exports takes that time besides. A profile that names a chip is not
    measured but estimated for it.

    Raises:
        UnsupportedProfileError: this machine cannot measure the profile, or the architecture is too short for it.
        OutOfMemoryError: it does not fit.
        HangError: a process did not end within its limit and was killed.
        CompilationError: the runtime's compiler does not take the model.
        ImpossibleLatencyError: the chip cannot be as fast as was measured.
        MeasurementError: a process died, the checkpoint does not fit, or the model raised.
    """
    _check(architecture, profile)
    if profile.chip:
        return estimate(architecture, head, profile, effort=effort, lock=lock, clock=clock)
    plan = PLANS[effort]
    rules = rules_of(effort, profile.device, quantiles)
    rules = replace(rules, asks_machine=rules.asks_machine or asks_machine)
    fitting = replace(REFERENCE, max_positions=max(REFERENCE.max_positions, profile.length))
    asked = Subject(architecture=architecture, head=head, seed=seed, checkpoint=checkpoint)
    known = Subject(architecture=fitting, head=REFERENCE_HEAD, seed=0)
    with alone(profile.device, lock), tempfile.TemporaryDirectory(prefix="stillhouse-measure-") as scratch:
        asked = readable(asked, profile, Path(scratch) / "exported")
        if plan.with_reference:
            known = readable(known, profile, _kept() / f"{profile.runtime}-{fitting.max_positions}")
        with fork_server((backend_module(profile), "hardware.round")) as server:

            def target() -> Round:
                return _round(server, asked, profile, rules, Path(scratch))

            def reference() -> Round:
                return _round(server, known, profile, reference_rules(profile.device), _kept())

            attempt = undisturbed(
                plan.processes,
                target,
                reference if plan.with_reference else None,
                most_moved=tolerance(profile.device).moved,
            )
    measured = judged(attempt, rules, profile, effort, clock())
    bound = lower_bound_s(architecture, head, profile, chip_name(measured.environment))
    refuse_below(measured, bound)
    return replace(measured, bound_s=None if bound is None else bound.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is timed: the model in the folder `checkpoint`, else one of random weights."""

    architecture: Architecture
    head: Head
    seed: int
    checkpoint: Path | None = None

    def request(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture.to_dict(),
            "head": asdict(self.head),
            "seed": self.seed,
            "checkpoint": None if self.checkpoint is None else str(self.checkpoint.absolute()),
        }


def _check(architecture: Architecture, profile: DeviceProfile) -> None:
    reason = supports(profile)
    if reason is not None:
        raise UnsupportedProfileError(f"cannot measure on {profile.label}: {reason}")
    if profile.length > architecture.max_positions:
        raise UnsupportedProfileError(
            f"cannot measure at length {profile.length}: the architecture has {architecture.max_positions} positions"
        )


@contextlib.contextmanager
def alone(device: Device, lock: Callable[[Device], AbstractContextManager[None]]) -> Iterator[None]:
    """The device, and before it the CPU: an accelerator waits for what drives it. Always in this order."""
    with contextlib.ExitStack() as held:
        for each in dict.fromkeys((Device.CPU, device)):
            held.enter_context(lock(each))
        yield


def readable(subject: Subject, profile: DeviceProfile, folder: Path) -> Subject:
    """The subject as the profile's runtime reads it: itself, or a `folder` that is written unless it is there already.

    Raises:
        MeasurementError: it could not be written, or the checkpoint is of another architecture or head.
    """
    function = exporter(profile, subject.checkpoint)
    if function is None:
        return subject
    if not folder.exists():
        with fork_server((function.partition(":")[0],)) as server, tempfile.TemporaryDirectory() as parent:
            partial = Path(parent) / "exported"
            partial.mkdir()
            server.call(function, subject.request() | {"folder": str(partial)}, limit_s=EXPORT_LIMIT_S)
            partial.rename(folder)
    return replace(subject, checkpoint=folder)


@cache
def _kept() -> Path:
    """A folder for what concerns the reference architecture alone; it lasts as long as this process."""
    folder = tempfile.mkdtemp(prefix="stillhouse-reference-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _round(server: ForkServer, subject: Subject, profile: DeviceProfile, rules: Rules, scratch: Path) -> Round:
    request = subject.request() | {"profile": asdict(profile), "rules": asdict(rules), "scratch": str(scratch)}
    limit_s = limit_of(subject.architecture, profile, rules)
    return Round(**server.call("hardware.round:run", request, limit_s=limit_s))


def limit_of(architecture: Architecture, profile: DeviceProfile, rules: Rules) -> float:
    """Seconds that a process may take for one round, however slow the calls are; then it hangs and is killed."""
    operations = cost(architecture, batch=profile.batch, length=profile.length).flops
    overtime_s = min(OVERTIME_CALLS * operations / LEAST_RATE, MOST_OVERTIME_S)
    return allowance_s(profile) + rules.warm_most_s + rules.most_s + overtime_s
