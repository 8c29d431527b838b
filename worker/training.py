"""One distillation as part of a job: inputs fetched, resumed where there is something to resume from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch

from distillation.assistants.candidates import has_room
from distillation.assistants.chain import distil_by_schedule
from distillation.cache import Cache
from distillation.data import PreparedData, read_data
from distillation.distil import Distilled, distil
from distillation.errors import CheckpointError
from distillation.errors import Interrupted as TrainingInterrupted
from distillation.teacher import read_teacher
from distillation.values import CurvePoint, Estimate
from encoders.modeling_stillhouse import StillhouseTaskModel
from protocol import jobs
from worker.errors import Interrupted
from worker.observation import Observation
from worker.runner import Reporter
from worker.turns import computing_in_turns
from worker.workplace import Workplace

log = logging.getLogger(__name__)


def resumed_checkpoint(workplace: Workplace, work: jobs.DistillWork | jobs.FinalizeWork, folder: Path) -> Path | None:
    """The checkpoint of an earlier attempt at this work, fetched into the folder."""
    if work.checkpoint is None:
        return None
    workplace.artefacts.download_folder(work.checkpoint, folder / "resumed")
    return folder / "resumed"


def train_student(
    workplace: Workplace,
    work: jobs.DistillWork | jobs.FinalizeWork,
    reporter: Reporter,
    *,
    folder: Path,
    checkpoint: Path | None,
) -> Distilled:
    """The student that the work asks for, from the checkpoint if there is one.

    Raises:
        Interrupted: asked to stop; a checkpoint was handed to the reporter.
    """
    torch.set_num_threads(workplace.threads)
    reporter.progress("fetching data and teacher")
    data = prepared_data(workplace.artefacts.shared_folder(work.data))
    teacher = teacher_model(workplace.artefacts.shared_folder(work.teacher))

    def attempt(resume: Path | None) -> Distilled:
        with computing_in_turns() as turns:
            # Trials are told apart by the teacher alone; the schedule is the finalists', where they leave it room.
            is_last = isinstance(work, jobs.FinalizeWork)
            by_schedule = is_last and has_room(teacher, work.architecture, work.recipe)
            return (distil_by_schedule if by_schedule else distil)(
                data,
                teacher,
                work.architecture,
                work.recipe,
                steps=work.steps,
                seed=work.seed,
                folder=folder / "checkpoints",
                resume=resume,
                observer=Observation(reporter, turns),
                cache=Cache(folder=workplace.teachers_outputs, budget_bytes=workplace.cache_bytes),
            )

    try:
        try:
            return attempt(checkpoint)
        except CheckpointError as error:
            if checkpoint is None:
                raise
            log.warning("the checkpoint is of no use, training begins anew: %s", error)
            return attempt(None)
    except TrainingInterrupted as error:
        raise Interrupted(str(error)) from error


# Trials of one study share data and teacher, and a worker has one job at a time: neither is read anew for each.


@lru_cache(maxsize=1)
def prepared_data(folder: Path) -> PreparedData:
    """What is in a folder of prepared data; the one that was read last is kept."""
    return read_data(folder)


@lru_cache(maxsize=1)
def teacher_model(folder: Path) -> StillhouseTaskModel:
    """The teacher in this folder; the one that was read last is kept."""
    return read_teacher(folder)


def score_of(estimate: Estimate) -> jobs.Score:
    return jobs.Score(value=estimate.value, low=estimate.low, high=estimate.high)


def curve_of(points: Sequence[CurvePoint]) -> tuple[jobs.CurvePoint, ...]:
    return tuple(jobs.CurvePoint(step=point.step, value=point.value) for point in points)
