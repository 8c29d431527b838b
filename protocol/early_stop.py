"""Why a distillation was ended before its last step."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class EarlyStop(BaseModel):
    """The decision to stop a trial, and its evidence; of the study's metric on the selection split.

    At `step` of `steps` the metric was `current`; from the curves of `curves` trials follows that it would have ended
    at `expected` (an estimate of this `variance`), and at `optimistic` at best (95 %, one-sided). That is dominated by
    the trial `dominated_by`, or breaks a constraint. `saved_steps` is 0 until the training has ended, and stays 0
    where that was by itself.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    step: int
    steps: int
    current: float
    expected: float
    variance: float
    optimistic: float
    curves: int
    dominated_by: int | None
    reason: str
    decided_at: datetime
    saved_steps: int = 0
