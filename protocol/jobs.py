"""Jobs on the wire: what a worker is asked to do, and what it answers."""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    WrapSerializer,
    model_validator,
)

from distillation.recipe import Recipe
from distillation.values import Fidelity, Task, Teacher
from encoders.values import Head
from hardware.values import DeviceProfile, Effort, Measurement, QuantileName
from optimization.values import LARGEST_VALUE
from protocol.artefact import ArtefactId
from protocol.calibration import MOST_ROWS, CalibrationRecord
from protocol.metrics import METRIC_PATTERN, MOST_PARAMETERS
from protocol.targets import AnyTarget, HardwareKey
from search_space import Architecture, parameter_count

PROTOCOL_VERSION = 3
OLDEST_VERSION = 2
"""The oldest worker that is still served. Version 1 had several forms of recipes and targets, so that nobody can tell
whether such a worker could read what it is granted; from 2 on, every change that an older one cannot read raises the
version, and this one follows when workers of that version are no longer served. Version 2 calls `invalid` what does
not fit into memory.
"""

MOST_STEPS = 10**12


class JobKind(StrEnum):
    PREPARE = "prepare"
    CALIBRATE = "calibrate"
    MEASURE = "measure"
    DISTILL = "distill"
    FINALIZE = "finalize"
    EVALUATE = "evaluate"
    """A trial of an external study: whoever asks for it trains and measures it with code of their own."""


WORKER_KINDS = tuple(kind for kind in JobKind if kind is not JobKind.EVALUATE)
"""What Stillhouse's own workers do."""


class JobState(StrEnum):
    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Score(Message):
    """A metric with its 95 % confidence interval."""

    value: float
    low: float
    high: float


class CurvePoint(Message):
    """One evaluation on the selection split during a distillation."""

    step: int
    value: float


def _rising(curve: tuple[CurvePoint, ...]) -> tuple[CurvePoint, ...]:
    steps = [0, *(point.step for point in curve), MOST_STEPS]
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise ValueError(f"the steps of a curve rise, and lie above 0 and below {MOST_STEPS:.0e}")
    if not all(math.isfinite(point.value) for point in curve):
        raise ValueError("the values of a curve must be finite")
    return curve


# Left out while there is none: older services understand the rest.
RunningCurve = Annotated[
    tuple[CurvePoint, ...],
    Field(max_length=1000, exclude_if=lambda value: not value),
    AfterValidator(_rising),
]


# --- what a job asks for


class PrepareWork(Message):
    """Data, tokenizer and teacher of a study become artefacts."""

    kind: Literal[JobKind.PREPARE] = JobKind.PREPARE
    task: Task
    teacher: Teacher
    recipe: Recipe
    seed: int


class Reference(Message):
    """An architecture that others are compared with, and the effort to measure it with."""

    architecture: Architecture
    effort: Effort


_MEDIAN = (QuantileName.P50,)
# As everybody measured who was not told: left out, older workers understand it.
Quantiles = Annotated[
    tuple[QuantileName, ...], Field(min_length=1, max_length=3, exclude_if=lambda value: value == _MEDIAN)
]
"""The quantiles that count: verdict and variance of a measurement are theirs."""


# Left out where there is none: older workers know nothing of it.
Sample = Annotated[tuple[Architecture, ...], Field(max_length=MOST_ROWS, exclude_if=lambda sample: not sample)]


class CalibrateWork(Message):
    """Measures reference architectures by name: the teacher, and the smallest and largest of the space.

    Or a sample of the space named `space_key`, with this effort, and fits a model to it of the first of `quantiles`.
    """

    kind: Literal[JobKind.CALIBRATE] = JobKind.CALIBRATE
    references: dict[str, Reference]
    head: Head
    profile: DeviceProfile
    quantiles: Quantiles = _MEDIAN
    seed: int
    sample: Sample = ()
    effort: Annotated[Effort, Field(exclude_if=lambda effort: effort is Effort.SEARCH)] = Effort.SEARCH
    space_key: Annotated[str, Field(exclude_if=lambda key: not key)] = ""


class MeasureWork(Message):
    """Measures an architecture with random weights, or the export `checkpoint` of a finalist, which has that shape."""

    kind: Literal[JobKind.MEASURE] = JobKind.MEASURE
    architecture: Architecture
    head: Head
    profile: DeviceProfile
    effort: Effort
    quantiles: Quantiles = _MEDIAN
    checkpoint: Annotated[ArtefactId | None, Field(exclude_if=lambda value: value is None)] = None
    seed: int


class DistillWork(Message):
    """One distillation of `steps` steps; `checkpoint` is where an earlier attempt stopped."""

    kind: Literal[JobKind.DISTILL] = JobKind.DISTILL
    architecture: Architecture
    fidelity: Fidelity
    recipe: Recipe
    steps: int
    data: ArtefactId
    teacher: ArtefactId
    checkpoint: ArtefactId | None = None
    seed: int


class FinalizeWork(Message):
    """A finalist: the full distillation, its report, its export, and a measurement of the exported artefact.

    Without a `profile` it is not measured here: the machine that trains it is not the one that measures.
    """

    kind: Literal[JobKind.FINALIZE] = JobKind.FINALIZE
    name: str
    architecture: Architecture
    recipe: Recipe
    steps: int
    data: ArtefactId
    teacher: ArtefactId
    checkpoint: ArtefactId | None = None
    profile: DeviceProfile | None
    effort: Effort
    quantiles: Quantiles = _MEDIAN
    seed: int


class EvaluateWork(Message):
    """An architecture whose `metrics` somebody else finds out."""

    kind: Literal[JobKind.EVALUATE] = JobKind.EVALUATE
    architecture: Architecture
    metrics: tuple[str, ...]


Work = Annotated[
    PrepareWork | CalibrateWork | MeasureWork | DistillWork | FinalizeWork | EvaluateWork,
    Field(discriminator="kind"),
]


# --- what a job answers


def _buildable(architecture: Architecture) -> Architecture:
    count = parameter_count(architecture)
    if count > MOST_PARAMETERS:
        raise ValueError(f"{architecture.label:.60} has more than {MOST_PARAMETERS:.0e} parameters")
    return architecture


class Prepared(Message):
    """The outcome of a `prepare` job: what a study knows before its first trial."""

    kind: Literal[JobKind.PREPARE] = JobKind.PREPARE
    data: ArtefactId
    teacher: ArtefactId
    architecture: Annotated[Architecture, AfterValidator(_buildable)]
    head: Head
    classes: tuple[str, ...]
    splits: dict[str, int]
    teacher_selection: Score
    teacher_report: Score
    baselines: dict[str, Score]
    """Name -> score on the report split, of methods that are no encoder."""
    notes: tuple[str, ...] = ()
    seconds: float


def _told(measurement: Measurement, told: SerializerFunctionWrapHandler) -> dict[str, Any]:
    """Without what only some measurements have: older services know nothing of it."""
    values: dict[str, Any] = told(measurement)
    return {name: value for name, value in values.items() if (name, value) != ("calls", None)}


Told = Annotated[Measurement, WrapSerializer(_told)]


class Calibrated(Message):
    """The references' measurements; of a sample its calibration.

    `missing` says of references why they do not fit into the device's memory.
    """

    kind: Literal[JobKind.CALIBRATE] = JobKind.CALIBRATE
    measurements: dict[str, Told]
    missing: Annotated[dict[str, str], Field(exclude_if=lambda missing: not missing)] = {}
    calibration: Annotated[CalibrationRecord | None, Field(exclude_if=lambda calibration: calibration is None)] = None


class Measured(Message):
    kind: Literal[JobKind.MEASURE] = JobKind.MEASURE
    measurement: Told


class Distilled(Message):
    kind: Literal[JobKind.DISTILL] = JobKind.DISTILL
    selection: Score
    curve: tuple[CurvePoint, ...]
    steps: int
    seconds: float
    weights: ArtefactId


class Finalized(Message):
    kind: Literal[JobKind.FINALIZE] = JobKind.FINALIZE
    selection: Score
    report: Score
    curve: tuple[CurvePoint, ...]
    steps: int
    seconds: float
    measurement: Told | None = None
    """None where the work named no profile."""
    export: ArtefactId


MetricName = Annotated[str, Field(pattern=METRIC_PATTERN)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST_VALUE, le=LARGEST_VALUE)]
Variance = Annotated[float, Field(allow_inf_nan=False, ge=0)]


class Found(Message):
    """What somebody else found out of a trial; with `infeasible` why there is nothing to be found out.

    `variances` are of the metrics' observation noise; what is left out has none.
    """

    metrics: Annotated[dict[MetricName, Number], Field(max_length=100)] = {}
    variances: Annotated[dict[MetricName, Variance], Field(max_length=100)] = {}
    infeasible: Annotated[str, Field(min_length=1, max_length=2000)] | None = None

    @model_validator(mode="after")
    def _check_variances(self) -> Self:
        unknown = sorted(self.variances.keys() - self.metrics.keys())
        if unknown:
            raise ValueError(f"variances: there is no metric {unknown[0]!r} to be the noise of")
        return self


class Evaluated(Found):
    kind: Literal[JobKind.EVALUATE] = JobKind.EVALUATE


Outcome = Annotated[
    Prepared | Calibrated | Measured | Distilled | Finalized | Evaluated,
    Field(discriminator="kind"),
]


class FailureReason(StrEnum):
    ERROR = "error"
    INVALID = "invalid"
    """What was asked for cannot be done: trying again changes nothing."""
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    """It does not fit into the memory of its device: of a trial, that this is infeasible."""
    LEASE_EXPIRED = "lease_expired"

    @property
    def retriable(self) -> bool:
        """Whether something broke, rather than that it cannot be done: trying again may help."""
        return self in (FailureReason.ERROR, FailureReason.LEASE_EXPIRED)


class Failure(Message):
    kind: Literal["failure"] = "failure"
    reason: FailureReason
    message: str

    @property
    def retriable(self) -> bool:
        return self.reason.retriable


class AttemptEnd(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    RELEASED = "released"
    """Given back: it counts for nothing."""
    ERROR = "error"
    INVALID = "invalid"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    LEASE_EXPIRED = "lease_expired"
    INFEASIBLE = "infeasible"
    """Done, and what was found out breaks a constraint."""
    STOPPED_EARLY = "stopped_early"
    CANCELLED = "cancelled"
    """Nobody wanted the job any more."""


# --- the words of a lease


def refusal(version: int, oldest: int = OLDEST_VERSION, newest: int = PROTOCOL_VERSION) -> str | None:
    """Why a worker of this version is not served, and who must be upgraded; None if it is."""
    if oldest <= version <= newest:
        return None
    served = f"version {newest}" if oldest == newest else f"versions {oldest} to {newest}"
    older = "worker" if version < oldest else "service"
    return f"the worker speaks version {version} of the protocol, the service {served}: upgrade the {older}"


class Reading(Message):
    """How long the reference architecture took on a worker's machine: compared with earlier ones, its drift.

    `disturbed` says that other work shared the cores meanwhile: then it tells nothing of the machine itself.
    `tolerance` is how far such a device may vary that is left alone, as a logarithm.
    """

    target: Annotated[str, Field(max_length=64)]
    hardware_key: HardwareKey
    p50_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    disturbed: bool
    tolerance: Annotated[float, Field(gt=0, le=1)]
    measured_at: datetime


RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
"""Somebody's own name of a request, that nobody else chooses: random."""


class LeaseRequest(Message):
    """What a worker can do. `targets` are what it can measure; it waits at most `wait_s`.

    `readings` of the reference architecture are those that the service has not been told yet. Whoever asks again,
    because the answer may have been lost, repeats the `request`: it gets the same job, and never a second one.
    """

    worker: Annotated[str, Field(min_length=1, max_length=200)]
    protocol_version: int
    kinds: Annotated[tuple[JobKind, ...], Field(max_length=100)]
    targets: Annotated[tuple[AnyTarget, ...], Field(max_length=100)] = ()
    readings: Annotated[tuple[Reading, ...], Field(max_length=100)] = ()
    wait_s: Annotated[float, Field(ge=0, le=60)] = 20.0
    request: RequestId | None = None


class Grant(Message):
    """A leased job. Every write for it carries `attempt`; the lease ends at `expires_at` unless it is renewed."""

    job: int
    attempt: int
    study: str
    trial: int | None
    expires_at: datetime
    lease_s: float
    work: Work


class Progress(Message):
    """How far a job is: `stage` in words, `done` of `total` steps; without a total, nobody knows of how many."""

    stage: Annotated[str, Field(max_length=1000)]
    done: Annotated[int, Field(ge=0, le=MOST_STEPS)] = 0
    total: Annotated[int, Field(ge=0, le=MOST_STEPS)] = 0

    @model_validator(mode="after")
    def _check(self) -> Progress:
        if self.total and self.done > self.total:
            raise ValueError(f"done is {self.done}, more than the total of {self.total}")
        return self


class Stopped(Message):
    """The training ended early, as it was told to; `progress` says where."""

    kind: Literal["stopped"] = "stopped"
    progress: Progress | None = None


class Renewal(Message):
    """Keeps a lease; what is new since the last renewal comes along, and all that this attempt knows of the curve.

    Renewals of an attempt count up by `number`: of one that arrives behind a later one, nothing is stored.
    """

    attempt: int
    number: Annotated[int, Field(ge=0, lt=2**31)] = 0
    progress: Progress | None = None
    checkpoint: ArtefactId | None = None
    curve: RunningCurve = ()


class Command(StrEnum):
    CONTINUE = "continue"
    CANCEL = "cancel"
    """Drop the job: nothing is reported of it."""
    STOP = "stop"
    """End the training and report `Stopped`; who has the outcome by then reports that."""


class Renewed(Message):
    expires_at: datetime
    command: Command


class Report(Message):
    attempt: int
    result: Annotated[Outcome | Failure | Stopped, Field(discriminator="kind")]


class Release(Message):
    """Gives a job back unfinished; it is queued again at once and the attempt does not count."""

    attempt: int
    checkpoint: ArtefactId | None = None


# --- trials that somebody else evaluates


class Ask(Message):
    """Wants at most `count` trials of an external study, and waits at most `wait_s` for the first.

    Whoever asks again, because the answer may have been lost, repeats the `request`.
    """

    worker: Annotated[str, Field(min_length=1, max_length=200)] = "ask"
    count: Annotated[int, Field(ge=1, le=100)] = 1
    wait_s: Annotated[float, Field(ge=0, le=60)] = 20.0
    request: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,60}$")] | None = None


class Tell(Found):
    """What became of a trial: its metrics, or why it is `infeasible`, or the `failure` of finding out."""

    attempt: int
    failure: Failure | None = None

    @model_validator(mode="after")
    def _check_failure(self) -> Self:
        if self.failure is not None and (self.metrics or self.infeasible):
            raise ValueError("a failure has neither metrics nor a reason why the trial is infeasible")
        return self

    @property
    def result(self) -> Evaluated | Failure:
        if self.failure is not None:
            return self.failure
        return Evaluated(metrics=self.metrics, variances=self.variances, infeasible=self.infeasible)
