"""Whether a short distillation ranks architectures as the full one does.

Architectures of a space, half of them within 20 % of one size, are distilled in full, with two seeds, and at shares of
the full steps, with several floors. Prints the rank correlations between flash and full accuracy on the selection
split, over all and within the group of one size, beside those of the number of parameters, and of one full
distillation with the other, which no flash can be expected to exceed. The task is `docstrings`, the teacher the
built-in one. A run that was stopped goes on where it was.

    python benchmarks/flash_ranking.py --processes 2
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from cells.distillations import Cell, distilled, prepared, summary
from cells.ledger import Ledger
from cells.numbers import table
from scipy.stats import kendalltau, spearmanr

from distillation.prepare import TEACHER
from distillation.recipe import Recipe, flash_steps
from distillation.teacher import read_teacher
from distillation.values import BUILT_IN, DOCSTRINGS, Dataset, Task, Teacher
from encoders.build import architecture_of
from search_space import Architecture, Choice, IntegerRange, SearchSpace, parameter_count

SHARES = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4)
FLOORS = (0, 50, 100, 200)
WANTED = 0.6
"""Kendall's correlation that a share must reach."""
NEAR = 0.2
FULL_SEEDS, FLASH_SEED = (0, 1), 2
"""Not the same: batches in the same order would make flash and full alike by chance."""
DIMENSIONS = {
    "layers": IntegerRange(low=1, high=4),
    "hidden_size": Choice(values=(32, 48, 64, 96, 128)),
    "heads": Choice(values=(1, 2, 3, 6)),
    "head_size": Choice(values=(32,)),
    "ffn_size": Choice(values=(32, 128, 256, 512)),
    "embedding_size": Choice(values=(32, 64)),
}
"""Words are narrow: else their table would be most of every size."""


def main() -> None:
    options = parsed()
    recipe = Recipe(steps=options.steps, max_length=32)
    place = prepared(options.folder, Task(dataset=Dataset(source=DOCSTRINGS)), Teacher(model=BUILT_IN), recipe)
    teacher = architecture_of(read_teacher(place / TEACHER).config)
    found, alike = chosen(teacher, options.architectures)
    steps = sorted({flash_steps(recipe, share, floor) for share in SHARES for floor in FLOORS} - {recipe.steps})

    def cell(architecture: Architecture, count: int, seed: int) -> Cell:
        # Shorter is a recipe of its own here: its rates fall to zero within its own steps, as in a flash distillation.
        asked = replace(recipe, steps=count)
        return Cell(folder=place, architecture=architecture, recipe=asked, seed=seed, texts=options.texts)

    wanted = [cell(each, recipe.steps, seed) for seed in FULL_SEEDS for each in found]
    wanted += [cell(each, count, FLASH_SEED) for each in found for count in steps]
    ledger = Ledger(options.folder / "results.jsonl")
    ledger.complete({each.key: each for each in wanted}, distilled, processes=options.processes, name="distillations")

    def accuracies(count: int, seed: int = FLASH_SEED) -> list[float]:
        return [ledger[cell(each, count, seed).key]["selection"]["value"] for each in found]

    def seconds(count: int, seed: int = FLASH_SEED) -> str:
        return f"{statistics.fmean(ledger[cell(each, count, seed).key]['seconds'] for each in found):.1f}"

    by_seed = [accuracies(recipe.steps, seed) for seed in FULL_SEEDS]
    full = [statistics.fmean(values) for values in zip(*by_seed, strict=True)]
    print(f"\nteacher {teacher.label}: {summary(place)['teacher']['selection'].value:.3f}; full: {recipe.steps} steps")
    print(f"{len(found)} architectures, {len(alike)} of them within {NEAR:.0%} of one size\n")
    header = ["architecture", "parameters", "of one size", *(f"{count} steps" for count in steps), "full, by seed"]
    columns = [accuracies(count) for count in steps]
    rows = [
        [
            f"{each.label} e{each.embedding_size or each.hidden_size}",
            f"{parameter_count(each):,}",
            "yes" if index in alike else "",
            *(f"{column[index]:.3f}" for column in columns),
            ", ".join(f"{values[index]:.3f}" for values in by_seed),
        ]
        for index, each in enumerate(found)
    ]
    print(table(header, rows))

    def correlations(values: Sequence[float], to: Sequence[float]) -> list[str]:
        within = [values[index] for index in alike], [to[index] for index in alike]
        return [f"{rank(one, other):+.2f}" for one, other in ((values, to), within) for rank in (spearman, kendall)]

    lines = [
        ["number of parameters", "0", "", *correlations([parameter_count(each) for each in found], full)],
        *(
            [f"flash, {count} steps", f"{count / recipe.steps:.1%}", seconds(count), *correlations(column, full)]
            for count, column in zip(steps, columns, strict=True)
        ),
        ["one full seed with the other", "100%", seconds(recipe.steps, FULL_SEEDS[0]), *correlations(*by_seed)],
    ]
    header = ["ranked by", "share", "s", "Spearman", "Kendall", "Spearman, one size", "Kendall, one size"]
    print(f"\n{table(header, lines)}\n")

    def flash(share: float, floor: int) -> str:
        count = flash_steps(recipe, share, floor)
        return f"{kendall(accuracies(count), full):+.2f} ({count})" if count in steps else "full"

    rows = [[f"{share:.1%}", *(flash(share, floor) for floor in FLOORS)] for share in SHARES]
    print(table(["Kendall (steps)", *(f"floor of {floor}" for floor in FLOORS)], rows))
    enough = [count for count, column in zip(steps, columns, strict=True) if kendall(column, full) >= WANTED]
    smallest = f"{enough[0]} steps, {enough[0] / recipe.steps:.1%}" if enough else "none that was tried"
    print(f"\nsmallest flash with Kendall >= {WANTED}: {smallest}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks/flash_ranking"), help="keeps all")
    parser.add_argument("--architectures", type=int, default=16, help="at least 12 tell something")
    parser.add_argument("--steps", type=int, default=600, help="of a full distillation")
    parser.add_argument("--texts", type=int, default=0, help="of the train split; 0 for all")
    parser.add_argument("--processes", type=int, default=1, help="of one thread each")
    return parser.parse_args()


def chosen(teacher: Architecture, count: int) -> tuple[list[Architecture], list[int]]:
    """Half of them anywhere in the space, half within `NEAR` of its median size; and which ones are that near."""
    space = SearchSpace(
        dimensions=DIMENSIONS, vocabulary_size=teacher.vocabulary_size, max_positions=teacher.max_positions
    )
    generator = np.random.default_rng(0)
    middle = float(np.median([parameter_count(each) for each in space.sample(500, generator)]))
    low, high = middle * (1 - NEAR), middle * (1 + NEAR)
    near = space.constrained(f"parameters >= {low:.0f}", f"parameters <= {high:.0f}")
    found = dict.fromkeys([*space.sample(count - count // 2, generator), *near.sample(count, generator)])
    ordered = sorted(list(found)[:count], key=parameter_count)
    return ordered, [index for index, each in enumerate(ordered) if low <= parameter_count(each) <= high]


def spearman(values: Sequence[float], to: Sequence[float]) -> float:
    return float(spearmanr(values, to).statistic)


def kendall(values: Sequence[float], to: Sequence[float]) -> float:
    return float(kendalltau(values, to).statistic)


if __name__ == "__main__":
    main()
