"""The training loop: one for teachers and students."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from distillation.batches import TrainingBatches
from distillation.checkpoint import Progress, load_checkpoint, save_checkpoint
from distillation.criterion import LabelCriterion, TeacherCriterion
from distillation.errors import DivergedError, Interrupted
from distillation.observer import Observer
from distillation.optimiser import build_optimiser, schedule
from distillation.values import CurvePoint, Estimate, Recipe
from encoders.modeling_stillhouse import StillhouseTaskModel

EVALUATIONS = 4
"""Points of the learning curve, evenly spread; the last is the end."""

CHECKPOINT_EVERY_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What to train, on what, by which recipe.

    The model ends with the weights of the last step: the learning rate has fallen to zero by then, and choosing the
    best of several evaluations would make the selection metric look better than it is. `name` identifies the training
    to its checkpoints.
    """

    name: str
    model: StillhouseTaskModel
    criterion: LabelCriterion | TeacherCriterion
    batches: TrainingBatches
    evaluate: Callable[[], Estimate]
    recipe: Recipe
    steps: int
    seed: int
    device: torch.device


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How a training went: the final metric on the selection split, the learning curve up to it, the time it took."""

    selection: Estimate
    curve: tuple[CurvePoint, ...]
    seconds: float


def train(
    training: Training,
    *,
    folder: Path | None,
    resume: Path | None,
    observer: Observer,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> Trained:
    """Trains the model in place, from the checkpoint `resume` where one is given.

    Checkpoints are written to `folder`; without one a stopped training begins anew. torch's global random state is
    left as it was.

    Raises:
        Interrupted: the observer asked for it; a checkpoint has been written first.
        DivergedError: the loss or its gradient is no longer finite.
        CheckpointError: `resume` is not of this training.
        SaveError: a checkpoint could not be written.
    """
    devices = [training.device.index or 0] if training.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(training.seed)
        move(training.model, training.device)
        training.criterion.to(training.device)
        optimiser = build_optimiser(training.model, training.criterion, training.recipe)
        loop = _Loop(training, optimiser, folder, observer, checkpoint_every_s)
        trained = loop.run(resume)
    training.model.train(False)
    return trained


def move(model: StillhouseTaskModel, device: torch.device) -> None:
    """Moves the model in place."""
    # transformers types its own `to` for no arguments of ours.
    nn.Module.to(model, device)


class _Loop:
    def __init__(
        self,
        training: Training,
        optimiser: Optimizer,
        folder: Path | None,
        observer: Observer,
        checkpoint_every_s: float,
    ) -> None:
        self._training = training
        self._optimiser = optimiser
        self._folder = folder
        self._observer = observer
        self._every_s = checkpoint_every_s
        self._modules: dict[str, nn.Module] = {"model": training.model, "criterion": training.criterion}
        self._parameters = [weight for group in optimiser.param_groups for weight in group["params"]]
        self._curve: tuple[CurvePoint, ...] = ()
        steps = training.steps
        self._evaluation_steps = {-(-steps * number // EVALUATIONS) for number in range(1, EVALUATIONS + 1)}

    def run(self, resume: Path | None) -> Trained:
        first, before_s = 0, 0.0
        if resume is not None:
            progress = load_checkpoint(resume, self._modules, self._optimiser, training=self._training.name)
            first, before_s, self._curve = progress.step, progress.seconds, progress.curve
        begin_s = saved_s = time.monotonic()
        for step in range(first, self._training.steps):
            if self._observer.should_stop():
                self._checkpoint(step, before_s + time.monotonic() - begin_s)
                raise Interrupted(f"stopped after {step} of {self._training.steps} steps")
            loss = self._step(step)
            done = step + 1
            self._observer.step(done, self._training.steps, loss)
            if done in self._evaluation_steps and done < self._training.steps:
                self._evaluate(done)
            if time.monotonic() - saved_s >= self._every_s and done < self._training.steps:
                self._checkpoint(done, before_s + time.monotonic() - begin_s)
                saved_s = time.monotonic()
        seconds = before_s + time.monotonic() - begin_s
        return Trained(selection=self._evaluate(self._training.steps), curve=self._curve, seconds=seconds)

    def _step(self, step: int) -> float:
        training = self._training
        training.model.train(True)
        share = schedule(step, training.steps, training.recipe.warmup)
        for group in self._optimiser.param_groups:
            group["lr"] = share * group["peak"]
        loss = training.criterion(training.model, training.batches(step).to(training.device))
        self._optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, training.recipe.gradient_clip)
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            raise DivergedError(
                f"diverged in step {step + 1} of {training.steps}: loss {value}, gradient norm {float(norm)};"
                " lower distillation.learning_rate or the weights of the criterion"
            )
        self._optimiser.step()
        return value

    def _evaluate(self, done: int) -> Estimate:
        quality = self._training.evaluate()
        self._curve = (*self._curve, CurvePoint(step=done, value=quality.value))
        self._observer.evaluated(done, quality.value)
        return quality

    def _checkpoint(self, step: int, seconds: float) -> None:
        if self._folder is None:
            return
        progress = Progress(training=self._training.name, step=step, seconds=seconds, curve=self._curve)
        self._observer.checkpointed(save_checkpoint(self._folder, self._modules, self._optimiser, progress))
