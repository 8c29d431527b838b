"""How good students of the docstrings teacher become, in how many steps.

Prints the teacher beside the baselines, then for every shape and number of steps the accuracy on the selection split
and its distance to the teacher's. With --report also the accuracy on the report split.

    python benchmarks/docstrings_students.py --students 1x96,2x192 --steps 120,500
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch

from distillation.data import read_data, read_report
from distillation.distil import distil, report
from distillation.observer import Unobserved
from distillation.prepare import DATA, TEACHER, fingerprint, prepare
from distillation.presets import PRESETS, recipe
from distillation.recipe import Recipe
from distillation.teacher import read_teacher
from distillation.values import BUILT_IN, DOCSTRINGS, Dataset, Estimate, Task, Teacher
from encoders.build import architecture_of
from search_space import Architecture, parameter_count

SUMMARY = "summary.json"
TASK = Task(dataset=Dataset(source=DOCSTRINGS))


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    recipe = recipe_of(options)
    folder = prepared(options, recipe)
    data, teacher = read_data(folder / DATA), read_teacher(folder / TEACHER)
    teacher_accuracy = scores_of(folder)["teacher"]["selection"].value
    print(f"\nrecipe: {recipe}\n")
    print(
        f"{'student':20} {'parameters':>10} {'steps':>5} {'selection':25} {'- teacher':>11}  {'curve':23}"
        + ("  report" if options.report else "")
    )
    for architecture in students(options.students, architecture_of(teacher.config)):
        for steps in options.steps:
            with tempfile.TemporaryDirectory() as scratch:
                asked = replace(recipe, steps=steps)
                made = distil(data, teacher, architecture, asked, steps=steps, seed=options.seed, folder=Path(scratch))
            points = 100 * (made.selection.value - teacher_accuracy)
            curve = " ".join(f"{point.value:.3f}" for point in made.curve)
            published = text(report(made.model, read_report(folder / DATA), recipe)) if options.report else ""
            print(
                f"{architecture.label:20} {parameter_count(architecture):10,} {steps:5} {text(made.selection):25}"
                f" {points:+4.1f} points  {curve:23}  {published}",
                flush=True,
            )


def parsed() -> argparse.Namespace:
    def numbers(value: str) -> list[int]:
        return [int(number) for number in value.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks"), help="keeps the prepared data")
    parser.add_argument("--students", default="1x96,2x192", help="layers x hidden size, by commas")
    parser.add_argument("--steps", type=numbers, default=[120, 500])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", action="store_true", help="evaluate on the report split as well")
    defaults = Recipe()
    for name in ("learning_rate", "embedding_learning_rate", "warmup", "weight_decay"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(defaults, name))
    parser.add_argument("--preset", choices=list(PRESETS), help="what is taught, else the default recipe's terms")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--max-length", type=int, default=32)
    return parser.parse_args()


def recipe_of(options: argparse.Namespace) -> Recipe:
    names = ("batch_size", "max_length", "learning_rate", "embedding_learning_rate", "weight_decay", "warmup")
    settings = {name: getattr(options, name) for name in names}
    return recipe(options.preset, **settings) if options.preset else Recipe(**settings)


def prepared(options: argparse.Namespace, recipe: Recipe) -> Path:
    """The folder of data and teacher, made where it is not there yet."""
    built_in = Teacher(model=BUILT_IN)
    folder: Path = options.folder / fingerprint(TASK, built_in, recipe, options.seed)[:16]
    if not (folder / SUMMARY).is_file():
        made = prepare(TASK, built_in, recipe, folder, seed=options.seed, observer=Stages())
        rows = {name: asdict(row) for name, row in {"teacher": made.teacher, **made.baselines}.items()}
        (folder / SUMMARY).write_text(json.dumps(rows))
    print(f"prepared: {folder}")
    for name, scores in scores_of(folder).items():
        print(f"{name:36} selection {text(scores['selection'])}  report {text(scores['report'])}")
    return folder


def scores_of(folder: Path) -> dict[str, dict[str, Estimate]]:
    """Of the teacher and the baselines, on both splits."""
    rows = json.loads((folder / SUMMARY).read_text())
    return {name: {split: Estimate(**row[split]) for split in row} for name, row in rows.items()}


def students(names: str, teacher: Architecture) -> Iterator[Architecture]:
    for name in names.split(","):
        layers, hidden_size = map(int, name.split("x"))
        yield replace(
            teacher,
            layers=layers,
            hidden_size=hidden_size,
            heads=max(1, hidden_size // teacher.head_size),
            ffn_size=4 * hidden_size,
        )


def text(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"


class Stages(Unobserved):
    """Says what is being done."""

    def stage(self, name: str) -> None:
        print(f"... {name}", flush=True)


if __name__ == "__main__":
    main()
