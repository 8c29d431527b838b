"""The measuring procedure: one architecture on one device profile, in fresh processes, judged as a whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from encoders.values import Head
from hardware.attempt import undisturbed
from hardware.backend import backend_module, supports
from hardware.errors import UnsupportedProfileError
from hardware.isolation import ForkServer, fork_server
from hardware.judgement import judged
from hardware.lock import measuring
from hardware.plan import PLANS, REFERENCE, REFERENCE_HEAD, REFERENCE_RULES
from hardware.round import Round, Rules
from hardware.tpu.estimator import estimate
from hardware.values import Device, DeviceProfile, Effort, Measurement, QuantileName
from search_space import Architecture

LOAD_ALLOWANCE_S = 60.0
"""What a process may take beyond the limits of its rules: to load, for its first call, and to end its last calls."""


def measure(
    architecture: Architecture,
    head: Head,
    profile: DeviceProfile,
    effort: Effort,
    *,
    quantiles: tuple[QuantileName, ...] = (QuantileName.P50,),
    checkpoint: Path | None = None,
    seed: int = 0,
    lock: Callable[[Device], AbstractContextManager[None]] = measuring,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Measurement:
    """The latency on this machine of the model in the folder `checkpoint`, else of one with random weights.

    Either is of this architecture and head. `quantiles` are those that count: it is measured until they are narrow, as
    far as there is time, and verdict and variance are theirs. Waits for the device's lock, then takes at least the time
    that the effort's plan asks for; slow calls take longer, because each process needs its samples, and a busy machine
    up to some retries more. The first call of this process also loads the runtime. A profile that names a chip is not
    measured but estimated for it.

    Raises:
        UnsupportedProfileError: this machine cannot measure the profile, or the architecture is too short for it.
        OutOfMemoryError: it does not fit.
        HangError: a process did not end within its limit and was killed.
        MeasurementError: a process died, the checkpoint does not fit, or the model raised.
    """
    _check(architecture, profile)
    if profile.chip:
        return estimate(architecture, head, profile, effort=effort, lock=lock, clock=clock)
    plan = PLANS[effort]
    rules = replace(plan.rules, quantiles=quantiles)
    with lock(profile.device), fork_server((backend_module(profile),)) as server:

        def target() -> Round:
            return _round(server, architecture, head, profile, rules, seed, checkpoint)

        def reference() -> Round:
            fitting = replace(REFERENCE, max_positions=max(REFERENCE.max_positions, profile.length))
            return _round(server, fitting, REFERENCE_HEAD, profile, REFERENCE_RULES, seed)

        attempt = undisturbed(plan.processes, target, reference if plan.with_reference else None)
    return judged(attempt, rules, profile, effort, clock())


def _check(architecture: Architecture, profile: DeviceProfile) -> None:
    reason = supports(profile)
    if reason is not None:
        raise UnsupportedProfileError(f"cannot measure on {profile.label}: {reason}")
    if profile.length > architecture.max_positions:
        raise UnsupportedProfileError(
            f"cannot measure at length {profile.length}: the architecture has {architecture.max_positions} positions"
        )


def _round(
    server: ForkServer,
    architecture: Architecture,
    head: Head,
    profile: DeviceProfile,
    rules: Rules,
    seed: int,
    checkpoint: Path | None = None,
) -> Round:
    request = {
        "architecture": architecture.to_dict(),
        "head": asdict(head),
        "profile": asdict(profile),
        "rules": asdict(rules),
        "seed": seed,
        "checkpoint": None if checkpoint is None else str(checkpoint.absolute()),
    }
    limit_s = LOAD_ALLOWANCE_S + rules.warm_most_s + rules.most_s
    return Round(**server.call("hardware.round:run", request, limit_s=limit_s))
