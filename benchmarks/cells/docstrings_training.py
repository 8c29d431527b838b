"""Distils every architecture of `cells.docstrings_space`, about 250 short distillations."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from cells.distillations import Cell, distilled, prepared, summary
from cells.docstrings_space import TABLE, space_for
from cells.ledger import Ledger

from distillation.prepare import TEACHER
from distillation.recipe import Recipe, flash_floor, flash_steps
from distillation.teacher import read_teacher
from distillation.values import BUILT_IN, DOCSTRINGS, Dataset, Task, Teacher
from encoders.build import architecture_of

SHARE = 0.05
"""Of the recipe's steps, as in a study file that says nothing else."""

SEEDS = (0, 1)


def train(folder: Path, *, processes: int) -> None:
    """Distils what is not there yet, and writes the table. Data, teacher and each result are kept in the folder."""
    if TABLE.is_file():
        return
    task = Task(dataset=Dataset(source=DOCSTRINGS))
    full = Recipe(max_length=32)
    recipe = replace(full, steps=flash_steps(full, SHARE, flash_floor(task.kind)))
    place = prepared(folder, task, Teacher(model=BUILT_IN), recipe)
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
    found = {
        "source": f"benchmarks/cells/docstrings_training.py: every architecture distilled from the built-in teacher in "
        f"{recipe.steps} steps, seeds {SEEDS}; accuracy on the selection split",
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "vocabulary": teacher.vocabulary_size,
        "positions": teacher.max_positions,
        "teacher": summary(place)["teacher"]["selection"].value,
        "architectures": [space.architecture(row).label for row in range(space.size)],
        "accuracies": [[ledger[cell.key]["selection"]["value"] for cell in row] for row in cells],
        "seconds": round(statistics.median(ledger[cell.key]["seconds"] for row in cells for cell in row), 2),
    }
    TABLE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
