"""The machines that measure, by their hardware key."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.calibration import view_of
from protocol.devices import DeviceView
from protocol.targets import Target
from service.operations.machines import alive_workers
from service.operations.paging import Page, decode, page
from service.operations.readings import drifts_of
from service.store.tables import CalibrationRow, Worker
from service.store.unit_of_work import UnitOfWork


def device_page(uow: UnitOfWork, limit: int, cursor: str | None) -> Page[DeviceView]:
    """Some of the hardware keys that a worker, a calibration or a study names, in their order.

    Raises:
        InvalidError: a cursor of another list.
    """
    after = decode(cursor, str)
    workers, calibrations = uow.workers.all(), uow.calibrations.all()
    studies = uow.studies.hardware()
    alive = {worker.name for worker in alive_workers(uow)}
    found = sorted((drift for one in workers for drift in drifts_of(uow, one.name)), key=lambda one: one.measured_at)
    drifts = {(drift.hardware_key, drift.target): drift for drift in found}
    keys = {key for worker in workers for key, _ in _targets(worker)}
    keys |= {row.hardware_key for row in calibrations} | {key for key, _ in studies}
    following = sorted(key for key in keys if after is None or key > str(after[0]))
    some = page(following, limit, lambda key: (key,))
    devices = tuple(
        DeviceView(
            hardware_key=key,
            environment=_environment(uow, key, [row for row in calibrations if row.hardware_key == key]),
            targets=_distinct(target for worker in workers for its, target in _targets(worker) if its == key),
            workers=tuple(worker.name for worker in workers if key in dict(_targets(worker))),
            alive=tuple(worker.name for worker in workers if worker.name in alive and key in dict(_targets(worker))),
            calibrations=tuple(view_of(row.record, row.id) for row in calibrations if row.hardware_key == key),
            drifts=tuple(drift for (its, _), drift in drifts.items() if its == key),
            studies=tuple(name for its, name in studies if its == key),
        )
        for key in some.items
    )
    return Page(devices, some.cursor)


def _targets(worker: Worker) -> Iterator[tuple[str, Target]]:
    for target in worker.targets:
        if target.hardware_key is not None:
            yield target.hardware_key, target


def _distinct(targets: Iterator[Target]) -> tuple[Target, ...]:
    return tuple({target.model_dump_json(): target for target in targets}.values())


def _environment(uow: UnitOfWork, key: str, calibrations: list[CalibrationRow]) -> dict[str, str] | None:
    if calibrations:
        return calibrations[0].record.environment
    reference = uow.studies.newest_reference(key)
    return None if reference is None else reference.measurement.environment
