"""Which teacher layer teaches which student layer."""

from __future__ import annotations

from typing import assert_never

from distillation.errors import TeacherError
from distillation.values import Matching

Pairs = tuple[tuple[int, int], ...]
"""(teacher, student) indices into hidden states: 0 is the embeddings' output, i + 1 that of layer i."""


def match(matching: Matching, *, teacher_layers: int, student_layers: int) -> Pairs:
    """The embeddings' outputs, then a teacher layer for each student layer.

    Raises:
        TeacherError: the teacher has fewer layers than the student.
    """
    if teacher_layers < student_layers:
        raise TeacherError(f"a teacher of {teacher_layers} layers cannot be matched to {student_layers} student layers")
    match matching:
        case Matching.UNIFORM:
            layers = uniform(teacher_layers, student_layers)
        case _:
            assert_never(matching)
    return ((0, 0), *((teacher + 1, student + 1) for teacher, student in layers))


def uniform(teacher_layers: int, student_layers: int) -> Pairs:
    """Layers, 0-based: ((i + 1) * T // S - 1, i) for every student layer i; last is matched with last."""
    return tuple(((index + 1) * teacher_layers // student_layers - 1, index) for index in range(student_layers))
