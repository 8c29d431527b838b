"""What a student's weights are before its first step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from distillation.batches import Batch, TrainingBatches
from distillation.decisions import IMPOSSIBLE, answer
from distillation.recipe import FROM_TEACHER, Recipe, Rescaling
from distillation.trainer import move
from encoders import initialisation
from encoders.importance import Importance
from encoders.initialisation import LayerChoice, initialise_from_student, initialise_from_teacher
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import HeadKind

TEXTS = 256
"""Train texts on which starts are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The model that a student starts as a part of, and how important its units are; None for the leading ones."""

    model: StillhouseTaskModel
    importance: Importance | None = None


def begin(
    student: StillhouseTaskModel,
    recipe: Recipe,
    *,
    origin: Origin | None,
    previous: StillhouseTaskModel | None,
    batches: TrainingBatches,
    device: torch.device,
) -> tuple[int, ...]:
    """Sets the weights of the student, which is on `device`, as the recipe says; the origin's model is moved there.

    With `rescaling: auto` both ways are tried, and the one remains whose decisions about the first train texts go
    better with those of the origin.

    Returns:
        The teacher's hidden unit behind each of the student's, where it starts from the teacher; else none.
    """
    if previous is not None:
        initialise_from_student(student, previous)
    if recipe.initialisation not in FROM_TEACHER or origin is None:
        return ()
    layers = LayerChoice(recipe.initialisation.value)

    def start(rescaling: initialisation.Rescaling) -> tuple[int, ...]:
        made = initialise_from_teacher(
            student, origin.model, layers=layers, importance=origin.importance, rescaling=rescaling
        )
        return made.hidden_units

    if recipe.rescaling is not Rescaling.AUTO:
        return start(initialisation.Rescaling(recipe.rescaling.value))
    move(origin.model, device)
    texts = [batches(step).to(device) for step in range(math.ceil(TEXTS / recipe.batch_size))]
    found: dict[initialisation.Rescaling, float] = {}
    for rescaling in initialisation.Rescaling:
        start(rescaling)
        found[rescaling] = likeness(student, origin.model, texts, batches.encoded.kind)
    return start(max(found, key=lambda rescaling: found[rescaling]))


def likeness(one: StillhouseTaskModel, other: StillhouseTaskModel, texts: Sequence[Batch], kind: HeadKind) -> float:
    """Pearson's correlation of the logits of both; -1 where it is not defined. Both are left in evaluation mode."""
    one.train(False)
    other.train(False)
    sums = torch.zeros(6, dtype=torch.float64)
    with torch.inference_mode():
        for batch in texts:
            x, y = (answer(model, batch, kind).decisions.logits.flatten().double() for model in (one, other))
            possible = y > IMPOSSIBLE / 2
            x, y = x[possible], y[possible]
            sums += torch.stack([torch.ones_like(x), x, y, x * x, y * y, x * y]).sum(dim=1).cpu()
    count, x, y, xx, yy, xy = sums.tolist()
    variances = (count * xx - x * x) * (count * yy - y * y)
    correlation = (count * xy - x * y) / math.sqrt(variances) if variances > 0 else -1.0
    return correlation if math.isfinite(correlation) else -1.0
