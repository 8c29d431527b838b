"""What may be changed of a study that is there."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ExtendStudy(BaseModel):
    """New totals of a study's budget, each larger than before; what is not named stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: Annotated[int, Field(ge=1, le=100_000)] | None = None
    finalists: Annotated[int, Field(ge=1, le=1_000)] | None = None
    device_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _check(self) -> ExtendStudy:
        if not self.totals:
            raise ValueError("name at least one of trials, finalists and device_hours")
        return self

    @property
    def totals(self) -> dict[str, Any]:
        """What is named."""
        return {name: value for name, value in self if value is not None}
