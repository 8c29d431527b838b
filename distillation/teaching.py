"""What a teacher says of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from distillation.batches import Batch
from encoders.modeling_stillhouse import StillhouseOutput, StillhouseTaskModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Layers of which something is needed besides the logits.

    `hidden_states` count the embeddings' output as 0 and a layer's from 1; all else counts layers from 0.
    """

    hidden_states: frozenset[int] = frozenset()
    attentions: frozenset[int] = frozenset()
    projections: frozenset[int] = frozenset()

    def __or__(self, other: Needs) -> Needs:
        return Needs(
            hidden_states=self.hidden_states | other.hidden_states,
            attentions=self.attentions | other.attentions,
            projections=self.projections | other.projections,
        )

    def outputs_of(self, model: StillhouseTaskModel, batch: Batch) -> StillhouseOutput:
        """One forward pass that computes this and no more."""
        output: StillhouseOutput = model(
            batch.input_ids,
            batch.attention_mask,
            batch.token_type_ids,
            output_hidden_states=bool(self.hidden_states),
            output_attentions=bool(self.attentions),
            output_projections=bool(self.projections),
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
