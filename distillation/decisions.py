"""What a model decides about a batch, as rows of logits: one shape for every kind of task.

Shapes: B batch, L length, D hidden, C choices (L where an answer begins), N decisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from distillation.batches import Batch
from distillation.encoding import UNLABELLED
from encoders.modeling_stillhouse import StillhouseForMaskedLM, StillhouseOutput, StillhouseTaskModel
from encoders.values import HeadKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Layers of which something is needed besides the decisions.

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


NOTHING = Needs()

IMPOSSIBLE = -1e4
"""The logit of a token that no answer can begin or end with: nothing after a softmax, and finite in half precision."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """N decisions, each about a text, a word, an end of an answer or a masked word.

    Args:
        logits: (N, C); of regression the value itself, (N, 1).
        labels: (N,), -100 where there is none; values, nan where there is none.
        rows: (N,), which row of the batch each is about.
    """

    logits: Tensor
    labels: Tensor
    rows: Tensor

    @property
    def labelled(self) -> Tensor:
        """(N,) where there is a label."""
        return ~self.labels.isnan() if self.labels.is_floating_point() else self.labels != UNLABELLED


def decisions(output: StillhouseOutput, batch: Batch, kind: HeadKind) -> Decisions:
    """What the model decided: a class for each text; a tag for each word; where an answer begins and then where it
    ends; the word behind each mask.
    """
    everything = torch.arange(len(batch.input_ids), device=batch.input_ids.device)
    match kind:
        case HeadKind.CLASSIFICATION | HeadKind.REGRESSION:
            return Decisions(_there(output.logits), batch.labels, everything)
        case HeadKind.TOKEN_CLASSIFICATION | HeadKind.MASKED_LM:
            decides_BL = _there(batch.decides)
            logits_BLC = _there(output.logits)
            return Decisions(logits_BLC[decides_BL], batch.labels[decides_BL], decides_BL.nonzero()[:, 0])
        case HeadKind.QUESTION_ANSWERING:
            ends_B2L = torch.stack((_there(output.start_logits), _there(output.end_logits)), dim=1)
            possible_B2L = ends_B2L.masked_fill(~_there(batch.decides)[:, None, :], IMPOSSIBLE)
            return Decisions(possible_B2L.flatten(0, 1), batch.labels.flatten(), everything.repeat_interleave(2))
        case _:
            assert_never(kind)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model decided about a batch, and the layers that were asked for; `output` may lack logits."""

    decisions: Decisions
    output: StillhouseOutput


def answer(model: StillhouseTaskModel, batch: Batch, kind: HeadKind, needs: Needs = NOTHING) -> Answers:
    """One forward pass that computes what is asked for and no more.

    A masked LM computes the vocabulary's logits where words are masked only: they are the larger part of its work.
    """
    inputs = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
    wanted = {
        "output_hidden_states": bool(needs.hidden_states),
        "output_attentions": bool(needs.attentions),
        "output_projections": bool(needs.projections),
    }
    if not isinstance(model, StillhouseForMaskedLM):
        output: StillhouseOutput = model(*inputs, **wanted)
        return Answers(decisions(output, batch, kind), output)
    output = model.encoder(*inputs, return_dict=True, **wanted)
    decides_BL = _there(batch.decides)
    logits_NV = model.vocabulary_logits(_there(output.last_hidden_state)[decides_BL])
    made = Decisions(logits_NV, batch.labels[decides_BL], decides_BL.nonzero()[:, 0])
    return Answers(made, output)


def _there(tensor: Tensor | None) -> Tensor:
    if tensor is None:
        raise ValueError("the batch or the model's output is of another kind of task")
    return tensor
