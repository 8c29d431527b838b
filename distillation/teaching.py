"""What a teacher says of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from distillation.batches import Batch
from encoders.modeling_stillhouse import StillhouseOutput, StillhouseTaskModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What is needed of a model besides its logits."""

    hidden_states: bool = False
    attentions: bool = False
    projections: bool = False

    @staticmethod
    def all_of(*needs: Needs) -> Needs:
        return Needs(
            hidden_states=any(need.hidden_states for need in needs),
            attentions=any(need.attentions for need in needs),
            projections=any(need.projections for need in needs),
        )

    def outputs_of(self, model: StillhouseTaskModel, batch: Batch) -> StillhouseOutput:
        """One forward pass that computes this and no more."""
        output: StillhouseOutput = model(
            batch.input_ids,
            batch.attention_mask,
            batch.token_type_ids,
            output_hidden_states=self.hidden_states,
            output_attentions=self.attentions,
            output_projections=self.projections,
        )
        return output


class Teaching(Protocol):
    """A teacher at work: its outputs carry no gradients."""

    @property
    def model(self) -> StillhouseTaskModel: ...

    def __call__(self, batch: Batch, needs: Needs) -> StillhouseOutput:
        """What the teacher says of this batch, on the batch's device."""
        ...


@dataclass(frozen=True, slots=True)
class LiveTeaching:
    """Computes on every batch."""

    model: StillhouseTaskModel

    def __call__(self, batch: Batch, needs: Needs) -> StillhouseOutput:
        with torch.no_grad():
            return needs.outputs_of(self.model, batch)
