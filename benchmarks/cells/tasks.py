"""The tasks of the comparison of recipes, each with a student and a schedule that tell recipes apart."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from distillation.recipe import Recipe
from distillation.values import BUILT_IN, DOCSTRINGS, Dataset, Metric, Task, Teacher
from encoders.values import HeadKind
from search_space import Architecture

QUICK = {"steps": 4, "batch_size": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How one task is compared on.

    Args:
        student: by the teacher's shape. It has the teacher's heads, so that attention can be compared head by head.
        previous: the student that another one starts from.
        half: the student of the final comparison, of at most half the teacher's blocks.
        texts: of the train split, that students see; 0 for all.
        like: of as many parameters are students of these `sizes` (layers, hidden size), with words as wide as its own.
        weighs: whether the weights are tried, rather than taken as they are.
    """

    name: str
    metric: str
    task: Task
    teacher: Teacher
    recipe: Recipe
    student: Callable[[Architecture], Architecture]
    previous: Callable[[Architecture], Architecture]
    half: Callable[[Architecture], Architecture]
    like: Callable[[Architecture], Architecture]
    texts: int
    seeds: Sequence[int]
    final_seeds: int
    sizes: Sequence[tuple[int, int]]
    weighs: bool = True


def docstrings(options: argparse.Namespace) -> Setting:
    # Half the teacher's width, all texts and more steps would bring every recipe up to the teacher's .78: with 1,000
    # texts and 100 steps a quarter of the width left .716 to fine-tuning, .738 to logits and .743 to attention beside
    # them (one seed).
    setting = Setting(
        name="docstrings",
        metric="accuracy",
        task=Task(dataset=Dataset(source=DOCSTRINGS)),
        teacher=Teacher(model=BUILT_IN),
        recipe=Recipe(steps=100, batch_size=64, max_length=32),
        student=lambda teacher: replace(teacher, layers=2, hidden_size=48, ffn_size=96),
        previous=lambda teacher: replace(teacher, layers=3, hidden_size=96, ffn_size=384),
        half=lambda teacher: replace(teacher, layers=2, hidden_size=96, ffn_size=384),
        texts=1000,
        seeds=options.seeds,
        final_seeds=5,
        like=lambda teacher: replace(teacher, layers=2, hidden_size=64, heads=2, ffn_size=256, embedding_size=32),
        sizes=((1, 96), (2, 64), (4, 48)),
    )
    return quick(setting) if options.quick else setting


def real(options: argparse.Namespace) -> Setting:
    task, metric, steps, length = TASKS[options.real](options.data)
    # On STS-B under a 6 x 384 teacher, half its depth alone told nothing apart: fine-tuning reached .843 on report, of
    # the teacher's .846. Half its depth and width fell to .25, below TF-IDF's .32 (one seed).
    setting = Setting(
        name=options.real,
        metric=metric,
        task=task,
        teacher=Teacher(model=str(options.teacher), epochs=3.0),
        recipe=Recipe(steps=steps, batch_size=32, max_length=length),
        student=_two_thirds,
        previous=lambda teacher: replace(teacher, layers=4),
        half=_two_thirds,
        like=lambda teacher: replace(teacher, layers=3, hidden_size=256, heads=8, ffn_size=1024, embedding_size=128),
        texts=0,
        seeds=options.real_seeds,
        final_seeds=3,
        sizes=((2, 320), (3, 256), (6, 192)),
        weighs=False,
    )
    if not options.quick:
        return setting
    return quick(replace(setting, teacher=replace(setting.teacher, epochs=0.05)))


def _two_thirds(teacher: Architecture) -> Architecture:
    """Of its depth and width, with all of its heads: about half of its parameters, as words are most of them."""
    return replace(
        teacher,
        layers=2 * teacher.layers // 3,
        hidden_size=2 * teacher.hidden_size // 3,
        ffn_size=2 * teacher.ffn_size // 3,
    )


def quick(setting: Setting) -> Setting:
    recipe = replace(setting.recipe, steps=QUICK["steps"], batch_size=QUICK["batch_size"])
    return replace(setting, recipe=recipe, seeds=setting.seeds[:1], final_seeds=1, weighs=False)


def _cola(folder: Path) -> tuple[Task, str, int, int]:
    task = Task(dataset=Dataset(source=str(folder / "cola")), text=("3",), label="1", metric=Metric.MATTHEWS)
    return task, "Matthews' correlation", 100, 64


def _rte(folder: Path) -> tuple[Task, str, int, int]:
    task = Task(dataset=Dataset(source=str(folder / "rte")), text=("sentence1", "sentence2"), label="label")
    return task, "accuracy", 100, 128


def _stsb(folder: Path) -> tuple[Task, str, int, int]:
    task = Task(dataset=Dataset(source=str(folder / "stsb")), kind=HeadKind.REGRESSION, text=("0", "1"), label="2")
    return task, "Pearson's correlation", 100, 64


TASKS: dict[str, Callable[[Path], tuple[Task, str, int, int]]] = {"cola": _cola, "rte": _rte, "stsb": _stsb}


def parser_of(name: str, documentation: str | None, *, real: str, real_seeds: Sequence[int]) -> argparse.ArgumentParser:
    """What every comparison on these tasks can be told; for `parsed_by`."""
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="real data: see above")
    parser.add_argument("--teacher", type=Path, help="checkpoint for the real data")
    parser.add_argument("--real", choices=list(TASKS), default=real)
    parser.add_argument("--folder", type=Path, default=Path(".stillhouse/benchmarks") / name, help="keeps all")
    parser.add_argument("--processes", type=int, default=1, help="of one thread each")
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2])
    parser.add_argument("--real-seeds", type=_numbers, default=real_seeds)
    parser.add_argument("--quick", action="store_true", help="a few steps of everything, to see that it works")
    return parser


def parsed_by(parser: argparse.ArgumentParser) -> argparse.Namespace:
    options = parser.parse_args()
    if (options.data is None) != (options.teacher is None):
        parser.error("--data and --teacher belong together")
    return options


def settings_of(options: argparse.Namespace) -> list[Setting]:
    """`docstrings`, and the real task where its data are given."""
    return [docstrings(options)] if options.data is None else [docstrings(options), real(options)]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]
