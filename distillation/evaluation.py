"""What a model predicts of a split, and how good that is.

Shapes: B batch, L length, N decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from distillation.batches import Encoded
from distillation.decisions import Decisions, answer
from distillation.encoding import Integers
from distillation.metrics import NO_TAG, Guesses, Predictions, estimate
from distillation.values import Estimate, Task
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import HeadKind

BATCH_SIZE = 128

LONGEST_ANSWER = 30
"""In tokens."""


def evaluate(
    model: StillhouseTaskModel, encoded: Encoded, task: Task, classes: Sequence[str], device: torch.device
) -> Estimate:
    """The task's metric on a held-out split, with its 95 % interval; the model is left in evaluation mode."""
    return estimate(task.metric, encoded.examples, predict(model, encoded, device), classes)


def predict(model: StillhouseTaskModel, encoded: Encoded, device: torch.device) -> Predictions:
    """What the model says of every example; it is left in evaluation mode."""
    model.train(False)
    with torch.inference_mode():
        return _PREDICTORS[encoded.kind](model, encoded, device)


def _classes(model: StillhouseTaskModel, encoded: Encoded, device: torch.device) -> Predictions:
    predictions = np.zeros(len(encoded), dtype=np.int64)
    for indices, made in _decided(model, encoded, device):
        predictions[indices] = made.logits.argmax(dim=-1).cpu().numpy()
    return predictions


def _values(model: StillhouseTaskModel, encoded: Encoded, device: torch.device) -> Predictions:
    predictions = np.zeros(len(encoded))
    for indices, made in _decided(model, encoded, device):
        predictions[indices] = made.logits[:, 0].float().cpu().numpy()
    return predictions


def _tags(model: StillhouseTaskModel, encoded: Encoded, device: torch.device) -> Predictions:
    predictions = [np.full(len(example.texts), NO_TAG, dtype=np.int64) for example in encoded.examples]
    for indices, made in _decided(model, encoded, device):
        tags, rows = made.logits.argmax(dim=-1).cpu().numpy(), made.rows.cpu().numpy()
        for row, index in enumerate(indices):
            words = encoded.places(index)
            predictions[encoded.rows.examples[index]][words[words >= 0]] = tags[rows == row]
    return predictions


def _answers(model: StillhouseTaskModel, encoded: Encoded, device: torch.device) -> Predictions:
    """The likeliest passage of all windows; none where that is likelier in each, if the data has such questions."""
    count = len(encoded.examples)
    may_lack = any(not example.label for example in encoded.examples)
    best, none = np.full(count, -np.inf), np.full(count, np.inf)
    answers = [""] * count
    for indices, made in _decided(model, encoded, device):
        starts_BL, ends_BL = made.logits[0::2].float(), made.logits[1::2].float()
        scores, firsts, lasts = (each.cpu().numpy() for each in _spans(starts_BL, ends_BL))
        lacking = (starts_BL[:, 0] + ends_BL[:, 0]).cpu().numpy()
        for row, index in enumerate(indices):
            example = int(encoded.rows.examples[index])
            none[example] = min(none[example], lacking[row])
            if scores[row] > best[example]:
                best[example] = scores[row]
                places = encoded.places(index)
                begin, end = places[firsts[row], 0], places[lasts[row], 1]
                answers[example] = encoded.examples[example].texts[1][begin:end] if begin >= 0 else ""
    return ["" if may_lack and none[at] > best[at] else answer for at, answer in enumerate(answers)]


def _spans(starts_BL: Tensor, ends_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The best sum of a start and an end that is not before it, nor far behind; and both. Not of the first token."""
    length = starts_BL.shape[1]
    best_B = starts_BL.new_full((len(starts_BL),), -torch.inf)
    first_B = torch.zeros(len(starts_BL), dtype=torch.int64, device=starts_BL.device)
    last_B = first_B.clone()
    for width in range(min(LONGEST_ANSWER, length - 1)):
        found_B, at_B = (starts_BL[:, 1 : length - width] + ends_BL[:, 1 + width :]).max(dim=1)
        better_B = found_B > best_B
        best_B = torch.where(better_B, found_B, best_B)
        first_B = torch.where(better_B, at_B + 1, first_B)
        last_B = torch.where(better_B, at_B + 1 + width, last_B)
    return best_B, first_B, last_B


def _guesses(model: StillhouseTaskModel, encoded: Encoded, device: torch.device) -> Predictions:
    count = len(encoded.examples)
    right, words, losses = np.zeros(count), np.zeros(count), np.zeros(count)
    for indices, made in _decided(model, encoded, device):
        examples = encoded.rows.examples[indices[made.rows.cpu().numpy()]]
        np.add.at(right, examples, (made.logits.argmax(dim=-1) == made.labels).cpu().numpy())
        np.add.at(words, examples, 1)
        lost = functional.cross_entropy(made.logits.float(), made.labels, reduction="none")
        np.add.at(losses, examples, lost.cpu().numpy().astype(np.float64))
    return Guesses(right, words, losses)


_PREDICTORS: Mapping[HeadKind, Callable[[StillhouseTaskModel, Encoded, torch.device], Predictions]] = {
    HeadKind.CLASSIFICATION: _classes,
    HeadKind.REGRESSION: _values,
    HeadKind.TOKEN_CLASSIFICATION: _tags,
    HeadKind.QUESTION_ANSWERING: _answers,
    HeadKind.MASKED_LM: _guesses,
}


def _decided(
    model: StillhouseTaskModel, encoded: Encoded, device: torch.device
) -> Iterator[tuple[Integers, Decisions]]:
    for indices, batch in encoded.by_length(BATCH_SIZE):
        yield indices, answer(model, batch.to(device), encoded.kind).decisions
