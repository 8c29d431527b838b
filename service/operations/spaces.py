"""The architectures of a study, once its teacher is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from distillation.recipe import FROM_TEACHER
from protocol.jobs import Prepared, Reference
from protocol.study import Budget, StudySpec
from search_space import Architecture, SearchSpace, parameter_columns
from search_space.space import FIXED, SLICED

HALF_DEPTH = "half-depth"
"""The baseline of a study that names none: the teacher at half its layers, as DistilBERT was made of BERT."""


def effective_space(spec: StudySpec, prepared: Prepared) -> SearchSpace:
    """What the study searches: with the teacher's vocabulary, within the bounds on parameters, and no larger than the
    teacher where students are sliced from it.

    Raises:
        EmptySpaceError: nothing is left; the message says why.
    """
    space = spec.space()
    if spec.distillation.initialisation in FROM_TEACHER:
        return space.within(prepared.architecture)
    if spec.distillation.needs_teachers_depth:
        space = space.constrained(f"layers <= {prepared.architecture.layers}")
    return replace(space, **{name: getattr(prepared.architecture, name) for name in FIXED})


def references(budget: Budget, space: SearchSpace, teacher: Architecture) -> dict[str, Reference]:
    """What is measured before the search: the teacher as the finalists will be, that are compared with it; the
    smallest and the largest architecture, by parameters, as the trials.
    """
    parameters = parameter_columns(space.columns)
    smallest, largest = (space.architecture(int(end(parameters))) for end in (np.argmin, np.argmax))
    return {
        "teacher": Reference(architecture=teacher, effort=budget.final_measuring),
        "smallest": Reference(architecture=smallest, effort=budget.measuring),
        "largest": Reference(architecture=largest, effort=budget.measuring),
    }


def baselines(spec: StudySpec, teacher: Architecture) -> tuple[dict[str, Architecture], list[str]]:
    """The named architectures to compare with, and a note for each that cannot be had.

    They may lie outside the search space. One that is no slice of the teacher is left out where students start as one.
    """
    shapes = {name: shape.model_dump() for name, shape in spec.baselines.items()}
    if not shapes and teacher.is_uniform:
        shapes = {HALF_DEPTH: {"layers": max(1, teacher.layers // 2)}}
    kept: dict[str, Architecture] = {}
    notes = []
    for name, shape in shapes.items():
        architecture = replace(teacher, **shape)
        beyond = _beyond(architecture, teacher)
        same = [other for other, earlier in kept.items() if earlier == architecture]
        if beyond and spec.distillation.initialisation in FROM_TEACHER:
            notes.append(f"baseline {name} is left out: {beyond}, and students are initialised from the teacher")
        elif same:
            notes.append(f"baseline {name} is left out: it is the same architecture as {same[0]}")
        else:
            kept[name] = architecture
    return kept, notes


def _beyond(architecture: Architecture, teacher: Architecture) -> str:
    for name in SLICED:
        own, most = getattr(architecture, name), getattr(teacher, name)
        if own > most:
            return f"its {name} {own} is beyond the teacher's {most}"
    return ""
