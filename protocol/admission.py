"""A study as it comes in, from a file or over the wire: what is let in, and what is wrong with the rest."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from pydantic import ValidationError

from hardware.values import DeviceProfile
from optimization.values import Constraint
from protocol.baseline import ShapeSpec
from protocol.distillation import DistillationSpec
from protocol.errors import ProtocolError
from protocol.measuring import ArchitectureSpec, TargetSpec
from protocol.metrics import MOST_PARAMETERS, info_of
from protocol.mistakes import MOST_TOLD, Location, Mistake, explained, shown
from protocol.study import Strict, StudySpec
from search_space import Architecture, parameter_columns, parameter_count
from search_space.grid import Points

Spec = TypeVar("Spec", bound=Strict)

MOST_DEPTH = 20
"""How deep values may be nested; a study needs 5."""

_MOST: dict[Location, float] = {
    (): 1e15,
    ("teacher",): 1e5,
    ("distillation",): 1e6,
    ("distillation", "steps"): 1e8,
    ("budget", "flash_floor"): 1e8,
    ("search_space",): 1e6,
    ("baselines",): 1e6,
    ("student",): 1e6,
    ("architecture",): 1e6,
    ("constraints",): sys.float_info.max,
}
"""The largest number at a place and below it, by the longest of these: beyond lies only what nobody can mean."""


class StudyRefusedError(ProtocolError):
    """Values that are no study or distillation, or one that cannot be met; what was found wrong is in `mistakes`."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)


def admit(values: object) -> StudySpec:
    """The study that these JSON values describe; a number in quotes is no number, and true and false are none either.

    Raises:
        StudyRefusedError: they describe none, or one whose constraints nobody can meet.
    """
    spec = _read(values, StudySpec)
    mistakes = [*_too_large(spec), *_impossible(spec.constraints)]
    if mistakes:
        raise StudyRefusedError(mistakes)
    return spec


def admit_distillation(values: object) -> DistillationSpec:
    """The distillation that these JSON values describe, as `admit`.

    Raises:
        StudyRefusedError: they describe none, or a student that nobody can train.
    """
    spec = _read(values, DistillationSpec)
    if spec.student is not None:
        mistakes = list(_absurd({("student",): _least(spec.student)}))
        if mistakes:
            raise StudyRefusedError(mistakes)
    return spec


def admit_target(values: object) -> DeviceProfile:
    """The device profile that these JSON values describe. Raises: StudyRefusedError: they describe none."""
    return _read({"target": values}, TargetSpec).target


def admit_architecture(values: object) -> Architecture:
    """The architecture that these JSON values describe.

    Raises:
        StudyRefusedError: they describe none, or one that nobody can build.
    """
    architecture = _read({"architecture": values}, ArchitectureSpec).architecture.alone()
    mistakes = list(_absurd({("architecture",): float(parameter_count(architecture))}))
    if mistakes:
        raise StudyRefusedError(mistakes)
    return architecture


def _read(values: object, model: type[Spec]) -> Spec:
    mistakes = list(islice(_unusable((), values), MOST_TOLD))
    if mistakes:
        raise StudyRefusedError(mistakes)
    try:
        return model.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise StudyRefusedError(explained(error.errors(include_url=False), model)) from error


def _unusable(location: Location, value: object) -> Iterator[Mistake]:
    if len(location) > MOST_DEPTH:
        yield Mistake(location=location[:3], message=f"is nested too deeply, more than {MOST_DEPTH} times")
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield from _unusable((*location, key), item)
            else:
                yield Mistake(location=location, message=f"a key must be text, got {shown(key)}")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _unusable((*location, position), item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value if isinstance(value, float) else 0.0):
            yield Mistake(location=location, message=f"must be a finite number, got {value}")
        elif abs(value) > (most := _most(location)):
            number = f"{value:g}" if abs(value) <= sys.float_info.max else f"{len(str(value))} digits"
            bound = f"at most {most:,.15g}" if value > 0 else f"at least {-most:,.15g}"
            yield Mistake(location=location, message=f"must be {bound}, got {number}")
    elif not isinstance(value, str | bool | None):
        yield Mistake(location=location, message=f"must be text, a number, a list or a mapping, got {shown(value)}")


def _most(location: Location) -> float:
    return next(_MOST[location[:end]] for end in range(len(location), -1, -1) if location[:end] in _MOST)


def _too_large(spec: StudySpec) -> Iterator[Mistake]:
    largest: dict[Location, float] = {("search_space",): max(map(_largest, spec.space().chunks()))}
    yield from _absurd(largest | {("baselines", name): _least(shape) for name, shape in spec.baselines.items()})


def _least(shape: ShapeSpec) -> float:
    """Parameters under the smallest teacher."""
    return float(parameter_count(shape.smallest()))


def _absurd(largest: Mapping[Location, float]) -> Iterator[Mistake]:
    for location, parameters in largest.items():
        if parameters > MOST_PARAMETERS:
            message = f"reaches {parameters:.3g} parameters, more than {MOST_PARAMETERS:.0e}: use smaller sizes"
            yield Mistake(location=location, message=message)


def _largest(points: Points) -> float:
    # In floating point: where sizes are absurd, their products are beyond 64 bits.
    return float(parameter_columns({name: column.astype("float64") for name, column in points.items()}).max())


def _impossible(constraints: Sequence[Constraint]) -> Iterator[Mistake]:
    """Constraints that no model can meet, whatever is searched."""
    for index, constraint in enumerate(constraints):
        info = info_of(constraint.metric)
        place: Location = ("constraints", index)
        if constraint.at_least and constraint.bound > info.high:
            hint = "; write a share such as 0.85, or 85 %" if info.unit == "share" else ""
            message = f"nothing has {_written(constraint)}: {constraint.metric} is at most {info.high:g}{hint}"
            yield Mistake(location=place, message=message)
        if not constraint.at_least and constraint.bound < info.low:
            least = "above 0" if info.unit == "seconds" else f"at least {info.low:g}"
            message = f"nothing has {_written(constraint)}: {constraint.metric} is {least}"
            yield Mistake(location=place, message=message)
        for other in constraints[:index]:
            if other.metric == constraint.metric and other.at_least != constraint.at_least:
                low, high = (other, constraint) if other.at_least else (constraint, other)
                if low.bound > high.bound:
                    message = f"{_written(constraint)} contradicts {_written(other)}; drop one of them"
                    yield Mistake(location=place, message=message)


def _written(constraint: Constraint) -> str:
    unit = " s" if info_of(constraint.metric).unit == "seconds" else ""
    return f"{constraint.metric} {'>=' if constraint.at_least else '<='} {constraint.bound:g}{unit}"
