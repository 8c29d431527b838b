"""The end of a search: the best of the front are distilled in full."""

from __future__ import annotations

from optimization.front import choose_finalists, infer_reference
from protocol.views import FinalistState, StudyState, TrialState
from service.operations.queue import queue_finalize
from service.store.tables import Finalist, Study
from service.store.unit_of_work import UnitOfWork


def start_finalizing(uow: UnitOfWork, study: Study) -> bool:
    """Chooses the finalists; False where there is no completed trial to choose from. The study must be locked.

    Those of an earlier search stay, and are not distilled again where they are chosen again.
    """
    trials = uow.trials.of(study.id, TrialState.COMPLETED)
    if not trials:
        return False
    spec = study.spec
    rows = [trial.metrics for trial in trials]
    if study.reference is None:
        study.reference = infer_reference(spec.objectives, rows)
    before = {finalist.trial_id for finalist in uow.trials.finalists(study.id)}
    for chosen in choose_finalists(spec.objectives, rows, spec.budget.finalists, study.reference):
        trial = trials[chosen]
        if trial.id in before:
            continue
        uow.trials.add_finalist(Finalist(trial_id=trial.id, state=FinalistState.FINALIZING))
        queue_finalize(uow, study, trial)
    study.state = StudyState.FINALIZING
    uow.flush()
    complete_if_ended(uow, study)
    return True


def complete_if_ended(uow: UnitOfWork, study: Study) -> None:
    """Ends the study with its last finalist: failed if not one of them was completed."""
    if study.state is not StudyState.FINALIZING:
        return  # it was extended meanwhile, and searches
    counts = uow.trials.finalist_counts(study.id)
    if counts.get(FinalistState.FINALIZING):
        return
    study.ended_at = uow.now
    if counts.get(FinalistState.COMPLETED):
        study.state = StudyState.COMPLETED
        return
    failed = [finalist for finalist in uow.trials.finalists(study.id) if finalist.error]
    study.state, study.failure = StudyState.FAILED, failed[-1].failure
    study.error = f"none of the {len(failed)} finalists could be finalized; one of them: {failed[-1].error}"
