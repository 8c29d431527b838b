"""One distillation by a schedule as a piece of work, and what it costs in passes of encoders."""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from cells.ledger import Row

from distillation.assistants.candidates import importance_by_labels, slice_at, whole_of
from distillation.assistants.chain import distil_by_schedule
from distillation.assistants.slices import extract, supernet_of
from distillation.assistants.stage import Settings, train_slices
from distillation.assistants.tradeoff import Assistance
from distillation.batches import Encoded
from distillation.checkpoint import checkpoints_in
from distillation.data import PreparedData, read_data, read_report
from distillation.errors import DivergedError
from distillation.evaluation import predict
from distillation.metrics import estimate, score
from distillation.observer import Unobserved
from distillation.prepare import DATA, TEACHER
from distillation.recipe import Recipe, Units
from distillation.schedule import DIRECT, ScheduleKind
from distillation.splits import Example, TrainSplit
from distillation.teacher import read_teacher
from distillation.trainer import CHECKPOINT_EVERY_S
from distillation.values import Metric
from encoders.importance import Importance
from encoders.modeling_stillhouse import StillhouseTaskModel
from search_space import Architecture, block_cost

CPU = torch.device("cpu")
RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A slice of the teacher that lacks `sparsity` of its units, distilled by the recipe's schedule from `texts` train
    texts (0: all of them).

    Without a schedule the teacher alone teaches: a slice as it is cut, or, where the recipe takes units by importance,
    one whose weights make up for what is cut.
    """

    folder: Path
    recipe: Recipe
    sparsity: float
    seed: int
    texts: int = 0

    @property
    def key(self) -> str:
        # The folder is named by all that data and teacher depend on; where it lies is no part of it.
        values = json.dumps(asdict(self) | {"folder": self.folder.name}, sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()[:16]


def scheduled(cell: Scheduled) -> Row:
    """Quality on both splits, what it predicts of the report split, cost and the assistants; one that diverged has
    none of it. A cell that was stopped goes on at its stage and step; its processor seconds are then not known.
    """
    data, teacher = opened(cell.folder)
    if cell.texts:
        data = replace(data, train=TrainSplit(data.train.examples[: cell.texts]))
    importance = _importance(cell.folder, cell.recipe)
    target = slice_at(whole_of(teacher), importance, cell.recipe, cell.sparsity)
    scratch = cell.folder.with_suffix(".running") / cell.key
    is_whole, begin_s = not scratch.exists(), time.process_time()
    try:
        model, row = _student(cell, data, teacher, importance, target, scratch)
    except DivergedError as error:
        return {"diverged": str(error)}
    row["processor_s"] = time.process_time() - begin_s if is_whole else None
    held_out = read_report(cell.folder / DATA)
    texts = Encoded(held_out.report, held_out.tokenizer, max_length=cell.recipe.max_length, kind=data.task.kind)
    predictions = predict(model, texts, CPU)
    found = estimate(data.task.metric, held_out.report.examples, predictions, held_out.classes)
    shutil.rmtree(scratch, ignore_errors=True)
    return row | {
        "architecture": target.label,
        "parameters": block_cost(target).parameters,
        "report": asdict(found),
        "predictions": np.asarray(predictions).tolist(),
    }


def difference(
    metric: Metric, examples: Sequence[Example], classes: Sequence[str], one: Sequence[float], other: Sequence[float]
) -> str:
    """`+0.012 (+0.004 to +0.020)`: of two students' predictions of the same texts, with its 95 % interval over these
    texts, by the bootstrap.
    """
    random = np.random.default_rng(0)
    mine, theirs = np.asarray(one), np.asarray(other)

    def between(chosen: Sequence[int]) -> float:
        texts = [examples[index] for index in chosen]
        return score(metric, texts, mine[chosen], classes) - score(metric, texts, theirs[chosen], classes)

    everything = list(range(len(examples)))
    drawn = [between(random.choice(everything, len(everything)).tolist()) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{between(everything):+.3f} ({low:+.3f} to {high:+.3f})"


def stage_flops(teacher: Architecture, slices: Sequence[Architecture], between: int | None, length: int) -> float:
    """Of one text in one step, the encoders' blocks alone: one pass of the teacher, three of each slice that learns
    (forward, and twice as much backward); the expectation where slices are drawn.

    Importance, evaluations, embeddings and heads are not counted, on any side.
    """
    passes = [_flops(shape, length) for shape in slices]
    inner = passes[1:-1]
    learning = sum(passes)
    if between is not None and between < len(inner):
        learning = passes[0] + passes[-1] + between * statistics.fmean(inner)
    return _flops(teacher, length) + 3 * learning


def flops(assistance: Assistance, whole: Architecture, target: Architecture, recipe: Recipe) -> float:
    """Of one text in one step of every stage; see `stage_flops`."""
    between, length = recipe.schedule.between, recipe.max_length
    teacher, total = whole, 0.0
    for each in assistance.rounds:
        shapes = [point.architecture for point in each.points]
        total += stage_flops(teacher, shapes, between, length)
        if recipe.schedule.kind is ScheduleKind.MAXIDISC:
            total += stage_flops(shapes[0], [target], None, length)
        elif each.chosen is not None:
            teacher = shapes[each.chosen]
    if assistance.together:
        total += stage_flops(teacher, assistance.together, between, length)
    return total


@lru_cache(maxsize=1)
def opened(folder: Path) -> tuple[PreparedData, StillhouseTaskModel]:
    return read_data(folder / DATA), read_teacher(folder / TEACHER)


@lru_cache(maxsize=1)
def _importance(folder: Path, recipe: Recipe) -> Importance:
    data, teacher = opened(folder)
    return importance_by_labels(data, teacher, recipe, "cpu")


def _student(
    cell: Scheduled,
    data: PreparedData,
    teacher: StillhouseTaskModel,
    importance: Importance,
    target: Architecture,
    scratch: Path,
) -> tuple[StillhouseTaskModel, Row]:
    recipe, whole = cell.recipe, whole_of(teacher)
    if recipe.schedule == DIRECT and recipe.units is not Units.IMPORTANCE:
        settings = Settings(
            data=data, recipe=recipe, steps=recipe.steps, seed=cell.seed, device=CPU, observer=Unobserved()
        )
        student = extract(supernet_of(teacher, whole, importance), target)
        learned = train_slices(
            settings, student, [target], teacher, merit=lambda found: found[0], folder=scratch, resume=None
        )
        cost = stage_flops(whole, [target], None, recipe.max_length)
        return student, {"selection": asdict(learned.best[0]), "seconds": learned.seconds, "flops": cost}
    made = distil_by_schedule(
        data,
        teacher,
        target,
        recipe,
        steps=recipe.steps,
        seed=cell.seed,
        folder=scratch,
        resume=next(iter(checkpoints_in(scratch)), None),
        checkpoint_every_s=CHECKPOINT_EVERY_S,
    )
    row: Row = {"selection": asdict(made.selection), "seconds": made.seconds}
    if made.assistance is None:
        return made.model, row | {"flops": stage_flops(whole, [target], None, recipe.max_length)}
    cost = flops(made.assistance, whole, target, recipe)
    return made.model, row | {"flops": cost, "assistance": asdict(made.assistance)}


def _flops(shape: Architecture, length: int) -> int:
    return block_cost(shape, length=length).flops
