"""What measuring is told outside a study: a target, and an architecture without a teacher."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import model_validator

from hardware.values import DeviceProfile
from protocol.baseline import ShapeSpec
from protocol.shorthand import tuples
from protocol.study import Strict
from search_space import KNOWN, Architecture, Pooler

DEFAULT = replace(KNOWN["bert-base"], pooler=Pooler.NONE)
"""Has what a shape leaves out: where architectures are written, no pooler is left out."""


class TargetSpec(Strict):
    """A target as a study names it."""

    target: DeviceProfile


class LoneShape(ShapeSpec):
    """A shape without a teacher: what it leaves out is that of its known `model`, or BERT-base's without its pooler."""

    vocabulary_size: int | None = None
    max_positions: int | None = None
    token_types: int | None = None

    def alone(self) -> Architecture:
        """Raises: InvalidArchitectureError: nothing can have this shape."""
        return self.architecture(DEFAULT if self.model is None else KNOWN[self.model])

    @model_validator(mode="after")
    def _check_alone(self) -> LoneShape:
        self.alone()
        return self


class ArchitectureSpec(Strict):
    architecture: LoneShape

    @model_validator(mode="before")
    @classmethod
    def _as_values(cls, values: Any) -> Any:
        return tuples(values)
