"""Studies and trials as the API shows them. Latencies are in seconds."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, computed_field

from distillation.values import Fidelity
from protocol.calibration import LatencyPreview, PredictedLatency
from protocol.early_stop import EarlyStop
from protocol.jobs import CurvePoint, FailureReason, JobKind, JobState, Prepared, Progress, Score
from protocol.study import StudySpec
from protocol.targets import AnyTarget
from search_space import Architecture


class StudyState(StrEnum):
    PREPARING = "preparing"
    CALIBRATING = "calibrating"
    SEARCHING = "searching"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    """By somebody: nothing of it is worked on until it is resumed, or deleted."""

    @property
    def ended(self) -> bool:
        return self in (StudyState.COMPLETED, StudyState.FAILED)


class TrialState(StrEnum):
    PENDING = "pending"
    MEASURING = "measuring"
    DISTILLING = "distilling"
    COMPLETED = "completed"
    INFEASIBLE = "infeasible"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def ended(self) -> bool:
        return self not in (TrialState.PENDING, TrialState.MEASURING, TrialState.DISTILLING)

    @property
    def spent(self) -> bool:
        """Whether such a trial ended and counts against the budget: a failed one is replaced by another."""
        return self.ended and self is not TrialState.FAILED


class FinalistState(StrEnum):
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"


class View(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, from_attributes=True)


class LatencyView(View):
    """A measurement without its raw samples. `low_s` and `high_s` bound p50; None where too few samples tell."""

    p50_s: float
    p90_s: float
    p99_s: float
    low_s: float | None
    high_s: float | None
    source: str
    verdict: str
    effort: str
    samples: int
    measured_at: str
    hardware_key: str
    environment: dict[str, str]
    notes: tuple[str, ...] = ()
    """Why it is not steady, and what was odd meanwhile."""


class EvaluationView(View):
    """A trial's quality at one fidelity; `report` only at full fidelity."""

    fidelity: Fidelity
    selection: Score
    report: Score | None
    curve: tuple[CurvePoint, ...]
    steps: int
    seconds: float
    weights: str | None = None
    """The artefact of the student's weights, where they were kept."""


class FinalistView(View):
    state: FinalistState
    evaluation: EvaluationView | None
    latency: LatencyView | None
    export: str | None
    error: str | None
    failure: FailureReason | None = None
    folder: str | None = None
    """Where the export lies as a plain folder on the service's machine; None where nobody put it into its home."""


class TrialView(View):
    """One trial. `metrics` are those that strategy and front see: latency, parameters, flash quality on selection."""

    study: str
    number: int
    state: TrialState
    architecture: Architecture
    label: str
    origin: str
    metrics: dict[str, float]
    evaluation: EvaluationView | None
    latency: LatencyView | None
    finalist: FinalistView | None
    progress: Progress | None
    reason: str | None
    on_front: bool
    created_at: datetime
    ended_at: datetime | None
    predicted: PredictedLatency | None = None
    """What a calibration of the target said before it was measured; None without one."""
    early_stop: EarlyStop | None = None
    """Also of a trial that was completed because it was faster than the decision."""


class FrontPoint(View):
    """So many `trials` were spent when the front's hypervolume was `hypervolume`."""

    trials: int
    hypervolume: float


class FrontView(View):
    """The non-dominated completed trials, by number, and how the front grew."""

    numbers: tuple[int, ...]
    reference: dict[str, float] | None
    hypervolume: float | None
    history: tuple[FrontPoint, ...]


class RunningJob(View):
    id: int
    kind: JobKind
    state: JobState
    trial: int | None
    attempt: int
    worker: str | None
    progress: Progress | None


class StudyView(View):
    """One study. `remaining_s` is an estimate from the jobs that ended; None while there is nothing to go by."""

    name: str
    state: StudyState
    spec: StudySpec
    digest: str
    created_at: datetime
    ended_at: datetime | None
    prepared: Prepared | None
    references: dict[str, LatencyView]
    """Latencies of the teacher and of the smallest and largest architecture."""
    trials: dict[str, int]
    """How many trials are in each state."""
    finalists: dict[str, int]
    jobs: tuple[RunningJob, ...]
    hypervolume: float | None
    front_size: int
    remaining_s: float | None
    notes: tuple[str, ...]
    error: str | None
    failure: FailureReason | None = None
    """Why it failed; None also where an older service did not tell."""
    hardware_key: str | None = None
    """Of the machines that all its latencies are from; None until the first was measured."""
    machines: tuple[str, ...] = ()
    """What people should know of the machines that measure it: that none is there, or that some are left out."""
    saved_steps: int = 0
    """Steps of distillation that early stopping left out."""
    stopped_from: StudyState | None = None
    """Where a stopped study goes on when it is resumed; None for every other."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def spent_trials(self) -> int:
        """How many of the budget's trials ended: the one number that every screen shows."""
        return sum(count for state, count in self.trials.items() if TrialState(state).spent)


class SpreadView(View):
    """The smallest, the middle (the lower of two) and the largest of many values."""

    minimum: int
    median: int
    maximum: int


class ConstraintView(View):
    """One constraint by itself. `judged` says when it is known who meets it; where that is at once, `met_by` of the
    `of` architectures do that the space has without any constraint.
    """

    text: str
    judged: str
    met_by: int | None
    of: int


class PreviewView(View):
    """What a study would search: `size` architectures of `grid_points` combinations.

    Costs are those on the target. They are counted without the token embeddings, which follow from the teacher's
    vocabulary, and so are the constraints on parameters and weights judged. `latencies` are predicted, one for each
    machine that was calibrated for the target.
    """

    grid_points: int
    size: int
    parameters: SpreadView
    flops: SpreadView
    weight_bytes: SpreadView
    constraints: tuple[ConstraintView, ...]
    latencies: tuple[LatencyPreview, ...] = ()


class DriftView(View):
    """A worker's newest undisturbed reading of the reference architecture, against earlier ones of equal hardware.

    `drift` is the logarithm of newest / median of the `earlier` ones, None without any.
    """

    target: str
    hardware_key: str
    p50_s: float
    measured_at: datetime
    earlier: int
    drift: float | None
    beyond: bool
    """Whether it is more than a machine may vary by that is left alone."""


class WorkerJob(View):
    """What a worker is busy with, `since` the beginning of this attempt."""

    study: str
    trial: int | None
    kind: JobKind
    attempt: int
    since: datetime | None
    progress: Progress | None


class WorkerView(View):
    name: str
    kinds: tuple[JobKind, ...]
    targets: tuple[AnyTarget, ...]
    seen_at: datetime
    drifts: tuple[DriftView, ...] = ()
    notes: tuple[str, ...] = ()
    """What people should know: a drift beyond what such a machine may vary by."""
    alive: bool = False
    """Whether it was seen lately."""
    jobs: tuple[WorkerJob, ...] = ()


class CreateStudy(BaseModel):
    """`spec` is a study as in a study file, already JSON."""

    model_config = ConfigDict(extra="forbid")
    spec: dict[str, Any]
