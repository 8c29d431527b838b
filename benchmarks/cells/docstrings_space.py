"""A small space of which every architecture is distilled at flash fidelity on `docstrings`, with two seeds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cells.distillations import Cell, distilled, prepared
from cells.ledger import Ledger

from distillation.prepare import TEACHER
from distillation.recipe import Recipe
from distillation.teacher import read_teacher
from distillation.values import BUILT_IN, DOCSTRINGS, Dataset, Task, Teacher
from encoders.build import architecture_of
from search_space import Choice, IntegerRange, SearchSpace

STEPS = 100
SEEDS = (0, 1)
RESULT = "accuracies.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """Accuracies of each row of the space on the selection split, a list for each seed."""

    space: SearchSpace
    accuracies: list[list[float]]


def space_for(vocabulary_size: int, max_positions: int) -> SearchSpace:
    return SearchSpace(
        dimensions={
            "layers": IntegerRange(low=1, high=4),
            "hidden_size": Choice(values=(32, 64, 96, 128)),
            "heads": Choice(values=(1, 4)),
            "head_size": Choice(values=(32,)),
            "ffn_size": Choice(values=(32, 128, 256, 512)),
        },
        vocabulary_size=vocabulary_size,
        max_positions=max_positions,
    )


def train(folder: Path, *, processes: int) -> None:
    """Distils what is not there yet."""
    if (folder / RESULT).is_file():
        return
    recipe = Recipe(steps=STEPS, max_length=32)
    place = prepared(folder, Task(dataset=Dataset(source=DOCSTRINGS)), Teacher(model=BUILT_IN), recipe)
    teacher = architecture_of(read_teacher(place / TEACHER).config)
    space = space_for(teacher.vocabulary_size, teacher.max_positions)
    cells = [
        [
            Cell(folder=place, architecture=space.architecture(row), recipe=recipe, seed=seed)
            for row in range(space.size)
        ]
        for seed in SEEDS
    ]
    ledger = Ledger(folder / "results.jsonl")
    ledger.complete({cell.key: cell for row in cells for cell in row}, distilled, processes=processes, name="flashes")
    accuracies = [[ledger[cell.key]["selection"]["value"] for cell in row] for row in cells]
    found = {"vocabulary": teacher.vocabulary_size, "positions": teacher.max_positions, "accuracies": accuracies}
    (folder / RESULT).write_text(json.dumps(found), encoding="utf-8")


def read(folder: Path) -> Distilled:
    found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    return Distilled(space=space_for(found["vocabulary"], found["positions"]), accuracies=found["accuracies"])
