"""What students that are narrower than their teacher should start with, after the same few steps.

Four shapes (half as wide; that at half the depth; half the heads and a quarter of the neurons at half the depth; two
thirds as wide with half the neurons) are distilled by `best-practice` with each choice of units (leading, of the
largest weights, of the largest gradients) and each `rescaling` of what reads fewer of them, `auto` among them. Shown is
the metric on the selection split after the last step, its mean [least, greatest] over the seeds; beside it, of the two
ways to rescale, how well the student's first logits go with the teacher's (Pearson), which is what `auto` looks at.

    python benchmarks/narrower_students.py --processes 2 --data DIR --teacher CHECKPOINT

On `docstrings` with the built-in teacher, three seeds; with --data and --teacher also on a task of real sentences
(--real) with that checkpoint, one seed. A run that was stopped goes on where it was, in --folder. --quick tries the
script; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from cells.distillations import Cell, distilled, prepared, summary
from cells.ledger import Ledger, Row
from cells.numbers import mean_and_spread, paired, table
from cells.tasks import Setting, parsed_by, parser_of, settings_of

from distillation.batches import Encoded, TrainingBatches
from distillation.data import read_data
from distillation.distil import importance_of
from distillation.prepare import DATA, TEACHER
from distillation.presets import recipe as preset
from distillation.recipe import Recipe, Rescaling, Units
from distillation.start import TEXTS, Origin, begin, likeness
from distillation.teacher import read_teacher
from encoders.build import architecture_of, build, head_of
from search_space import Architecture

CPU = torch.device("cpu")
TRIED = (Rescaling.SUM, Rescaling.VARIANCE)
DOCSTRINGS_STEPS = 40
"""After 100 steps all of them are near the teacher."""


def shapes(teacher: Architecture) -> dict[str, Architecture]:
    layers, heads, neurons = teacher.layers // 2, teacher.heads_by_layer[0] // 2, teacher.ffn_sizes_by_layer[0]
    half = replace(teacher, hidden_size=teacher.hidden_size // 2, heads=heads, ffn_size=neurons // 2)
    return {
        "half as wide": half,
        "half as wide and deep": replace(half, layers=layers),
        "half the heads, a fourth of the neurons, half as deep": replace(
            teacher, layers=layers, heads=heads, ffn_size=neurons // 4
        ),
        "two thirds as wide, half the neurons": replace(
            teacher,
            hidden_size=2 * teacher.hidden_size // 3,
            heads=2 * teacher.heads_by_layer[0] // 3,
            ffn_size=neurons // 2,
        ),
    }


@dataclass
class Comparison:
    setting: Setting
    place: Path
    recipe: Recipe
    ledger: Ledger
    processes: int

    def run(self) -> None:
        found = shapes(architecture_of(read_teacher(self.place / TEACHER).config))
        cells = [
            self.cell(shape, units, rescaling, seed)
            for seed in self.setting.seeds
            for shape in found.values()
            for units in Units
            for rescaling in Rescaling
        ]
        self.ledger.complete(
            {cell.key: cell for cell in cells}, distilled, processes=self.processes, name=self.setting.name
        )
        teacher = summary(self.place)["teacher"]["selection"].value
        print(f"\n## {self.setting.name}\n\nTeacher {teacher:.3f}; {self.recipe.steps} steps of", end=" ")
        print(f"{self.recipe.batch_size}; {self.setting.metric} on the selection split.\n")
        header = ["student", "units", *(f"starts like, {each}" for each in TRIED), *Rescaling, "variance - sum"]
        print(table(header, self.lines(found)), flush=True)

    def lines(self, found: dict[str, Architecture]) -> Iterator[list[str]]:
        for name, shape in found.items():
            for units in Units:
                columns = {each: self.values(shape, units, each) for each in Rescaling}
                yield [
                    f"{name}: {shape.label}",
                    units,
                    *(f"{self.likeness(shape, units, each):+.2f}" for each in TRIED),
                    *(mean_and_spread(columns[each]) for each in Rescaling),
                    paired(columns[Rescaling.VARIANCE], columns[Rescaling.SUM]),
                ]

    def values(self, shape: Architecture, units: Units, rescaling: Rescaling) -> list[float]:
        rows = (self.ledger[self.cell(shape, units, rescaling, seed).key] for seed in self.setting.seeds)
        return [row["selection"]["value"] if "selection" in row else float("nan") for row in rows]

    def cell(self, shape: Architecture, units: Units, rescaling: Rescaling, seed: int) -> Cell:
        asked = replace(self.recipe, units=units, rescaling=rescaling)
        return Cell(folder=self.place, architecture=shape, recipe=asked, seed=seed, texts=self.setting.texts)

    def likeness(self, shape: Architecture, units: Units, rescaling: Rescaling) -> float:
        """Of the first seed."""
        seed = self.setting.seeds[0]
        row = self.ledger.once(
            f"likeness, {self.cell(shape, units, rescaling, seed).key}",
            lambda: measured(self.cell(shape, units, rescaling, seed)),
        )
        return float(row["likeness"])


def measured(cell: Cell) -> Row:
    data, teacher = read_data(cell.folder / DATA), read_teacher(cell.folder / TEACHER)
    kind, length = data.task.kind, cell.recipe.max_length
    selection = Encoded(data.selection, data.tokenizer, max_length=length, kind=kind)
    batches = TrainingBatches(
        data.train, data.tokenizer, batch_size=cell.recipe.batch_size, max_length=length, seed=cell.seed, kind=kind
    )
    student = build(cell.architecture, head_of(teacher.config), data.classes or None, seed=cell.seed)
    origin = Origin(model=teacher, importance=importance_of(teacher, cell.recipe.units, selection, CPU))
    begin(student, cell.recipe, origin=origin, previous=None, batches=batches, device=CPU)
    texts = [batches(step) for step in range(TEXTS // cell.recipe.batch_size)]
    return {"likeness": likeness(student, teacher, texts, kind)}


def main() -> None:
    options = parsed()
    settings = settings_of(options)
    ledger = Ledger(options.folder / "results.jsonl")
    for setting in settings:
        steps = DOCSTRINGS_STEPS if setting is settings[0] and not options.quick else setting.recipe.steps
        sizes = {"batch_size": setting.recipe.batch_size, "max_length": setting.recipe.max_length}
        place = prepared(options.folder, setting.task, setting.teacher, setting.recipe)
        recipe = preset("best-practice", steps=steps, **sizes)
        Comparison(setting, place, recipe, ledger, options.processes).run()


def parsed() -> argparse.Namespace:
    parser = parser_of("narrower_students", __doc__, real="stsb", real_seeds=[0])
    return parsed_by(parser)


if __name__ == "__main__":
    main()
