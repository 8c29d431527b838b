"""External trials: handed out to whoever asks, and told by them."""

from __future__ import annotations

from protocol.jobs import PROTOCOL_VERSION, Ask, JobKind, LeaseRequest, Report, Tell
from protocol.views import AskedView, ToldView
from service.errors import NotExternalError, NotFoundError
from service.operations.audit import audited
from service.operations.jobs import lease, report
from service.operations.studies import get_study
from service.settings import Settings
from service.store.tables import Study
from service.store.unit_of_work import Store, UnitOfWork


def ask(uow: UnitOfWork, settings: Settings, name: str, message: Ask) -> AskedView:
    """Leases pending trials of the study, the oldest first; none where there are none, or it has ended.

    The same request gets the same trials, as far as their leases last.

    Raises:
        NotFoundError, NotExternalError, BusyError.
    """
    study = external_study(uow, name)
    found = []
    for place in range(message.count):
        grant = lease(uow, settings, lease_request(message, place), study.id)
        if grant is not None:
            found.append(grant)
        elif message.request is None:
            break
    return AskedView(state=study.state, trials=tuple(found))


def tell(store: Store, settings: Settings, name: str, number: int, message: Tell) -> ToldView:
    """Ends the attempt at this trial. The same may be told any number of times.

    Raises:
        NotFoundError, NotExternalError; LeaseLostError: somebody else has the trial; InvalidError: a metric is missing.
    """
    with store.read() as uow:
        study = external_study(uow, name)
        trial = uow.trials.numbered(study.id, number)
        job = None if trial is None else uow.jobs.of_trial(trial.id, JobKind.EVALUATE)
    if trial is None or job is None:
        raise NotFoundError(f"study {name!r} has no trial {number} that is evaluated outside")
    told = Report(attempt=message.attempt, result=message.result)
    with audited(store, job.id, told) as uow:
        report(uow, settings, job.id, told)
        ended = uow.trials.get(trial.id)
        return ToldView(study=name, number=number, state=ended.state, reason=ended.reason)


def external_study(uow: UnitOfWork, name: str) -> Study:
    """Raises: NotFoundError, NotExternalError."""
    study = get_study(uow, name)
    if study.spec.external is None:
        raise NotExternalError(f"study {name!r} is not external: its trials are jobs of workers")
    return study


def lease_request(message: Ask, place: int = 0) -> LeaseRequest:
    """The request for one of the trials that are asked for."""
    return LeaseRequest(
        worker=message.worker,
        protocol_version=PROTOCOL_VERSION,
        kinds=(JobKind.EVALUATE,),
        request=None if message.request is None else f"{message.request}-{place}",
    )
