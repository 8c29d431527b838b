"""The weighted sum of losses that a training minimises: the mean of a batch.

A criterion is a module: what it learns is trained and checkpointed beside the model.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from distillation.batches import Batch
from distillation.decisions import decide
from distillation.losses import hard_labels, hidden_states, soft_labels
from distillation.matching import Pairs, match
from distillation.values import Recipe
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import HeadKind


class LabelCriterion(nn.Module):
    """Labels alone: how a teacher is trained. The mean over the decisions that have one."""

    def __init__(self, *, kind: HeadKind = HeadKind.CLASSIFICATION, smoothing: float = 0.0) -> None:
        super().__init__()
        self.kind = kind
        self.smoothing = smoothing

    def forward(self, model: StillhouseTaskModel, batch: Batch) -> Tensor:
        made = decide(model, batch, self.kind)
        logits, labels = made.logits[made.labelled], made.labels[made.labelled]
        if self.kind is HeadKind.REGRESSION:
            lost = functional.mse_loss(logits[:, 0], labels, reduction="none")
        else:
            lost = hard_labels(logits, labels, self.smoothing)
        return lost.sum() / max(1, len(lost))


class TeacherCriterion(nn.Module):
    """w_logits * soft labels + w_hidden * hidden states, mean over the matched pairs + w_hard * labels.

    The teacher computes on the student's batch, without gradients. Where their widths differ, each matched
    state of the student passes through a linear map of its own, which is learned and not part of the student.
    """

    def __init__(
        self,
        teacher: StillhouseTaskModel,
        student: StillhouseTaskModel,
        recipe: Recipe,
    ) -> None:
        """Raises: TeacherError: the layers cannot be matched."""
        super().__init__()
        # In a tuple, so that the teacher's weights are neither trained nor checkpointed with this module's.
        self._teacher = (teacher,)
        self.weights = recipe.weights
        self.temperature = recipe.temperature
        self.pairs: Pairs = ()
        if self.weights.hidden_states:
            self.pairs = match(
                recipe.matching, teacher_layers=teacher.config.layers, student_layers=student.config.layers
            )
        self.projections = _projections(len(self.pairs), student.config.hidden_size, teacher.config.hidden_size)

    def forward(self, model: StillhouseTaskModel, batch: Batch) -> Tensor:
        inputs = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
        wants_hidden = bool(self.pairs)
        with torch.no_grad():
            taught = self._teacher[0](*inputs, output_hidden_states=wants_hidden)
        learned = model(*inputs, output_hidden_states=wants_hidden)
        total = learned.logits.new_zeros(())
        if self.weights.logits:
            total = total + self.weights.logits * soft_labels(learned.logits, taught.logits, self.temperature).mean()
        if self.weights.hard_labels:
            total = total + self.weights.hard_labels * hard_labels(learned.logits, batch.labels).mean()
        for index, (of_teacher, of_student) in enumerate(self.pairs):
            projected = self.projections[index](learned.hidden_states[of_student])
            distance = hidden_states(projected, taught.hidden_states[of_teacher], batch.attention_mask).mean()
            total = total + self.weights.hidden_states / len(self.pairs) * distance
        loss: Tensor = total
        return loss


def _projections(count: int, student_size: int, teacher_size: int) -> nn.ModuleList:
    if student_size == teacher_size:
        return nn.ModuleList(nn.Identity() for _ in range(count))
    return nn.ModuleList(_projection(student_size, teacher_size) for _ in range(count))


def _projection(student_size: int, teacher_size: int) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):  # what it draws here is overwritten, and nobody's to miss
        linear = nn.Linear(student_size, teacher_size)
    # A student that starts from the teacher's leading units finds them where they were.
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
