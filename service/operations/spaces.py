"""The architectures of a study, once its teacher is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from distillation.recipe import FROM_TEACHER
from encoders.values import Pooling
from protocol.baseline import beyond, half_depth, read_by_head
from protocol.jobs import Prepared, Reference
from protocol.study import Budget, StudySpec
from search_space import Architecture, InvalidArchitectureError, SearchSpace, parameter_columns
from search_space.architecture import OPTIONS
from search_space.space import FIXED, SLICED

HALF_DEPTH = "half-depth"
"""The baseline of a study that names none."""


def effective_space(spec: StudySpec, prepared: Prepared) -> SearchSpace:
    """What the study searches: with the teacher's vocabulary, within the bounds on parameters, and no larger than the
    teacher where students are sliced from it.

    Raises:
        EmptySpaceError: nothing is left; the message says why.
    """
    space, teacher = spec.space(), _read_by_its_head(prepared)
    if spec.distillation.initialisation in FROM_TEACHER:
        space = space.within(teacher)
    else:
        space = replace(space, **{name: getattr(teacher, name) for name in FIXED})
        if spec.distillation.needs_teachers_depth:
            space = space.constrained(f"layers <= {teacher.layers}")
    return space.constrained(*spec.space_constraints)


def references(budget: Budget, space: SearchSpace, teacher: Architecture) -> dict[str, Reference]:
    """What is measured before the search: the teacher as the finalists will be, that are compared with it; the
    smallest and the largest architecture, by parameters, as the trials. Of equally many it is the first and the last in
    the order of the space: heads may cost no parameters.
    """
    parameters = parameter_columns(space.columns)
    smallest = space.architecture(int(np.argmin(parameters)))
    largest = space.architecture(space.size - 1 - int(np.argmax(parameters[::-1])))
    return {
        "teacher": Reference(architecture=teacher, effort=budget.final_measuring),
        "smallest": Reference(architecture=smallest, effort=budget.measuring),
        "largest": Reference(architecture=largest, effort=budget.measuring),
    }


def is_smallest(space: SearchSpace, architecture: Architecture) -> bool:
    """Whether nothing in the space is smaller in any dimension, so that nothing in it should be faster.

    Fewest parameters are not enough: where a constraint ties dimensions together, such an architecture may be the
    deepest. Dimensions that are no sizes, or whose 0 is something else than little, must have one value.
    """
    return _is_end(space, architecture, largest=False)


def is_largest(space: SearchSpace, architecture: Architecture) -> bool:
    """As `is_smallest`, of the other end."""
    return _is_end(space, architecture, largest=True)


def baselines(spec: StudySpec, prepared: Prepared) -> tuple[dict[str, Architecture], list[str]]:
    """The named architectures to compare with, and a note for each that cannot be had.

    They may lie outside the search space. One that is no slice of the teacher is left out where students start as one.
    """
    teacher = _read_by_its_head(prepared)
    shapes = spec.baselines or {HALF_DEPTH: half_depth(teacher)}
    sliced = spec.distillation.initialisation in FROM_TEACHER
    kept: dict[str, Architecture] = {}
    notes = []
    for name, shape in shapes.items():
        try:
            architecture = shape.architecture(teacher)
        except InvalidArchitectureError as error:
            notes.append(f"baseline {name} is left out: {error}")
            continue
        excess = beyond(architecture, teacher) if sliced else ""
        same = [other for other, earlier in kept.items() if earlier == architecture]
        if excess:
            notes.append(f"baseline {name} is left out: {excess}, and students are initialised from the teacher")
        elif same:
            notes.append(f"baseline {name} is left out: it is the same architecture as {same[0]}")
        else:
            kept[name] = architecture
    return kept, notes


def _is_end(space: SearchSpace, architecture: Architecture, *, largest: bool) -> bool:
    row = space.index(architecture)
    assert row is not None
    own = space.take([row])
    for name in space.names:
        column = space.columns[name]
        low, high = int(column.min()), int(column.max())
        has_order = name in SLICED or (name not in OPTIONS and low > 0)
        if low != high and (not has_order or int(own[name][0]) != (high if largest else low)):
            return False
    return True


def _read_by_its_head(prepared: Prepared) -> Architecture:
    return read_by_head(prepared.architecture, pools_first_token=prepared.head.pooling is Pooling.CLS)
