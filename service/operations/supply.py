"""What the suggester reads and writes: a study as its strategy sees it, new trials, the end of the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimization.finalists import finalists
from optimization.strategy import StrategyStudy, StrategyTrial, Suggestion
from protocol.jobs import FailureReason
from protocol.study import Budget
from protocol.suggestion import Expected, SuggestionRecord
from protocol.views import StudyState, TrialState
from search_space import SearchSpace
from service.operations.budget import open_trials, still_to_suggest, wanted_now
from service.operations.calibrations import Known, predictors
from service.operations.cost import device_s
from service.operations.evidence import strategy_trials
from service.operations.failures import fail_study
from service.operations.finalists import Selection, start_finalizing
from service.operations.queue import prepared
from service.operations.sources import source_trials
from service.operations.spaces import effective_space
from service.operations.trials import add_trial
from service.store.tables import Study, Trial
from service.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What a study needs now: `count` suggestions, or that its search ends.

    Args:
        trials: those in the space, by number.
        ids: of all trials, as `all_trials` has them, also of those outside the space (baselines may be).
        finalists: how many are to be distilled in full; none of an external study, whose front is what it was for.
        budget: as it was when this was read; a study may be extended meanwhile.
    """

    study: StrategyStudy
    trials: tuple[StrategyTrial, ...]
    all_trials: tuple[StrategyTrial, ...]
    ids: tuple[int, ...]
    count: int
    ended: bool
    finalists: int
    budget: Budget


def has_need(uow: UnitOfWork, study: Study) -> bool:
    """Whether it is worth looking closer: cheap, and asked all the time."""
    counts = uow.trials.counts(study.id)
    return wanted_now(study.spec.budget, counts, device_s(uow, study)) > 0 or open_trials(counts) == 0


def space_of(study: Study) -> SearchSpace:
    return study.spec.space() if study.spec.external is not None else effective_space(study.spec, prepared(study))


def read_supply(uow: UnitOfWork, study: Study, space: SearchSpace, known: Known | None = None) -> Supply:
    """The study for its strategy. Trials outside the space (baselines may be) are none of its business.

    `known` remembers what calibrations say of this very space; without it they are asked again.
    """
    spec = study.spec
    counts, spent_s = uow.trials.counts(study.id), device_s(uow, study)
    rows = uow.trials.of(study.id)
    trials = strategy_trials(uow, study, rows)
    inside = tuple(trial for trial in trials if trial.architecture in space)
    untried = space.size - len(inside)
    informed = spec.strategy.is_informed
    return Supply(
        study=StrategyStudy(
            space=space,
            objectives=spec.objectives,
            constraints=spec.constraints,
            seed=spec.seed,
            reference=spec.reference or None,
            predictors=predictors(uow, study, space, known) if informed else {},
            sources=source_trials(uow, study, space) if informed else (),
        ),
        trials=inside,
        all_trials=trials,
        ids=tuple(row.id for row in rows),
        count=min(untried, wanted_now(spec.budget, counts, spent_s)),
        ended=open_trials(counts) == 0 and (untried == 0 or still_to_suggest(spec.budget, counts, spent_s) == 0),
        finalists=0 if spec.external is not None else spec.budget.finalists,
        budget=spec.budget,
    )


def insert_suggestions(
    uow: UnitOfWork, identity: int, attempt: int, suggestions: Sequence[Suggestion], seconds: float
) -> int:
    """Begins the suggested trials, if the study is still searching and still this attempt's; how many were begun.

    `seconds` is what choosing all of them took.
    """
    study = uow.studies.lock(identity)
    if study.suggester_attempt != attempt or study.state is not StudyState.SEARCHING:
        return 0
    known = uow.trials.keys(study.id)
    wanted = wanted_now(study.spec.budget, uow.trials.counts(study.id), device_s(uow, study))
    new = {each.architecture.key: each for each in suggestions if each.architecture.key not in known}
    fresh = list(new.values())[:wanted]
    for suggestion in fresh:
        record = _record(suggestion, seconds, len(suggestions))
        add_trial(uow, study, suggestion.architecture, suggestion.strategy, suggestion.predicted, record)
    return len(fresh)


def select_finalists(supply: Supply) -> Selection:
    """The finalists of an ended search: those that the posterior of all trials expects most of; see
    `optimization.finalists`. Takes seconds.
    """
    chosen = finalists(supply.study, supply.all_trials, supply.finalists)
    note = f"finalists were chosen by their evaluations alone: {chosen.without_model}" if chosen.without_model else None
    return Selection(trials=tuple(supply.ids[place] for place in chosen.places), note=note)


def end_search(
    uow: UnitOfWork, identity: int, attempt: int, budget: Budget | None = None, selection: Selection | None = None
) -> None:
    """Goes on to the selected finalists; a study without any feasible trial fails.

    Nothing happens where the study was extended since it had this budget. Without a selection the evaluations of the
    trials decide.
    """
    study = uow.studies.lock(identity)
    if study.suggester_attempt != attempt or study.state is not StudyState.SEARCHING:
        return
    if budget is not None and study.spec.budget != budget:
        return
    if not start_finalizing(uow, study, selection):
        trials = uow.trials.of(study.id)
        infeasible = any(trial.state in (TrialState.INFEASIBLE, TrialState.STOPPED) for trial in trials)
        reason = FailureReason.INVALID if infeasible else FailureReason.ERROR
        fail_study(uow, study, _nothing_feasible(trials), reason)


def give_up(uow: UnitOfWork, identity: int, attempt: int, reason: str) -> None:
    """Ends a study that cannot be supplied."""
    study = uow.studies.lock(identity)
    if study.suggester_attempt == attempt and study.state is StudyState.SEARCHING:
        fail_study(uow, study, reason, FailureReason.ERROR)


def _record(suggestion: Suggestion, seconds: float, count: int) -> SuggestionRecord:
    expected = {
        metric: Expected(value=value, deviation=suggestion.deviations.get(metric))
        for metric, value in suggestion.predicted.items()
    }
    return SuggestionRecord(
        strategy=suggestion.strategy,
        acquisition=suggestion.acquisition,
        predicted=expected,
        observations=dict(suggestion.observations),
        seconds=seconds,
        count=count,
        fallback=suggestion.fallback,
    )


def _nothing_feasible(trials: Sequence[Trial]) -> str:
    infeasible = [trial for trial in trials if trial.state is TrialState.INFEASIBLE]
    stopped = [trial for trial in trials if trial.state is TrialState.STOPPED]
    failed = [trial for trial in trials if trial.state is TrialState.FAILED]
    parts = [f"none of {len(trials)} trials was completed: {len(infeasible)} infeasible, {len(failed)} failed"]
    if stopped:
        parts.append(f"{len(stopped)} stopped, the last one: {stopped[-1].reason}")
    if infeasible:
        parts.append(f"the last infeasible one: {infeasible[-1].reason}")
    if failed:
        parts.append(f"the last failed one: {failed[-1].reason}")
    return "; ".join(parts)
