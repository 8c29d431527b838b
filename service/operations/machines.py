"""Which machines measure a study, and what people should know of them.

All latencies of a study are from hardware of one key: the first that measured its references.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import assert_never

from hardware.values import DeviceProfile, Measurement
from protocol.jobs import Calibrated, Distilled, Evaluated, Finalized, JobState, Measured, Outcome, Prepared
from protocol.targets import Need, Target
from service.store.lanes import serves
from service.store.tables import Job, Study, Worker
from service.store.unit_of_work import UnitOfWork

ALIVE_S = 90.0
"""A worker that was seen within this many seconds counts as alive: the longest long poll, and some."""


def alive_workers(uow: UnitOfWork) -> Sequence[Worker]:
    return uow.workers.alive(uow.now - timedelta(seconds=ALIVE_S))


def can_measure(targets: Sequence[Target], profile: DeviceProfile, study: Study) -> bool:
    """Whether somebody with these targets may measure the profile for this study."""
    return serves(targets, Need.of(profile), study.hardware_key)


def measurements_of(outcome: Outcome) -> list[Measurement]:
    match outcome:
        case Calibrated():
            return list(outcome.measurements.values())  # a sample's are behind its calibration
        case Measured():
            return [outcome.measurement]
        case Finalized():
            return [] if outcome.measurement is None else [outcome.measurement]
        case Prepared() | Distilled() | Evaluated():
            return []
        case unreachable:
            assert_never(unreachable)


def mixed(study: Study, outcome: Outcome) -> str | None:
    """Why the outcome's latencies cannot stand beside each other, and the study's; None where they can."""
    keys = _hardware_keys(outcome)
    if study.hardware_key is not None and keys - {study.hardware_key}:
        other = sorted(keys - {study.hardware_key})[0]
        return f"it was measured on hardware {other}, and the study's latencies are of hardware {study.hardware_key}"
    if len(keys) > 1:
        return f"the machine changed meanwhile: its measurements are of hardware {' and '.join(sorted(keys))}"
    return None


def settle(study: Study, outcome: Outcome) -> None:
    """From its first measurement on, a study stays with that hardware."""
    for hardware_key in _hardware_keys(outcome):
        study.hardware_key = study.hardware_key or hardware_key


def _hardware_keys(outcome: Outcome) -> set[str]:
    keys = {measurement.hardware_key for measurement in measurements_of(outcome)}
    sample = outcome.calibration if isinstance(outcome, Calibrated) else None
    return keys if sample is None else keys | {sample.hardware_key}


def machine_notes(study: Study, jobs: Sequence[Job], workers: Sequence[Worker]) -> Iterator[str]:
    """Of a study that has not ended: what it waits for, and who is left out. `jobs` are open, `workers` alive."""
    wanted = {(job.target, job.hardware_key): job for job in jobs if job.state is JobState.QUEUED and job.target}
    for (target, hardware_key), job in wanted.items():
        need = Need.parse(target)
        able = [worker for worker in workers if job.kind in worker.kinds]
        if any(serves(worker.targets, need, hardware_key) for worker in able):
            continue
        if not any(serves(worker.targets, need, None) for worker in able):
            yield f"waiting for a machine that measures {need.label}: no worker that is alive has it"
        else:
            yield (
                f"waiting for the machine that measured its references, hardware {hardware_key}: latencies of"
                " different hardware are never mixed; to measure on another one, start the study again under a new name"
            )
    if study.hardware_key is None:
        return
    need = Need.of(study.spec.target)
    for worker in workers:
        if serves(worker.targets, need, None) and not serves(worker.targets, need, study.hardware_key):
            key = next(target.hardware_key for target in worker.targets if target.has(need))
            yield (
                f"worker {worker.name} measures the target on other hardware ({key}) and gets none of this study's"
                f" measurements, which are of hardware {study.hardware_key}"
            )
