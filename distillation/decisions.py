"""What a model decides in a batch, as rows of choices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distillation.batches import Batch
from encoders.modeling_stillhouse import StillhouseOutput
from encoders.values import HeadKind


@dataclass(frozen=True, slots=True)
class Decisions:
    logits_NC: Tensor
    labels_N: Tensor
    rows_N: Tensor


def decisions(output: StillhouseOutput, batch: Batch, kind: HeadKind) -> Decisions:
    assert kind is HeadKind.CLASSIFICATION and output.logits is not None
    return Decisions(output.logits, batch.labels, torch.arange(len(batch.labels), device=output.logits.device))
