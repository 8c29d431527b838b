"""What a teacher says of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from distillation.batches import Batch
from distillation.decisions import Answers, Needs, answer
from encoders.build import head_of
from encoders.modeling_stillhouse import StillhouseTaskModel


class Teaching(Protocol):
    """A teacher at work: what it says carries no gradients."""

    @property
    def model(self) -> StillhouseTaskModel: ...

    def __call__(self, batch: Batch, needs: Needs) -> Answers:
        """What the teacher says of this batch, on the batch's device."""
        ...


@dataclass(frozen=True, slots=True)
class LiveTeaching:
    """Computes on every batch."""

    model: StillhouseTaskModel

    def __call__(self, batch: Batch, needs: Needs) -> Answers:
        with torch.no_grad():
            return answer(self.model, batch, head_of(self.model.config).kind, needs)
