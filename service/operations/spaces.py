"""The architectures of a study, once its teacher is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from distillation.values import Initialisation
from encoders.values import Pooling
from protocol.baseline import ShapeSpec
from protocol.jobs import Prepared, Reference
from protocol.study import Budget, StudySpec
from search_space import Architecture, InvalidArchitectureError, Pooler, SearchSpace, parameter_columns
from search_space.space import FIXED

HALF_DEPTH = "half-depth"
"""The baseline of a study that names none: the teacher's lower half; DistilBERT has half of BERT's layers."""


def effective_space(spec: StudySpec, prepared: Prepared) -> SearchSpace:
    """What the study searches: with the teacher's vocabulary, within the bounds on parameters, and no larger than the
    teacher where students are sliced from it.

    Raises:
        EmptySpaceError: nothing is left; the message says why.
    """
    space, teacher = spec.space(), _read_by_its_head(prepared)
    if spec.distillation.initialisation is Initialisation.TEACHER:
        space = space.within(teacher)
    else:
        space = replace(space, **{name: getattr(teacher, name) for name in FIXED})
    return space.constrained(*spec.space_constraints)


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


def baselines(spec: StudySpec, prepared: Prepared) -> tuple[dict[str, Architecture], list[str]]:
    """The named architectures to compare with, and a note for each that cannot be had.

    They may lie outside the search space. One that is no slice of the teacher is left out where students start as one.
    """
    teacher = _read_by_its_head(prepared)
    shapes = spec.baselines or {HALF_DEPTH: ShapeSpec(layers=max(1, teacher.layers // 2))}
    sliced = spec.distillation.initialisation is Initialisation.TEACHER
    kept: dict[str, Architecture] = {}
    notes = []
    for name, shape in shapes.items():
        try:
            architecture = shape.architecture(teacher)
        except InvalidArchitectureError as error:
            notes.append(f"baseline {name} is left out: {error}")
            continue
        beyond = _beyond(architecture, teacher) if sliced else ""
        same = [other for other, earlier in kept.items() if earlier == architecture]
        if beyond:
            notes.append(f"baseline {name} is left out: {beyond}, and students are initialised from the teacher")
        elif same:
            notes.append(f"baseline {name} is left out: it is the same architecture as {same[0]}")
        else:
            kept[name] = architecture
    return kept, notes


def _read_by_its_head(prepared: Prepared) -> Architecture:
    """The teacher without a pooler that its head, which is the students' as well, does not read."""
    if prepared.head.pooling is Pooling.CLS:
        return prepared.architecture
    return replace(prepared.architecture, pooler=Pooler.NONE)


def _beyond(architecture: Architecture, teacher: Architecture) -> str:
    """What the teacher's lower layers and leading units do not have."""
    names = ["hidden_size"]
    if bool(architecture.bottleneck_size) == bool(teacher.bottleneck_size):  # else blocks start at random
        names += ["layers", "bottleneck_size", "head_size"]
    for name in names:
        own, most = getattr(architecture, name), getattr(teacher, name)
        if own > most:
            return f"its {name} {own} is beyond the teacher's {most}"
    if len(names) == 1:
        return ""
    for name, sizes, bounds in (
        ("heads", architecture.heads_by_layer, teacher.heads_by_layer),
        ("ffn_size", architecture.ffn_sizes_by_layer, teacher.ffn_sizes_by_layer),
    ):
        for layer, (own, most) in enumerate(zip(sizes, bounds, strict=False)):
            if own > most:
                return f"its {name} {own} in layer {layer} is beyond the teacher's {most}"
    return ""
