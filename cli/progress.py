"""A running study as lines, one per event, and as a page that is drawn again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group
from rich.text import Text

from cli.tables import hypervolume_text, latency_name, latency_text, metric_text, remaining_text, trials_table
from protocol.jobs import JobKind, JobState
from protocol.quantity import format_count
from protocol.views import FinalistState, RunningJob, StudyView, TrialState, TrialView
from search_space import parameter_count

LAST_TRIALS = 12
_MEASURING = (JobKind.MEASURE, JobKind.CALIBRATE)


class Events:
    """What has changed since the last look, in words."""

    def __init__(self) -> None:
        self._study: StudyView | None = None
        self._stages: dict[int, str] = {}
        self._trials: dict[int, TrialView] = {}

    def look(self, study: StudyView, trials: Sequence[TrialView]) -> Iterator[str]:
        if self._study is None:
            yield f"study {study.name}  {study.state}"
        yield from self._of_preparation(study)
        for job in study.jobs:
            yield from self._of_job(job)
        for trial in trials:
            yield from self._of_trial(study, trial)
        if self._study is not None and self._study.state != study.state:
            yield f"study {study.name}  {study.state}"
        if self._study is not None and study.front_size and study.hypervolume != self._study.hypervolume:
            yield _front(study)
        self._study = study

    def _of_preparation(self, study: StudyView) -> Iterator[str]:
        before = self._study
        if study.prepared is not None and (before is None or before.prepared is None):
            prepared = study.prepared
            metric = study.spec.task.metric
            size = format_count(parameter_count(prepared.architecture))
            for name, score in {
                f"teacher  {prepared.architecture.label}  {size}": prepared.teacher_report,
                **prepared.baselines,
            }.items():
                yield f"{name}  {metric} {score.value:.3f} (report split)"
        for name, latency in study.references.items():
            if before is None or name not in before.references:
                yield f"{name}  latency {latency_text(latency, latency_name(study))}"
        for note in study.notes[len(before.notes) if before else 0 :]:
            yield f"note: {note}"
        for line in study.machines:
            if before is None or line not in before.machines:
                yield f"note: {line}"

    def _of_job(self, job: RunningJob) -> Iterator[str]:
        stage = job.progress.stage if job.progress else None
        if stage is None or job.trial is not None or self._stages.get(job.id) == stage:
            return
        self._stages[job.id] = stage
        yield f"{job.kind}  {stage}"

    def _of_trial(self, study: StudyView, trial: TrialView) -> Iterator[str]:
        before = self._trials.get(trial.number)
        self._trials[trial.number] = trial
        if before is None or before.state != trial.state:
            yield f"trial {trial.number}  {trial.label}  {trial.state}{_result(study, trial)}"
        finalist = trial.finalist
        if finalist is not None and (
            before is None or before.finalist is None or before.finalist.state != finalist.state
        ):
            yield f"finalist {trial.number}  {trial.label}  {finalist.state}{_finalist_result(study, trial)}"


def page(study: StudyView, trials: Sequence[TrialView], news: Sequence[str]) -> Group:
    """The study at a glance: where it stands, what runs, the last trials."""
    head = Text(f"{study.name}  {study.state}", style="bold")
    counts = (
        f"trials {study.spent_trials}/{study.spec.budget.trials}   front {study.front_size}"
        f"   hypervolume {hypervolume_text(study.hypervolume)}   remaining {remaining_text(study)}"
    )
    if study.saved_steps:
        counts += f"   saved {format_count(study.saved_steps)} steps"
    jobs = [Text(_job_line(job)) for job in study.jobs if job.state is JobState.LEASED]
    rest = []
    if any(job.kind in _MEASURING for job in study.jobs if job.state is JobState.LEASED):
        rest = [Text("while a latency is taken this page rests, so that nothing disturbs it", style="dim")]
    table = [trials_table(study, trials, last=LAST_TRIALS)] if trials else []
    machines = [Text(line, style="yellow") for line in study.machines]
    return Group(head, Text(counts), *machines, *jobs, *rest, *table, *(Text(line, style="yellow") for line in news))


def _job_line(job: RunningJob) -> str:
    trial = "" if job.trial is None else f" trial {job.trial}"
    line = f"{job.kind}{trial}"
    if job.progress is not None:
        line += f": {job.progress.stage}"
        if job.progress.total:
            line += f" {job.progress.done}/{job.progress.total}"
    return line


def _result(study: StudyView, trial: TrialView) -> str:
    if trial.state is TrialState.COMPLETED and study.spec.external is not None:
        known = trial.metrics
        return "".join(
            f" {name} {metric_text(name, known[name])}" for name in study.spec.judged_metrics if name in known
        )
    if trial.state is TrialState.COMPLETED:
        metric = study.spec.task.metric
        value = trial.metrics.get(metric)
        quality = "" if value is None else f" {metric} {value:.3f}"
        return f"{quality} latency {latency_text(trial.latency, latency_name(study))}"
    return f": {trial.reason}" if trial.reason else ""


def _finalist_result(study: StudyView, trial: TrialView) -> str:
    finalist = trial.finalist
    if finalist is None or finalist.state is FinalistState.FINALIZING:
        return ""
    if finalist.error is not None:
        return f": {finalist.error}"
    report = finalist.evaluation.report if finalist.evaluation else None
    quality = "" if report is None else f" {study.spec.task.metric} {report.value:.3f} (report split)"
    return f"{quality} latency {latency_text(finalist.latency, latency_name(study))}"


def _front(study: StudyView) -> str:
    line = f"front {study.front_size}  hypervolume {hypervolume_text(study.hypervolume)}"
    return line if study.ended_at is not None else f"{line}  remaining {remaining_text(study)}"
