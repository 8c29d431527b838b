"""The study: what a user asks for."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, replace
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from distillation.presets import recipe
from distillation.recipe import Knowledge, Recipe, flash_floor, flash_steps
from distillation.schedule import ScheduleKind
from distillation.values import METRICS_OF, Task, Teacher
from encoders.values import HeadKind
from hardware.values import DeviceProfile, Effort, QuantileName
from optimization.values import Constraint, Direction, Objective, StrategyName
from protocol.baseline import ShapeSpec
from protocol.metrics import METRICS, metric_info
from protocol.quantity import parse_quantity
from search_space import Category, Choice, Dimension, IntegerRange, SearchSpace, SearchSpaceError, preset
from search_space.expression import Expression
from search_space.grid import COSTS, FIELDS
from search_space.space import FIXED, SEARCHABLE

OF_VOCABULARY = ("parameters", "weight_bytes")
"""The costs that depend on the teacher's vocabulary."""

FEWEST_CALIBRATED, MOST_CALIBRATED = 16, 1_000
"""Architectures of a calibration."""

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_BEGINNING = re.compile(r"(?P<condition>the condition of )?(?P<name>\w+):? ")
_CONSTRAINT = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=)\s*(.+?)\s*")


def tuples(value: object) -> object:
    """Lists as tuples all the way down: where types are strict, only these become the tuples of values."""
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _dataset(value: object) -> object:
    return {"source": value} if isinstance(value, str) else value


def _columns(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _teacher(value: object) -> object:
    return {"model": value} if isinstance(value, str) else value


def _shape(value: object) -> object:
    return {"model": value} if isinstance(value, str) else value


def _task(value: object) -> object:
    if not isinstance(value, dict):
        return value
    shorthand = {"dataset": _dataset, "transfer": _dataset, "text": _columns}
    return {key: shorthand.get(key, lambda item: item)(item) for key, item in value.items()}


def _recipe(value: object) -> object:
    """A preset's name, or settings, perhaps on top of a preset; `terms` are those of the only stage."""
    if isinstance(value, str):
        value = {"preset": value}
    if not isinstance(value, dict):
        return value
    settings = dict(value)
    own = [key for key in ("preset", "stages", "terms") if key in settings]
    if "stages" in own and "terms" in own:
        raise ValueError("give either `stages`, or the `terms` of the only stage")
    if "preset" in own:
        if len(own) > 1:
            raise ValueError(f"a preset says itself what is taught; leave out `{own[1]}` or `preset`")
        preset_name = settings.pop("preset")
        settings = asdict(recipe(preset_name)) | settings
    if "terms" in settings:
        settings["stages"] = ({"terms": settings.pop("terms")},)
    if isinstance(settings.get("stages"), list | tuple):
        settings["stages"] = tuple(map(_stage, settings["stages"]))
    if "schedule" in settings:
        settings["schedule"] = _schedule(settings["schedule"])
    return settings


def _schedule(value: object) -> object:
    """A kind, or settings; `lambda` is no name in Python."""
    if isinstance(value, str):
        return {"kind": value}
    return (
        {"lambda_" if key == "lambda" else key: item for key, item in value.items()}
        if isinstance(value, dict)
        else value
    )


def _stage(value: object) -> object:
    if not isinstance(value, dict) or not isinstance(value.get("terms"), dict):
        return value
    return value | {"terms": tuple(_term(*item) for item in value["terms"].items())}


def _term(knowledge: str, value: object) -> object:
    """A weight, or the other settings of a term."""
    if knowledge not in list(Knowledge):
        near = get_close_matches(str(knowledge), list(Knowledge), n=1)
        meant = f"did you mean {str(near[0])!r}?" if near else f"there are {', '.join(Knowledge)}"
        raise ValueError(f"terms: no knowledge is named {knowledge!r:.60}; {meant}")
    if isinstance(value, dict) and not value.keys() <= {"start", "end"}:
        return value | {"knowledge": knowledge}
    return {"knowledge": knowledge, "weight": value}


def _objectives(value: object) -> object:
    if isinstance(value, dict):
        return tuple({"metric": metric, "direction": direction} for metric, direction in value.items())
    if isinstance(value, list | tuple):
        return tuple(
            {"metric": each, "direction": metric_info(each).better} if isinstance(each, str) else each for each in value
        )
    return value


def _metric(task: object) -> str:
    """The task's metric, as far as it can be told: the task says itself what is wrong with it."""
    if isinstance(task, Task):
        return task.metric
    given: dict[str, object] = task if isinstance(task, dict) else {}
    if isinstance(metric := given.get("metric"), str):
        return metric
    kind = str(given.get("kind"))
    return METRICS_OF[HeadKind(kind) if kind in set(HeadKind) else HeadKind.CLASSIFICATION][0]


def _constraint(value: object) -> object:
    if isinstance(value, dict | Constraint):
        return value
    match = _CONSTRAINT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r:.60} is not a constraint; write `metric <= bound` or `metric >= bound`")
    metric, relation, bound = match.groups()
    return {
        "metric": metric,
        "bound": parse_quantity(bound, metric_info(metric).unit),
        "at_least": relation == ">=",
    }


def read_constraint(text: str) -> Constraint:
    """The constraint that a study file would write like this: `latency_p50 <= 4 ms`.

    Raises:
        ValueError, ProtocolError: it is none; the message says why.
    """
    found: Any = _constraint(text)
    return Constraint(**found)


def _dimension(value: object) -> object:
    if isinstance(value, dict):
        if "values" in value and value.keys() & {"low", "high", "step"}:
            raise ValueError("give either `values`, or `low`, `high` and `step`")
        return value
    if isinstance(value, list | tuple):
        return {"values": tuple(value)}
    if isinstance(value, int) and not isinstance(value, bool):
        return {"values": (value,)}
    if isinstance(value, IntegerRange | Choice):
        return value
    raise ValueError(
        f"must be a number, a list of numbers, or {{low, high, step}}, got {json.dumps(value, default=repr):.60}"
    )


def _options(value: object) -> object:
    if isinstance(value, dict | Category):
        return value
    return {"values": tuple(value) if isinstance(value, list | tuple) else (value,)}


def _dimension_kind(value: object) -> str:
    chosen = isinstance(value, Choice) or (isinstance(value, dict) and "values" in value)
    return "choice" if chosen else "range"


def _space_kind(value: object) -> str:
    return "preset" if isinstance(value, str) else "dimensions"


DimensionSpec = Annotated[
    Annotated[IntegerRange, Tag("range")] | Annotated[Choice, Tag("choice")],
    Discriminator(_dimension_kind),
    BeforeValidator(_dimension),
]
OptionSpec = Annotated[Category, BeforeValidator(_options)]
TAGS = frozenset({"range", "choice", "preset", "dimensions", "float", "Ramp"})
"""What pydantic puts into the location of an error, and no user wrote."""


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
TeacherSpec = Annotated[Teacher, BeforeValidator(_teacher)]
TaskSpec = Annotated[Task, BeforeValidator(_task)]
RecipeSpec = Annotated[Recipe, BeforeValidator(_recipe)]
Shape = Annotated[ShapeSpec, BeforeValidator(_shape)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


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
    `flash_floor`, by default what the kind of task needs; the `finalists` best of the front are distilled in full.
    Trials and finalists are measured with the efforts named here. Before the search so many architectures of the space
    are measured for a `calibration`, unless the target has one already; 0 for none.
    """

    trials: Annotated[int, Field(ge=1, le=100_000)] = 32
    parallel: Annotated[int, Field(ge=1, le=1_000)] = 1
    flash: Annotated[float, Field(gt=0, le=1)] = 0.05
    flash_floor: Annotated[int, Field(ge=1)] | None = None
    finalists: Annotated[int, Field(ge=1, le=1_000)] = 3
    measuring: Effort = Effort.SEARCH
    final_measuring: Effort = Effort.REPORT
    calibration: Annotated[int, Field(ge=0, le=MOST_CALIBRATED)] = 0

    @model_validator(mode="after")
    def _check(self) -> Budget:
        if 0 < self.calibration < FEWEST_CALIBRATED:
            raise ValueError(f"calibration must be 0 or at least {FEWEST_CALIBRATED}, got {self.calibration}")
        return self


class StudySpec(Strict):
    """One search. Only teacher and task have no default.

    With `early_stopping`, a distillation whose result would be dominated even at best is ended early.
    """

    name: Name
    teacher: TeacherSpec
    task: TaskSpec
    search_space: Annotated[
        Annotated[SpaceSpec, Tag("dimensions")] | Annotated[str, Tag("preset")], Discriminator(_space_kind)
    ] = "bert"
    objectives: Annotated[tuple[Objective, ...], BeforeValidator(_objectives)] = ()
    constraints: tuple[Annotated[Constraint, BeforeValidator(_constraint)], ...] = ()
    target: DeviceProfile = DeviceProfile()
    distillation: RecipeSpec = Recipe()
    budget: Budget = Budget()
    baselines: dict[str, Shape] = Field(default_factory=dict)
    strategy: StrategyName = StrategyName.AX
    early_stopping: bool = False
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _fill_objectives(cls, values: Any) -> Any:
        values = tuples(values)
        if isinstance(values, dict) and values.get("objectives") in (None, (), {}):
            metric = _metric(values.get("task"))
            better = METRICS[metric].better if metric in METRICS else Direction.MAXIMIZE
            values = values | {"objectives": {metric: better, "latency_p50": Direction.MINIMIZE}}
        return values

    @model_validator(mode="after")
    def _check(self) -> StudySpec:
        if len(self.objectives) < 2:
            raise ValueError("objectives: two or more are needed, or there is no front")
        names = [objective.metric for objective in self.objectives]
        named = [(f"objectives.{index}", one.metric) for index, one in enumerate(self.objectives)]
        named += [(f"constraints.{index}", one.metric) for index, one in enumerate(self.constraints)]
        for place, name in named:
            if metric_info(name, f"{place}: ").trained and name != self.task.metric:
                raise ValueError(f"{place}: {name} is not measured by this task: its metric is {self.task.metric}")
        if len(set(names)) < len(names):
            raise ValueError(f"objectives: {names} names a metric twice")
        if self.task.metric not in names:
            raise ValueError(f"objectives: the task's metric {self.task.metric} must be one of them")
        check_schedule(self.distillation, self.task)
        self._check_space()
        return self

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
        can never be met. Costs are those on the target.

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
        if isinstance(self.search_space, str):
            space = preset(self.search_space)
        else:
            # Made with BERT's vocabulary a bound on parameters might already leave nothing.
            judged = [text for text in constraints if not self.needs_teacher(text)]
            space = SearchSpace(dimensions=self.search_space.dimensions, vocabulary_size=1, constraints=judged)
        target = self.target
        return replace(
            space,
            vocabulary_size=1,
            max_positions=1,
            token_types=0,
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
    def judged_quantiles(self) -> tuple[QuantileName, ...]:
        """The quantiles that decide: those of the objectives, else those of the constraints, else p50."""
        for judged in (self.objectives, self.constraints):
            metrics = {each.metric for each in judged}
            named = tuple(name for name in QuantileName if f"latency_{name}" in metrics)
            if named:
                return named
        return (QuantileName.P50,)

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
