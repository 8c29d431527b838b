"""Which teacher layer teaches which student layer.

T teacher and S student layers, counted from 0. `distillation.transport` matches every layer with every other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from distillation.errors import TeacherError
from distillation.recipe import Matching

Pairs = tuple[tuple[int, int], ...]
"""(teacher, student) layers, from 0."""


def match(matching: Matching | Pairs, *, teacher_layers: int, student_layers: int) -> Pairs:
    """The pairs of this matching; `emd` has all, the teacher's layers in the outer order.

    Raises:
        TeacherError: these layers cannot be matched so.
    """
    if not isinstance(matching, Matching):
        return explicit(matching, teacher_layers, student_layers)
    match matching:
        case Matching.FIRST:
            return first(teacher_layers, student_layers)
        case Matching.LAST:
            return last(teacher_layers, student_layers)
        case Matching.UNIFORM:
            return uniform(teacher_layers, student_layers)
        case Matching.LAST1:
            return last1(teacher_layers, student_layers)
        case Matching.EMD:
            return tuple((teacher, student) for teacher in range(teacher_layers) for student in range(student_layers))
        case _:
            assert_never(matching)


def first(teacher_layers: int, student_layers: int) -> Pairs:
    """(i, i): each student layer learns from the teacher's layer of the same depth. T >= S, or TeacherError."""
    _require_enough(teacher_layers, student_layers)
    return tuple((index, index) for index in range(student_layers))


def last(teacher_layers: int, student_layers: int) -> Pairs:
    """(i + T - S, i): the teacher's S upper layers; last teaches last. T >= S, or TeacherError."""
    _require_enough(teacher_layers, student_layers)
    return tuple((index + teacher_layers - student_layers, index) for index in range(student_layers))


def uniform(teacher_layers: int, student_layers: int) -> Pairs:
    """((i + 1) * T // S - 1, i): spread over the teacher; last teaches last. T >= S, or TeacherError."""
    _require_enough(teacher_layers, student_layers)
    return tuple(((index + 1) * teacher_layers // student_layers - 1, index) for index in range(student_layers))


def last1(teacher_layers: int, student_layers: int, teacher_layer: int | None = None) -> Pairs:
    """(T - 1, S - 1) alone, or (teacher_layer, S - 1); whichever has more layers.

    References: arXiv:2002.10957, section 3; an upper middle layer of a deep teacher, arXiv:2012.15828.

    Raises:
        TeacherError: the teacher has no such layer.
    """
    layer = teacher_layers - 1 if teacher_layer is None else teacher_layer
    return explicit([(layer, student_layers - 1)], teacher_layers, student_layers)


def explicit(pairs: Iterable[tuple[int, int]], teacher_layers: int, student_layers: int) -> Pairs:
    """These (teacher, student) pairs, whichever has more layers; a layer may be in several.

    Raises:
        TeacherError: no pair at all, a pair twice, or a pair of a layer that does not exist.
    """
    checked: list[tuple[int, int]] = []
    for teacher, student in pairs:
        for name, layer, layers in (("teacher", teacher, teacher_layers), ("student", student, student_layers)):
            if not 0 <= layer < layers:
                raise TeacherError(
                    f"the pair [{teacher}, {student}] (teacher layer, student layer) asks for {name} layer {layer};"
                    f" the {name}'s layers are 0 to {layers - 1}"
                )
        if (teacher, student) in checked:
            raise TeacherError(f"the pair [{teacher}, {student}] (teacher layer, student layer) is given twice")
        checked.append((teacher, student))
    if not checked:
        raise TeacherError("no pair of teacher and student layers is given")
    return tuple(checked)


def _require_enough(teacher_layers: int, student_layers: int) -> None:
    if teacher_layers < student_layers:
        raise TeacherError(f"a teacher of {teacher_layers} layers cannot be matched to {student_layers} student layers")
