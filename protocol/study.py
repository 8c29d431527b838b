"""The study: what a user asks for."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import replace
from typing import Annotated, Any, assert_never

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from distillation.recipe import Recipe, flash_floor, flash_steps
from distillation.schedule import ScheduleKind
from distillation.values import Dataset, Task, Teacher
from hardware.values import DeviceProfile, Effort, QuantileName
from optimization.values import Constraint, Direction, Objective, StrategyName
from protocol import shorthand
from protocol.metrics import METRIC_PATTERN, METRICS, info_of, metric_info
from protocol.shorthand import (
    OUTSIDE,
    DimensionSpec,
    Finite,
    Name,
    OptionSpec,
    RecipeSpec,
    Seed,
    Shape,
    TaskSpec,
    TeacherSpec,
    tuples,
)
from search_space import Dimension, SearchSpace, SearchSpaceError, preset
from search_space.expression import Expression
from search_space.grid import COSTS, FIELDS
from search_space.space import FIXED, SEARCHABLE

OF_VOCABULARY = ("parameters", "weight_bytes")
"""The costs that depend on the teacher's vocabulary."""

FEWEST_CALIBRATED, MOST_CALIBRATED = 16, 1_000
"""Architectures of a calibration."""

_BEGINNING = re.compile(r"(?P<condition>the condition of )?(?P<name>\w+):? ")


class Strict(BaseModel):
    """What people write: no key that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SpaceSpec(Strict):
    """Dimensions of the search space: each a list of choices, a range `{low, high, step}`, or one value.

    `constraints` are expressions over them and their costs that every architecture meets; see `SearchSpace`.
    """

    layers: DimensionSpec
    hidden_size: DimensionSpec
    heads: DimensionSpec
    ffn_size: DimensionSpec
    head_size: DimensionSpec | None = None
    ffn_stacks: DimensionSpec | None = None
    bottleneck_size: DimensionSpec | None = None
    attention_input: OptionSpec | None = None
    embedding_size: DimensionSpec | None = None
    trigram: OptionSpec | None = None
    norm: OptionSpec | None = None
    activation: OptionSpec | None = None
    pooler: OptionSpec | None = None
    constraints: tuple[str, ...] = ()

    @property
    def dimensions(self) -> dict[str, Dimension]:
        given = {name: getattr(self, name) for name in SEARCHABLE}
        return {name: value for name, value in given.items() if value is not None}


class Budget(Strict):
    """What a study may spend.

    `parallel` trials are kept going at once; a flash distillation takes `flash` of the full steps, and no fewer than
    `flash_floor`, by default what the kind of task needs; `finalists` of them are distilled in full.
    Trials and finalists are measured with the efforts named here. Before the search so many architectures of the space
    are measured for a `calibration`, unless the target has one already; 0 for none.

    The search also ends when jobs have had workers for `device_hours` in all; trials that were begun are ended, and the
    finalists come on top.
    """

    trials: Annotated[int, Field(ge=1, le=100_000)] = 32
    parallel: Annotated[int, Field(ge=1, le=1_000)] = 1
    flash: Annotated[float, Field(gt=0, le=1)] = 0.05
    flash_floor: Annotated[int, Field(ge=1)] | None = None
    finalists: Annotated[int, Field(ge=1, le=1_000)] = 3
    measuring: Effort = Effort.SEARCH
    final_measuring: Effort = Effort.REPORT
    calibration: Annotated[int, Field(ge=0, le=MOST_CALIBRATED)] = 0
    device_hours: Annotated[float, Field(gt=0, le=1e6)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Budget:
        if 0 < self.calibration < FEWEST_CALIBRATED:
            raise ValueError(f"calibration must be 0 or at least {FEWEST_CALIBRATED}, got {self.calibration}")
        return self


class ExternalSpec(Strict):
    """What follows from a teacher's tokenizer, and is said here where there is none."""

    vocabulary_size: Annotated[int, Field(ge=1, le=10**7)] = 30_522
    max_positions: Annotated[int, Field(ge=1, le=10**6)] = 512
    token_types: Annotated[int, Field(ge=0, le=1000)] = 2


class StudySpec(Strict):
    """One search. Only teacher and task have no default.

    `reference` is what hypervolume is counted from, a value of each objective; empty, it is inferred from the first
    trials. `sources` are earlier studies of the same space, on another device or task, from which the strategy learns.
    With `early_stopping`, a distillation whose result would be dominated even at best is ended early. Workers turn to
    the study of the highest `priority` first, and among equals share themselves out. Trials of an `external` study are
    evaluated by whoever asks for them, who tells their metrics: it has no teacher and no task.
    """

    name: Name
    teacher: TeacherSpec
    task: TaskSpec
    search_space: Annotated[
        Annotated[SpaceSpec, Tag("dimensions")] | Annotated[str, Tag("preset")], Discriminator(shorthand.space_kind)
    ] = "bert"
    objectives: Annotated[tuple[Objective, ...], BeforeValidator(shorthand.objectives)] = ()
    constraints: tuple[Annotated[Constraint, BeforeValidator(shorthand.constraint)], ...] = ()
    reference: Annotated[dict[str, Finite], BeforeValidator(shorthand.reference)] = Field(default_factory=dict)
    target: DeviceProfile = DeviceProfile()
    distillation: RecipeSpec = Recipe()
    budget: Budget = Budget()
    baselines: dict[str, Shape] = Field(default_factory=dict)
    strategy: StrategyName = StrategyName.PARETO
    sources: tuple[Name, ...] = ()
    early_stopping: bool = False
    external: Annotated[ExternalSpec | None, BeforeValidator(shorthand.external)] = None
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _fill_objectives(cls, values: Any) -> Any:
        values = tuples(values)
        if isinstance(values, dict) and shorthand.external(values.get("external")) is not None:
            return shorthand.outside(values)
        if isinstance(values, dict) and values.get("objectives") in (None, (), {}):
            metric = shorthand.task_metric(values.get("task"))
            better = METRICS[metric].better if metric in METRICS else Direction.MAXIMIZE
            values = values | {"objectives": {metric: better, "latency_p50": Direction.MINIMIZE}}
        return values

    @model_validator(mode="after")
    def _check(self) -> StudySpec:
        if len(self.objectives) < 2:
            raise ValueError("objectives: two or more are needed, or there is no front")
        names = [objective.metric for objective in self.objectives]
        if len(set(names)) < len(names):
            raise ValueError(f"objectives: {names} names a metric twice")
        if self.external is not None:
            self._check_external()
        else:
            self._check_metrics(names)
        self._check_reference(names)
        check_schedule(self.distillation, self.task)
        self._check_sources()
        self._check_space()
        return self

    def _check_metrics(self, names: list[str]) -> None:
        named = [(f"objectives.{index}", one.metric) for index, one in enumerate(self.objectives)]
        named += [(f"constraints.{index}", one.metric) for index, one in enumerate(self.constraints)]
        for place, name in named:
            if metric_info(name, f"{place}: ").trained and name != self.task.metric:
                raise ValueError(f"{place}: {name} is not measured by this task: its metric is {self.task.metric}")
        if self.task.metric not in names:
            raise ValueError(f"objectives: the task's metric {self.task.metric} must be one of them")

    def _check_reference(self, names: list[str]) -> None:
        """A corner has all coordinates, or hypervolume is not one of this space."""
        if not self.reference:
            return
        for name in self.reference:
            if name not in names:
                raise ValueError(f"reference.{name:.60}: is none of the objectives: {', '.join(names)}")
            info, value = info_of(name), self.reference[name]
            if not info.low <= value <= info.high:
                raise ValueError(f"reference.{name}: lies between {info.low:g} and {info.high:g}, got {value:g}")
        missing = [name for name in names if name not in self.reference]
        if missing:
            raise ValueError(f"reference: {missing[0]} is missing; name a value of each objective, or leave all out")

    def _check_external(self) -> None:
        """Nothing may be said that only others do, or that means nothing here."""
        for index, name in enumerate(self.judged_metrics):
            if not re.fullmatch(METRIC_PATTERN, name):
                raise ValueError(f"objectives: metric {index + 1} is no name: {name!r:.60}; use letters, digits and _")
            if name in COSTS and name != "parameters":
                raise ValueError(f"objectives: {name} follows from the architecture; what you tell needs another name")
        given = {
            "teacher": self.teacher != Teacher(model=OUTSIDE),
            "task": self.task != Task(dataset=Dataset(source=OUTSIDE)),
            "distillation": self.distillation != Recipe(),
            "baselines": bool(self.baselines),
            "early_stopping": self.early_stopping,
            "budget.calibration": self.budget.calibration > 0,
        }
        for key, is_given in given.items():
            if is_given:
                raise ValueError(f"{key}: says nothing of an external study, whose trials somebody else evaluates")

    def _check_sources(self) -> None:
        for place, name in enumerate(self.sources):
            if name == self.name:
                raise ValueError(f"sources.{place}: {name!r} is this study itself: name earlier ones")
            if name in self.sources[:place]:
                raise ValueError(f"sources.{place}: {name!r} is named twice")
        if self.sources and not self.strategy.is_informed:
            informed = " or ".join(each for each in StrategyName if each.is_informed)
            raise ValueError(
                f"sources: strategy {self.strategy} does not learn from them; write `strategy: {informed}`"
            )

    def _check_space(self) -> None:
        try:
            widest = self.widest()
        except SearchSpaceError as error:
            raise ValueError(self._placed(error)) from error
        try:
            widest.bounded(**self.parameters_bound)
        except SearchSpaceError as error:
            bounds = [c.bound if c.metric == "parameters" and not c.at_least else math.inf for c in self.constraints]
            raise ValueError(f"constraints.{bounds.index(min(bounds))}: {error}") from error

    def _placed(self, error: SearchSpaceError) -> str:
        """The mistake with its key: the constraint with which nothing is left, or else a dimension, or the space."""
        for count in range(len(self.space_constraints) + 1):
            try:
                self._made(self.space_constraints[:count])
            except SearchSpaceError as earlier:
                if count:
                    return f"search_space.constraints.{count - 1}: {earlier}"
                return f"search_space{_of_dimension(str(earlier))}"
        return f"search_space: {error}"

    def space(self) -> SearchSpace:
        """The search space within the constraints on parameters, for a vocabulary of one word: what cannot be met here
        can never be met. Costs are those on the target. Of an external study it is what is searched.

        Raises:
            SearchSpaceError: unknown preset or dimension.
            EmptySpaceError: nothing valid is left; the message says why.
        """
        return self.widest().bounded(**self.parameters_bound)

    def widest(self) -> SearchSpace:
        """As `space`, without the study's own constraints."""
        return self._made(self.space_constraints)

    def unconstrained(self) -> SearchSpace:
        """As `widest`, without the constraints that the search space names either."""
        return self._made(())

    @staticmethod
    def needs_teacher(constraint: str) -> bool:
        """Whether nothing can be said of it without the teacher's vocabulary, as of all but upper bounds on what
        depends on that.
        """
        expression = Expression(constraint, (*FIELDS, *COSTS))
        bound = expression.bound
        is_upper = bound is not None and bound.relation in ("<", "<=") and bound.subject in OF_VOCABULARY
        return not is_upper and not expression.names.isdisjoint((*OF_VOCABULARY, *FIXED))

    def _made(self, constraints: tuple[str, ...]) -> SearchSpace:
        outside = self.external
        fixed = (
            {"vocabulary_size": 1, "max_positions": 1, "token_types": 0} if outside is None else outside.model_dump()
        )
        if isinstance(self.search_space, str):
            space = preset(self.search_space)
        else:
            # Made with BERT's vocabulary a bound on parameters might already leave nothing.
            judged = [text for text in constraints if outside is not None or not self.needs_teacher(text)]
            space = SearchSpace(dimensions=self.search_space.dimensions, constraints=judged, **fixed)
        target = self.target
        return replace(
            space,
            **fixed,
            batch=target.batch,
            length=target.length,
            dtype=target.dtype.value,
        )

    @property
    def space_constraints(self) -> tuple[str, ...]:
        """The constraints that the search space names; a preset's own are not among them."""
        return () if isinstance(self.search_space, str) else self.search_space.constraints

    @property
    def parameters_bound(self) -> dict[str, float]:
        """The tightest upper bound on `parameters`, if there is one, as an argument of `SearchSpace.bounded`."""
        bounds = [c.bound for c in self.constraints if c.metric == "parameters" and not c.at_least]
        return {"parameters": min(bounds)} if bounds else {}

    @property
    def flash_steps(self) -> int:
        """Steps of the distillation that compares trials."""
        floor = self.budget.flash_floor or flash_floor(self.task.kind)
        return flash_steps(self.distillation, self.budget.flash, floor)

    @property
    def full_passes(self) -> int:
        """Steps of one model that a finalist's distillation comes to: every stage of its schedule has the full steps.

        Of slices that learn together in a step each counts; how many lie between a student and its assistant is known
        only then, so they are counted as if it were all of them.
        """
        recipe, schedule = self.distillation, self.distillation.schedule
        match schedule.kind:
            case ScheduleKind.DIRECT:
                passes = 1
            case ScheduleKind.MINIDISC:
                slices = len(schedule.sparsities) + 1  # and the student
                together = slices if schedule.between is None else min(slices, 2 + schedule.between)
                passes = (schedule.iterations + 1) * together
            case ScheduleKind.MAXIDISC:
                passes = 2 * len(schedule.sparsities)
            case unreachable:
                assert_never(unreachable)
        return passes * recipe.steps

    @property
    def judged_quantiles(self) -> tuple[QuantileName, ...]:
        """The quantiles that decide: those of the objectives, else those of the constraints, else p50."""
        for judged in (self.objectives, self.constraints):
            metrics = {each.metric for each in judged}
            named = tuple(name for name in QuantileName if f"latency_{name}" in metrics)
            if named:
                return named
        return (QuantileName.P50,)

    @property
    def judged_metrics(self) -> tuple[str, ...]:
        """The metrics of objectives and constraints, each once."""
        named = [one.metric for one in self.objectives] + [one.metric for one in self.constraints]
        return tuple(dict.fromkeys(named))

    def canonical(self) -> dict[str, Any]:
        """Every setting with its default filled in, as plain JSON values."""
        return self.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form: equal studies have equal digests."""
        return hashlib.sha256(json.dumps(self.canonical(), sort_keys=True).encode()).hexdigest()


def check_schedule(recipe: Recipe, task: Task) -> None:
    """Raises: ValueError: the schedule chooses by a metric, and the task's is none to choose by."""
    if recipe.schedule.kind is not ScheduleKind.DIRECT and task.metric.lower_is_better:
        raise ValueError(
            f"distillation.schedule: {recipe.schedule.kind} chooses by a metric of at most 1 that is to be large, and"
            f" {task.metric} is none; name another `task.metric`, or write `schedule: direct`"
        )


def _of_dimension(message: str) -> str:
    """The message behind the dimension that it begins with, if it does."""
    found = _BEGINNING.match(message)
    if found is None or found["name"] not in SEARCHABLE:
        return f": {message}"
    return f".{found['name']}: {message if found['condition'] else message[found.end() :]}"


def differences(before: StudySpec, after: StudySpec) -> list[str]:
    """One line for each setting that differs: `budget.trials: 16 -> 32`."""
    return _differences("", before.canonical(), after.canonical())


def _differences(path: str, before: Any, after: Any) -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        lines = []
        for key in sorted({*before, *after}):
            name = f"{path}.{key}" if path else key
            lines += _differences(name, before.get(key), after.get(key))
        return lines
    return [] if before == after else [f"{path}: {json.dumps(before)} -> {json.dumps(after)}"]
