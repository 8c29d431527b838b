"""The training loop: one for teachers and students.

It runs on `accelerate`: alone on a CPU or a GPU, or as one of several equal processes (`accelerate launch`), of which
each takes its rows of every batch; the first one checkpoints and tells.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.utils import DistributedDataParallelKwargs  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.optim import Optimizer

from distillation.assistants.sandwich import Sandwich
from distillation.batches import Batch, TrainingBatches
from distillation.checkpoint import Progress, load_checkpoint, read_progress, save_checkpoint
from distillation.criterion import Criterion
from distillation.errors import DivergedError, Interrupted
from distillation.observer import Observer, Unobserved
from distillation.optimiser import build_optimiser, schedule
from distillation.plan import Phase
from distillation.recipe import Keep, Precision, Recipe
from distillation.values import CurvePoint, Estimate
from encoders.modeling_stillhouse import StillhouseTaskModel

EVALUATIONS = 4
"""Points of the learning curve, evenly spread; the last is the end."""

CHECKPOINT_EVERY_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What to train, on what, by which phases.

    Of `recipe` count the settings that all phases share. `name` identifies the training to its checkpoints.
    `evaluations` are the points of the learning curve; after `patience` of them without a better one, if that is not 0,
    the training ends with its best weights.
    """

    name: str
    model: StillhouseTaskModel
    phases: tuple[Phase, ...]
    batches: TrainingBatches
    evaluate: Callable[[], Estimate]
    recipe: Recipe
    seed: int
    device: torch.device
    lower_is_better: bool = False
    evaluations: int = EVALUATIONS
    patience: int = 0

    @property
    def steps(self) -> int:
        return self.phases[-1].last


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How a training went: the metric of the weights it kept, the learning curve, the time it took."""

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
        trained = _Loop(training, folder, observer, checkpoint_every_s).run(resume)
    training.model.train(False)
    return trained


def move(model: StillhouseTaskModel, device: torch.device) -> None:
    """Moves the model in place."""
    # transformers types its own `to` for no arguments of ours.
    nn.Module.to(model, device)


class _Lesson(nn.Module):
    """Model and criterion as one module, so that several processes share the gradients of both."""

    def __init__(self, model: StillhouseTaskModel, criterion: Criterion | Sandwich) -> None:
        super().__init__()
        self.model = model
        self.criterion = criterion

    def forward(self, batch: Batch, share: float, part: int | None) -> Tensor:
        parts = () if part is None else (part,)
        loss: Tensor = self.criterion(self.model, batch, share, *parts)
        return loss


class _Best(nn.Module):
    """The best weights so far, and how good they are (value, low, high, examples)."""

    def __init__(self, model: StillhouseTaskModel, lower_is_better: bool) -> None:
        super().__init__()
        self._sign = -1.0 if lower_is_better else 1.0
        self.model = copy.deepcopy(model)
        move(self.model, torch.device("cpu"))
        self.quality: Tensor
        self.register_buffer("quality", torch.full((4,), math.nan, dtype=torch.float64))

    def offer(self, quality: Estimate, model: StillhouseTaskModel) -> None:
        best = float(self.quality[0])
        if math.isnan(best) or self._sign * quality.value > self._sign * best:
            self.model.load_state_dict(model.state_dict())
            self.quality.copy_(torch.tensor([quality.value, quality.low, quality.high, quality.examples]))

    def restore(self, model: StillhouseTaskModel) -> Estimate:
        """Puts the best weights into the model."""
        model.load_state_dict(self.model.state_dict())
        value, low, high, examples = self.quality.tolist()
        return Estimate(value=value, low=low, high=high, examples=int(examples))


class _Loop:
    def __init__(self, training: Training, folder: Path | None, observer: Observer, checkpoint_every_s: float) -> None:
        self._training = training
        # Inputs differ in shape from step to step, and blocks that rest have no gradients.
        uneven = DistributedDataParallelKwargs(find_unused_parameters=True)
        self._accelerator = Accelerator(cpu=training.device.type == "cpu", kwargs_handlers=[uneven])
        self._is_first = self._accelerator.is_main_process
        self._folder = folder if self._is_first else None
        self._observer: Observer = observer if self._is_first else Unobserved()
        self._every_s = checkpoint_every_s
        self._curve: tuple[CurvePoint, ...] = ()
        keeps_best = training.recipe.keep is Keep.BEST or training.patience > 0
        self._best = _Best(training.model, training.lower_is_better) if keeps_best else None
        count = training.evaluations
        self._evaluation_steps = {-(-training.steps * number // count) for number in range(1, count + 1)}

    def run(self, resume: Path | None) -> Trained:
        progress = None if resume is None else read_progress(resume, training=self._training.name)
        first = 0 if progress is None else progress.step
        self._begin_s = time.monotonic() - (0.0 if progress is None else progress.seconds)
        self._curve = () if progress is None else progress.curve
        self._saved_s = time.monotonic()
        for phase in self._training.phases:
            if first < phase.last and not self._is_over():
                with phase.training(self._training.model):
                    self._phase(phase, max(first, phase.first), resume)
                resume = None
        seconds = time.monotonic() - self._begin_s
        quality = None if self._is_over() else self._evaluate(self._training.steps)
        if self._best is not None:
            quality = self._best.restore(self._training.model)
        if quality is None:
            raise AssertionError("only a training that keeps its best weights ends early")
        return Trained(selection=quality, curve=self._curve, seconds=seconds)

    def _phase(self, phase: Phase, first: int, resume: Path | None) -> None:
        training = self._training
        phase.criterion.to(training.device)
        optimiser = build_optimiser(
            training.model, phase.criterion, phase.rates, weight_decay=training.recipe.weight_decay
        )
        modules: dict[str, nn.Module] = {"model": training.model, "criterion": phase.criterion}
        if self._best is not None:
            modules["best"] = self._best
        if resume is not None:
            load_checkpoint(resume, modules, optimiser)
        lesson = self._accelerator.prepare_model(_Lesson(training.model, phase.criterion), device_placement=False)
        for step in range(first, phase.last):
            if self._shall_stop():
                self._checkpoint(step, modules, optimiser)
                raise Interrupted(f"stopped after {step} of {training.steps} steps")
            loss = self._step(step, phase, lesson, optimiser)
            done = step + 1
            self._observer.step(done, training.steps, loss)
            if done in self._evaluation_steps and done < training.steps:
                self._evaluate(done)
                if self._is_over():
                    return
            # Not at a phase's end: what goes on from there is the next phase's state.
            if time.monotonic() - self._saved_s >= self._every_s and done < phase.last:
                self._checkpoint(done, modules, optimiser)
                self._saved_s = time.monotonic()

    def _step(self, step: int, phase: Phase, lesson: nn.Module, optimiser: Optimizer) -> float:
        training = self._training
        training.model.train(True)
        done = step - phase.first
        rate = schedule(done, phase.steps, phase.warmup)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["peak"]
        batch = self._own_rows(training.batches(step)).to(training.device)
        in_bfloat16 = training.recipe.precision is Precision.BFLOAT16
        optimiser.zero_grad()
        losses = []
        for part in (None,) if phase.parts is None else phase.parts(step):
            with torch.autocast(training.device.type, dtype=torch.bfloat16, enabled=in_bfloat16):
                loss = lesson(batch, done / phase.steps, part)
            self._accelerator.backward(loss)
            losses.append(loss.detach())
        weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        norm = float(nn.utils.clip_grad_norm_(weights, training.recipe.gradient_clip))
        value = float(torch.stack(losses).sum())
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise DivergedError(
                f"diverged in step {step + 1} of {training.steps}: loss {value}, gradient norm {norm};"
                " lower distillation.learning_rate or the weights of the criterion"
            )
        optimiser.step()
        return value

    def _own_rows(self, batch: Batch) -> Batch:
        """This process's rows of the batch, at least one."""
        if self._accelerator.num_processes == 1:
            return batch
        count, own = len(batch.labels), self._accelerator.process_index
        return batch.rows(torch.arange(own % count, count, self._accelerator.num_processes))

    def _shall_stop(self) -> bool:
        """The first process asks; all do the same."""
        stops = self._observer.should_stop()
        if self._accelerator.num_processes == 1:
            return stops
        asked = torch.tensor(float(stops), device=self._training.device)
        return bool(self._accelerator.reduce(asked, reduction="sum"))

    def _is_over(self) -> bool:
        """Whether as many evaluations as there is patience for were no better than one before them."""
        sign = -1.0 if self._training.lower_is_better else 1.0
        values = [sign * point.value for point in self._curve]
        stale = len(values) - 1 - values.index(max(values)) if values else 0
        return 0 < self._training.patience <= stale

    def _evaluate(self, done: int) -> Estimate:
        quality = self._training.evaluate()
        self._curve = (*self._curve, CurvePoint(step=done, value=quality.value))
        self._observer.evaluated(done, quality.value)
        if self._best is not None:
            self._best.offer(quality, self._training.model)
        return quality

    def _checkpoint(self, step: int, modules: Mapping[str, nn.Module], optimiser: Optimizer) -> None:
        if self._folder is None:
            return
        seconds = time.monotonic() - self._begin_s
        progress = Progress(training=self._training.name, step=step, seconds=seconds, curve=self._curve)
        self._observer.checkpointed(save_checkpoint(self._folder, modules, optimiser, progress))
