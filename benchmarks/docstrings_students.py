"""How good students of the docstrings teacher become, in how many steps and seconds.

Prints the teacher beside the baselines, then for every shape and number of steps the accuracy on the selection split,
the seconds of training, and the latency beside the teacher's. With --report also the accuracy on the report split.

    python benchmarks/docstrings_students.py --students 2x96,2x192 --steps 200,600
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch

from distillation.data import PreparedData, read_data, read_report
from distillation.distil import distil, report
from distillation.observer import Unobserved
from distillation.prepare import DATA, TEACHER, fingerprint, prepare
from distillation.teacher import read_teacher
from distillation.values import BUILT_IN, DOCSTRINGS, Dataset, Estimate, Recipe, Task, Teacher, Weights
from encoders.build import architecture_of, head_of
from encoders.modeling_stillhouse import StillhouseForSequenceClassification
from hardware.procedure import measure
from hardware.values import DeviceProfile, Effort
from search_space import Architecture, parameter_count

TASK = Task(dataset=Dataset(source=DOCSTRINGS))


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    recipe = recipe_of(options)
    folder = prepared(options, recipe)
    data, teacher = read_data(folder / DATA), read_teacher(folder / TEACHER)
    profile = DeviceProfile(batch=8, length=recipe.max_length, threads=1)
    teacher_s = latency_s(architecture_of(teacher.config), teacher, profile)
    print(f"\nrecipe: {recipe}\nlatency: {profile}\nteacher: {1e3 * teacher_s:.2f} ms\n")
    titles = f"{'student':28} {'parameters':>10} {'steps':>5} {'selection':>9} {'train s':>7} {'ms':>6} {'speed-up':>8}"
    print(f"{titles}  curve")
    for architecture in students(options.students, architecture_of(teacher.config)):
        student_s = latency_s(architecture, teacher, profile)
        for steps in options.steps:
            line = trained(data, teacher, architecture, replace(recipe, steps=steps), options, folder)
            print(
                f"{architecture.label:28} {parameter_count(architecture):10,} {steps:5}"
                f" {line['selection'].value:9.4f} {line['seconds']:7.1f} {1e3 * student_s:6.2f}"
                f" {teacher_s / student_s:7.2f}x  {line['curve']}"
                + (f"  report {text(line['report'])}" if options.report else ""),
                flush=True,
            )


def parsed() -> argparse.Namespace:
    def numbers(value: str) -> list[int]:
        return [int(number) for number in value.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks"), help="keeps the prepared data")
    parser.add_argument("--students", default="1x96,1x192,2x96,2x192,3x144", help="layers x hidden size, by commas")
    parser.add_argument("--steps", type=numbers, default=[150, 200, 600])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", action="store_true", help="evaluate on the report split as well")
    defaults = Recipe()
    for name in ("learning_rate", "embedding_learning_rate", "temperature", "warmup", "weight_decay"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(defaults, name))
    for name in ("logits", "hidden_states", "hard_labels"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(defaults.weights, name))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--max-length", type=int, default=32)
    parser.add_argument("--initialisation", default=defaults.initialisation)
    return parser.parse_args()


def recipe_of(options: argparse.Namespace) -> Recipe:
    return Recipe(
        batch_size=options.batch_size,
        max_length=options.max_length,
        learning_rate=options.learning_rate,
        embedding_learning_rate=options.embedding_learning_rate,
        weight_decay=options.weight_decay,
        warmup=options.warmup,
        temperature=options.temperature,
        weights=Weights(logits=options.logits, hidden_states=options.hidden_states, hard_labels=options.hard_labels),
        initialisation=options.initialisation,
    )


def prepared(options: argparse.Namespace, recipe: Recipe) -> Path:
    """The folder of data and teacher, made where it is not there yet."""
    built_in = Teacher(model=BUILT_IN)
    folder: Path = options.folder / fingerprint(TASK, built_in, recipe, options.seed)[:16]
    summary = folder / "summary.json"
    if not summary.is_file():
        made = prepare(TASK, built_in, recipe, folder, seed=options.seed, observer=Stages())
        rows = {name: asdict(row) for name, row in {"teacher": made.teacher, **made.baselines}.items()}
        summary.write_text(json.dumps({"seconds": made.seconds, "rows": rows}))
    values = json.loads(summary.read_text())
    print(f"prepared in {values['seconds']:.0f} s: {folder}")
    for name, row in values["rows"].items():
        scores = {split: text(Estimate(**row[split])) for split in ("selection", "report")}
        print(f"{name:30} selection {scores['selection']}  report {scores['report']}")
    return folder


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


def trained(
    data: PreparedData,
    teacher: StillhouseForSequenceClassification,
    architecture: Architecture,
    recipe: Recipe,
    options: argparse.Namespace,
    folder: Path,
) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as scratch:
        made = distil(data, teacher, architecture, recipe, steps=recipe.steps, seed=options.seed, folder=Path(scratch))
    published = report(made.model, read_report(folder / DATA), recipe) if options.report else None
    curve = " ".join(f"{point.value:.3f}" for point in made.curve)
    return {"selection": made.selection, "seconds": made.seconds, "curve": curve, "report": published}


def latency_s(
    architecture: Architecture, teacher: StillhouseForSequenceClassification, profile: DeviceProfile
) -> float:
    return measure(architecture, head_of(teacher.config), profile, Effort.QUICK, seed=0).p50.value_s


def text(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"


class Stages(Unobserved):
    """Says what is being done."""

    def stage(self, name: str) -> None:
        print(f"... {name}", flush=True)


if __name__ == "__main__":
    main()
