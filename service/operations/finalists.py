"""The end of a search: the best of the completed trials are distilled in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimization.front import choose_finalists, infer_reference
from protocol.views import FinalistState, StudyState, TrialState
from service.operations.queue import queue_finalize
from service.store.tables import Finalist, Study, Trial
from service.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which trials are worth a full distillation, best first; `note` is for people."""

    trials: tuple[int, ...]
    note: str | None = None


def start_finalizing(uow: UnitOfWork, study: Study, selection: Selection | None = None) -> bool:
    """Begins the finalists; False where there is no completed trial to choose from. The study must be locked.

    Without a selection the evaluations of the trials decide. A trial that is a finalist already, from before the study
    was extended, is not distilled again.
    """
    trials = {trial.id: trial for trial in uow.trials.of(study.id, TrialState.COMPLETED)}
    if not trials:
        return False
    if study.reference is None:
        study.reference = infer_reference(study.spec.objectives, [trial.metrics for trial in trials.values()])
    if study.spec.external is not None:  # nothing can be distilled in full: its front is what it was for
        study.state, study.ended_at = StudyState.COMPLETED, uow.now
        return True
    selection = selection or _by_evaluation(study, list(trials.values()))
    if selection.note is not None and selection.note not in study.notes:
        study.notes = (*study.notes, selection.note)
    before = {finalist.trial_id for finalist in uow.trials.finalists(study.id)}
    for trial in [trials[identity] for identity in selection.trials if identity not in before]:
        uow.trials.add_finalist(Finalist(trial_id=trial.id, state=FinalistState.FINALIZING))
        queue_finalize(uow, study, trial)
    study.state = StudyState.FINALIZING
    uow.flush()
    complete_if_ended(uow, study)
    return True


def _by_evaluation(study: Study, trials: Sequence[Trial]) -> Selection:
    spec, rows = study.spec, [trial.metrics for trial in trials]
    reference = spec.reference or infer_reference(spec.objectives, rows)
    chosen = choose_finalists(spec.objectives, rows, spec.budget.finalists, reference)
    return Selection(trials=tuple(trials[place].id for place in chosen))


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
