"""How long a study will still take, from what its jobs took so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from protocol.jobs import JobKind, JobState
from protocol.study import StudySpec
from protocol.views import StudyState, TrialState
from service.operations.budget import SUPPLIED_AHEAD, still_to_suggest
from service.store.jobs import Spent
from service.store.tables import Job, Study


def remaining_s(
    study: Study,
    trials: Mapping[TrialState, int],
    jobs: Sequence[Job],
    spent: Mapping[JobKind, Spent],
    workers: int,
    now: datetime,
) -> float | None:
    """An estimate in seconds; 0 when the study has ended, None until a trial was measured and one distilled.

    `jobs` are the open ones. Each costs what the done ones of its kind cost on average; a leased one is credited the
    time that it has run. Trials still to come cost a measurement and as many distillations as the measured ones got.
    All is divided among as many workers as were seen lately and can be kept busy.
    """
    if study.state in (StudyState.COMPLETED, StudyState.FAILED):
        return 0.0
    if JobKind.MEASURE not in spent or JobKind.DISTILL not in spent:
        return None
    mean_s = _means_s(study.spec, spent)
    count = Counter(job.kind for job in jobs)
    work_s = sum(_left_s(job, mean_s, now) for job in jobs)
    if study.state is StudyState.FINALIZING:
        return work_s / max(1, min(workers, len(jobs)))
    distilled = spent[JobKind.DISTILL].count + count[JobKind.DISTILL]
    share = min(1.0, distilled / spent[JobKind.MEASURE].count)
    to_come = still_to_suggest(study.spec.budget, trials)
    work_s += to_come * mean_s[JobKind.MEASURE]
    work_s += (to_come + count[JobKind.MEASURE]) * share * mean_s[JobKind.DISTILL]
    work_s += study.spec.budget.finalists * mean_s[JobKind.FINALIZE]
    return work_s / max(1, min(workers, study.spec.budget.parallel + SUPPLIED_AHEAD))


def _means_s(spec: StudySpec, spent: Mapping[JobKind, Spent]) -> dict[JobKind, float]:
    """Until a finalist is done, it costs a flash distillation, scaled up to the full steps, and a measurement."""
    means = {kind: seen.mean_s for kind, seen in spent.items()}
    scale = spec.distillation.steps / spec.flash_steps
    return {JobKind.FINALIZE: means[JobKind.DISTILL] * scale + means[JobKind.MEASURE], **means}


def _left_s(job: Job, mean_s: Mapping[JobKind, float], now: datetime) -> float:
    run_s = 0.0
    if job.state is JobState.LEASED and job.leased_at is not None:
        run_s = (now - job.leased_at).total_seconds()
    return max(0.0, mean_s.get(job.kind, 0.0) - run_s)
