"""Trials that are begun."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.suggestion import SuggestionRecord
from protocol.views import StudyState, TrialState
from search_space import Architecture
from service.operations.calibrations import predicted_latency
from service.operations.queue import prepared, queue_evaluate, queue_measure, queue_prepare
from service.operations.sources import source_notes
from service.operations.spaces import baselines, effective_space
from service.store.tables import Study, Trial
from service.store.unit_of_work import UnitOfWork


def begin_study(uow: UnitOfWork, study: Study) -> None:
    """Queues what comes first. An external study has nothing to prepare: its search begins at once."""
    if study.spec.external is None:
        queue_prepare(uow, study)
    else:
        study.state = StudyState.SEARCHING


def begin_search(uow: UnitOfWork, study: Study) -> None:
    """Begins the search, with the baselines."""
    facts = prepared(study)
    named, notes = baselines(study.spec, facts)
    study.state = StudyState.SEARCHING
    study.notes = (*study.notes, *notes)
    if study.spec.sources:
        study.notes = (*study.notes, *source_notes(uow, study, effective_space(study.spec, facts)))
    for name, architecture in named.items():
        add_trial(uow, study, architecture, f"baseline: {name}")


def add_trial(
    uow: UnitOfWork,
    study: Study,
    architecture: Architecture,
    origin: str,
    predicted: Mapping[str, float] | None = None,
    suggestion: SuggestionRecord | None = None,
) -> Trial:
    """A new trial with its first job. The study must be locked, or two trials might get one number."""
    trial = Trial(
        study_id=study.id,
        number=uow.trials.next_number(study.id),
        state=TrialState.PENDING,
        architecture=architecture,
        architecture_key=architecture.key,
        origin=origin,
        created_at=uow.now,
        predicted=dict(predicted or {}),
        suggestion=suggestion,
        predicted_latency=predicted_latency(uow, study, architecture),
    )
    uow.trials.add(trial)
    (queue_measure if study.spec.external is None else queue_evaluate)(uow, study, trial)
    return trial
