"""What the suggester reads and writes: a study as its strategy sees it, new trials, the end of the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from optimization.strategy import Standing, StrategyStudy, StrategyTrial, Suggestion
from protocol.jobs import FailureReason
from protocol.views import StudyState, TrialState
from search_space import SearchSpace
from service.operations.budget import open_trials, still_to_suggest, wanted_now
from service.operations.calibrations import predictors
from service.operations.cost import device_s
from service.operations.failures import fail_study
from service.operations.finalists import start_finalizing
from service.operations.queue import prepared
from service.operations.spaces import effective_space
from service.operations.trials import add_trial
from service.store.tables import Study, Trial
from service.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What a study needs now: `count` suggestions, or that its search ends."""

    study: StrategyStudy
    trials: tuple[StrategyTrial, ...]
    count: int
    ended: bool


def has_need(uow: UnitOfWork, study: Study) -> bool:
    """Whether it is worth looking closer: cheap, and asked all the time."""
    counts = uow.trials.counts(study.id)
    return wanted_now(study.spec.budget, counts, device_s(uow, study)) > 0 or open_trials(counts) == 0


def space_of(study: Study) -> SearchSpace:
    return study.spec.space() if study.spec.external is not None else effective_space(study.spec, prepared(study))


def read_supply(uow: UnitOfWork, study: Study, space: SearchSpace) -> Supply:
    """The study for its strategy. Trials outside the space (baselines may be) are none of its business."""
    spec = study.spec
    counts, spent_s = uow.trials.counts(study.id), device_s(uow, study)
    inside = [trial for trial in uow.trials.of(study.id) if trial.architecture in space]
    untried = space.size - len(inside)
    return Supply(
        study=StrategyStudy(
            space=space,
            objectives=spec.objectives,
            constraints=spec.constraints,
            seed=spec.seed,
            reference=study.reference,
            predictors=predictors(uow, study, space),
        ),
        trials=tuple(_strategy_trial(trial, str(spec.task.metric)) for trial in inside),
        count=min(untried, wanted_now(spec.budget, counts, spent_s)),
        ended=open_trials(counts) == 0 and (untried == 0 or still_to_suggest(spec.budget, counts, spent_s) == 0),
    )


def insert_suggestions(uow: UnitOfWork, identity: int, attempt: int, suggestions: Sequence[Suggestion]) -> int:
    """Begins the suggested trials, if the study is still searching and still this attempt's; how many were begun."""
    study = uow.studies.lock(identity)
    if study.suggester_attempt != attempt or study.state is not StudyState.SEARCHING:
        return 0
    known = uow.trials.keys(study.id)
    wanted = wanted_now(study.spec.budget, uow.trials.counts(study.id), device_s(uow, study))
    fresh = [suggestion for suggestion in suggestions if suggestion.architecture.key not in known][:wanted]
    for suggestion in fresh:
        add_trial(uow, study, suggestion.architecture, suggestion.strategy, suggestion.predicted)
    return len(fresh)


def end_search(uow: UnitOfWork, identity: int, attempt: int) -> None:
    """Goes on to the finalists; a study without any feasible trial fails."""
    study = uow.studies.lock(identity)
    if study.suggester_attempt != attempt or study.state is not StudyState.SEARCHING:
        return
    if not start_finalizing(uow, study):
        trials = uow.trials.of(study.id)
        infeasible = any(trial.state in (TrialState.INFEASIBLE, TrialState.STOPPED) for trial in trials)
        reason = FailureReason.INVALID if infeasible else FailureReason.ERROR
        fail_study(uow, study, _nothing_feasible(trials), reason)


def give_up(uow: UnitOfWork, identity: int, attempt: int, reason: str) -> None:
    """Ends a study that cannot be supplied."""
    study = uow.studies.lock(identity)
    if study.suggester_attempt == attempt and study.state is StudyState.SEARCHING:
        fail_study(uow, study, reason, FailureReason.ERROR)


def _strategy_trial(trial: Trial, metric: str) -> StrategyTrial:
    early = trial.early_stop if trial.state is TrialState.STOPPED else None
    return StrategyTrial(
        architecture=trial.architecture,
        standing=Standing.STOPPED if early is not None else _standing(trial.state),
        metrics=trial.metrics if early is None else {**trial.metrics, metric: early.expected},
        variances=trial.variances if early is None else {**trial.variances, metric: early.variance},
    )


def _standing(state: TrialState) -> Standing:
    match state:
        case TrialState.PENDING | TrialState.MEASURING | TrialState.DISTILLING:
            return Standing.PENDING
        case TrialState.COMPLETED:
            return Standing.COMPLETED
        case TrialState.INFEASIBLE:
            return Standing.INFEASIBLE
        case TrialState.FAILED | TrialState.STOPPED:
            return Standing.FAILED
        case unreachable:
            assert_never(unreachable)


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
