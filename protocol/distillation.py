"""The distillation: one student of one teacher, as a user asks for it, in the words of a study."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from distillation.recipe import Initialisation, Recipe
from protocol.baseline import ShapeSpec, half_depth, read_by_head
from protocol.shorthand import Name, RecipeSpec, Seed, Shape, TaskSpec, TeacherSpec, tuples
from protocol.study import Strict, check_schedule
from search_space import Architecture


class DistillationSpec(Strict):
    """One student. Only teacher and task have no default; what a study says in the same words may be copied.

    `student` is a shape as among a study's baselines, by default the teacher's lower half. `sparsity` in its place asks
    for the teacher without this share of its heads and of its neurons, the least important ones. `previous` is the
    folder of a checkpoint, for the recipe's `initialisation: previous`.
    """

    name: Name
    teacher: TeacherSpec
    task: TaskSpec
    student: Shape | None = None
    sparsity: Annotated[float, Field(gt=0, lt=1)] | None = None
    distillation: RecipeSpec = Recipe()
    previous: str | None = None
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _as_values(cls, values: Any) -> Any:
        return tuples(values)

    @model_validator(mode="after")
    def _check(self) -> DistillationSpec:
        starts_there = self.distillation.initialisation is Initialisation.PREVIOUS
        if starts_there and self.previous is None:
            raise ValueError("previous: is missing: `initialisation: previous` needs the folder of a checkpoint")
        if self.previous is not None and not starts_there:
            raise ValueError("previous: needs `initialisation: previous` in `distillation`, or it says nothing")
        if self.sparsity is not None and self.student is not None:
            raise ValueError("sparsity: says what the student is, and so does `student`; leave one of them out")
        check_schedule(self.distillation, self.task)
        return self

    def architecture(self, teacher: Architecture, *, pools_first_token: bool) -> Architecture:
        """The student's under this teacher; it has no pooler where the head, the teacher's as well, does not read it.

        Raises:
            InvalidArchitectureError: nothing can have this shape.
        """
        read = read_by_head(teacher, pools_first_token=pools_first_token)
        shape: ShapeSpec = half_depth(teacher) if self.student is None else self.student
        return shape.architecture(read)
