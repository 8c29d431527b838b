"""The weighted sum of losses that a training minimises: the mean of a batch.

A criterion is a module: what it learns is trained and checkpointed beside the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import torch
from torch import Tensor, nn

from distillation.batches import Batch
from distillation.decisions import Answers, Decisions, Needs, answer
from distillation.errors import TeacherError
from distillation.layers import LayerTerm, layer_term
from distillation.losses import hard_labels, logits_cross_entropy, logits_kl, logits_mse, values_mse
from distillation.recipe import OUTPUTS, Knowledge, LossName, Term, value_at
from distillation.teaching import Teaching
from encoders.build import head_of
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import HeadKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Pupil:
    """The student as a criterion sees it. `hidden_units` are the teacher's behind each of its own, if it has any."""

    model: StillhouseTaskModel
    hidden_units: tuple[int, ...] = ()


class Criterion(nn.Module):
    """sum over terms of weight(share) * loss(student, teacher), each the mean of its batch.

    The teacher computes what the terms need on the student's batch, without gradients; terms that need no teacher do
    without one.
    """

    def __init__(
        self, terms: Sequence[Term], pupil: Pupil, teaching: Teaching | None, *, block: int | None = None
    ) -> None:
        """`block` is the only student layer that learns, with the embeddings below the first.

        Raises:
            TeacherError: a term does not fit teacher and student, or needs a teacher where there is none.
        """
        super().__init__()
        # In a tuple, so that the teacher's weights are neither trained nor checkpointed with this module's.
        self._teaching = (teaching,)
        self._kind = head_of(pupil.model.config).kind
        active = [term for term in terms if not term.is_off]
        self._outputs = [term for term in active if term.knowledge in OUTPUTS]
        self.layers = nn.ModuleList()
        for term in active:
            if term.knowledge not in OUTPUTS:
                made = layer_term(term, _teacher_of(term, teaching), pupil.model, pupil.hidden_units, block)
                if made is not None:
                    self.layers.append(made)
        of_layers = [lesson.needs for lesson in self._lessons]
        self.needs = reduce(or_, of_layers, Needs())
        self.is_taught = bool(of_layers) or any(term.knowledge is Knowledge.LOGITS for term in self._outputs)
        for term in self._outputs:
            if term.knowledge is Knowledge.LOGITS:
                _teacher_of(term, teaching)
            if term.smoothing and self._kind is HeadKind.QUESTION_ANSWERING:
                raise TeacherError("hard_labels: smoothing asks for answers where none can be; leave it out")

    def forward(self, model: StillhouseTaskModel, batch: Batch, share: float = 0.0) -> Tensor:
        """A scalar; `share` is how much of the stage is over."""
        return torch.stack([weight * loss for weight, loss in self.parts(model, batch, share)]).sum()

    def parts(self, model: StillhouseTaskModel, batch: Batch, share: float = 0.0) -> list[tuple[float, Tensor]]:
        """Weight and loss of each term: those of the outputs first, each in the recipe's order."""
        learned = answer(model, batch, self._kind, self.needs)
        teaching = self._teaching[0]
        taught = teaching(batch, self.needs) if self.is_taught and teaching is not None else None
        # Losses are sums of many small numbers: in full precision, whatever the models computed in.
        with torch.autocast(batch.input_ids.device.type, enabled=False):
            return self._losses(learned, taught, batch, share)

    def _losses(
        self, learned: Answers, taught: Answers | None, batch: Batch, share: float
    ) -> list[tuple[float, Tensor]]:
        found = [
            (value_at(term.weight, share), self._output_loss(term, learned.decisions, taught, share))
            for term in self._outputs
        ]
        if taught is not None:
            found += [
                (value_at(lesson.term.weight, share), lesson(learned.output, taught.output, batch))
                for lesson in self._lessons
            ]
        return found

    @property
    def teaches(self) -> bool:
        """Whether there is anything to learn: a block may have no term of its own."""
        return bool(self._outputs) or len(self.layers) > 0

    @property
    def _lessons(self) -> list[LayerTerm]:
        return [lesson for lesson in self.layers if isinstance(lesson, LayerTerm)]

    def _output_loss(self, term: Term, own: Decisions, taught: Answers | None, share: float) -> Tensor:
        if term.knowledge is Knowledge.HARD_LABELS:
            return self._label_loss(term, own)
        if taught is None:
            raise ValueError("logits are taught by a teacher, and there is none")
        other = taught.decisions
        if self._kind is HeadKind.REGRESSION or term.loss is LossName.MSE:  # one number has no distribution
            return _mean(logits_mse(own.logits, other.logits))
        temperature = 1.0 if term.temperature is None else value_at(term.temperature, share)
        loss = logits_kl if term.loss is LossName.KL else logits_cross_entropy
        return _mean(loss(own.logits, other.logits, temperature))

    def _label_loss(self, term: Term, own: Decisions) -> Tensor:
        logits_NC, labels_N = own.logits[own.labelled], own.labels[own.labelled]
        if self._kind is HeadKind.REGRESSION:
            return _mean(values_mse(logits_NC, labels_N))
        return _mean(hard_labels(logits_NC, labels_N, term.smoothing))


def _mean(losses_N: Tensor) -> Tensor:
    """0 of none: a batch of unlabelled texts has no labels to learn."""
    return losses_N.sum() / max(1, losses_N.numel())


def _teacher_of(term: Term, teaching: Teaching | None) -> StillhouseTaskModel:
    if teaching is None:
        raise TeacherError(f"{term.knowledge} is taught by a teacher, and there is none")
    return teaching.model
