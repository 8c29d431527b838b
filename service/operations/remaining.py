"""How long a study will still take, from what its jobs took so far."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from protocol.jobs import JobKind, JobState
from protocol.study import Budget, StudySpec
from protocol.views import StudyState, TrialState
from service.operations.budget import SUPPLIED_AHEAD, still_to_suggest
from service.operations.cost import Cost
from service.store.tables import Job, Study


def remaining_s(
    study: Study,
    trials: Mapping[TrialState, int],
    jobs: Sequence[Job],
    cost: Cost,
    workers: int,
    now: datetime,
) -> float | None:
    """An estimate in seconds; 0 when the study has ended, None until one trial was evaluated: measured and distilled.

    `jobs` are the open ones. Each costs what the done ones of its kind cost on average, with the attempts that came to
    nothing; a leased one is credited the time that it has run. Trials still to come cost a measurement and as many
    distillations as the measured ones got; they are those of the budget of trials, or, if fewer, those that the budget
    of device-hours still pays. All is divided among as many workers as were seen lately and can be kept busy.
    """
    if study.ended_at is not None:
        return 0.0
    spec = study.spec
    if not cost.done(JobKind.EVALUATE if spec.external is not None else JobKind.DISTILL):
        return None
    mean_s = _means_s(spec, cost)
    count = Counter(job.kind for job in jobs)
    work_s = sum(_left_s(job, mean_s, now) for job in jobs)
    if study.state is StudyState.FINALIZING:
        return work_s / max(1, min(workers, len(jobs)))
    share = _share_distilled(cost, count)
    trial_s = mean_s[JobKind.EVALUATE] if spec.external is not None else _trial_s(mean_s, share)
    work_s += count[JobKind.MEASURE] * share * mean_s.get(JobKind.DISTILL, 0.0)
    work_s += trial_s * _to_come(spec.budget, trials, cost.seconds + work_s, trial_s)
    if spec.external is None:
        work_s += spec.budget.finalists * mean_s[JobKind.FINALIZE]
    return work_s / max(1, min(workers, spec.budget.parallel + SUPPLIED_AHEAD))


def _to_come(budget: Budget, trials: Mapping[TrialState, int], spoken_for_s: float, trial_s: float) -> int:
    """Trials that are not begun yet; what is spent and what the open ones will take is `spoken_for_s`."""
    left = still_to_suggest(budget, trials)
    if budget.device_hours is None or trial_s <= 0:
        return left
    return min(left, max(0, math.ceil((3600 * budget.device_hours - spoken_for_s) / trial_s)))


def _share_distilled(cost: Cost, open_jobs: Mapping[JobKind, int]) -> float:
    """Of the measured trials."""
    measured = cost.done(JobKind.MEASURE)
    distilled = cost.done(JobKind.DISTILL) + open_jobs.get(JobKind.DISTILL, 0)
    return min(1.0, distilled / measured) if measured else 1.0


def _trial_s(mean_s: Mapping[JobKind, float], share: float) -> float:
    return mean_s.get(JobKind.MEASURE, 0.0) + share * mean_s[JobKind.DISTILL]


def _means_s(spec: StudySpec, cost: Cost) -> dict[JobKind, float]:
    """Until a finalist is done, it costs a flash distillation, scaled up to all the steps of its schedule, and a
    measurement.
    """
    means = {kind: cost.mean_s(kind) for kind in JobKind if cost.done(kind)}
    if JobKind.DISTILL not in means:
        return means
    scale = spec.full_passes / spec.flash_steps
    return {JobKind.FINALIZE: means[JobKind.DISTILL] * scale + means.get(JobKind.MEASURE, 0.0), **means}


def _left_s(job: Job, mean_s: Mapping[JobKind, float], now: datetime) -> float:
    run_s = 0.0
    if job.state is JobState.LEASED and job.leased_at is not None:
        run_s = (now - job.leased_at).total_seconds()
    return max(0.0, mean_s.get(job.kind, 0.0) - run_s)
