"""The machines that measure, by their hardware key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from protocol.calibration import view_of
from protocol.devices import DeviceView
from protocol.targets import Target
from service.operations.machines import alive_workers
from service.operations.paging import Page, decode, page
from service.operations.readings import drifts_on
from service.store.tables import CalibrationRow, Worker
from service.store.unit_of_work import UnitOfWork


def device_page(uow: UnitOfWork, limit: int, cursor: str | None) -> Page[DeviceView]:
    """Some of the hardware keys that a worker, a calibration or a study names, in their order.

    Raises:
        InvalidError: a cursor of another list.
    """
    after = decode(cursor, str)
    workers, studies = uow.workers.all(), uow.studies.hardware()
    alive = {worker.name for worker in alive_workers(uow)}
    keys = {key for worker in workers for key, _ in _targets(worker)}
    keys |= uow.calibrations.hardware() | {key for key, _ in studies}
    following = sorted(key for key in keys if after is None or key > str(after[0]))
    some = page(following, limit, lambda key: (key,))
    calibrations, drifts = uow.calibrations.on(some.items), drifts_on(uow, some.items)
    environments = _environments(uow, some.items, calibrations)
    devices = tuple(
        DeviceView(
            hardware_key=key,
            environment=environments.get(key),
            targets=_distinct(target for worker in workers for its, target in _targets(worker) if its == key),
            workers=tuple(worker.name for worker in workers if key in dict(_targets(worker))),
            alive=tuple(worker.name for worker in workers if worker.name in alive and key in dict(_targets(worker))),
            calibrations=tuple(view_of(row.record, row.id) for row in calibrations if row.hardware_key == key),
            drifts=tuple(drift for drift in drifts if drift.hardware_key == key),
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


def _environments(
    uow: UnitOfWork, keys: Collection[str], calibrations: Sequence[CalibrationRow]
) -> dict[str, dict[str, str]]:
    """By hardware key, what its newest calibration says, else what the newest reference of a study does."""
    found = {row.hardware_key: row.record.environment for row in reversed(calibrations)}
    references = uow.studies.newest_references(set(keys) - found.keys())
    return found | {key: row.measurement.environment for key, row in references.items()}
