"""One distillation as a piece of work: a value that says all that its result depends on."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

from cells.ledger import Row

from distillation.cache import Cache
from distillation.data import PreparedData, read_data, read_report
from distillation.distil import Distilled, distil, report
from distillation.errors import DivergedError
from distillation.observer import Unobserved
from distillation.prepare import DATA, TEACHER, fingerprint, prepare
from distillation.recipe import Initialisation, Recipe
from distillation.splits import TrainSplit
from distillation.teacher import read_teacher
from distillation.values import Estimate, Task, Teacher
from encoders.modeling_stillhouse import StillhouseTaskModel
from search_space import Architecture, parameter_count

SUMMARY = "summary.json"
CACHE_BYTES = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A student of `texts` train texts (0: of all), where asked for evaluated on the report split as well.

    Where the recipe starts from a previous student, that one is of the shape `previous` and distilled in as many steps
    by the same recipe, from the teacher's lower layers.
    """

    folder: Path
    architecture: Architecture
    recipe: Recipe
    seed: int
    texts: int = 0
    previous: Architecture | None = None
    is_published: bool = False

    @property
    def key(self) -> str:
        # The folder is named by all that data and teacher depend on; where it lies is no part of it.
        values = json.dumps(asdict(self) | {"folder": self.folder.name}, sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()[:16]


def distilled(cell: Cell) -> Row:
    """The cell's result; one that diverged has no metric."""
    data, teacher = _opened(cell.folder)
    if cell.texts:
        # They are in the order of a hash: the first ones are as good as any.
        data = replace(data, train=TrainSplit(data.train.examples[: cell.texts]))
    row: Row = {
        "architecture": cell.architecture.label,
        "parameters": parameter_count(cell.architecture),
        "seed": cell.seed,
        "steps": cell.recipe.steps,
    }
    cache = Cache(folder=cell.folder.with_suffix(".cache"), budget_bytes=CACHE_BYTES)
    try:
        previous = None
        if cell.previous is not None:
            before = replace(cell.recipe, initialisation=Initialisation.LOWER)
            previous = _student(data, teacher, cell.previous, before, cell.seed, None, cache).model
        made = _student(data, teacher, cell.architecture, cell.recipe, cell.seed, previous, cache)
    except DivergedError as error:
        return row | {"diverged": str(error)}
    row |= {"selection": asdict(made.selection), "seconds": round(made.seconds, 2)}
    row["curve"] = [[point.step, point.value] for point in made.curve]
    if cell.is_published:
        row["report"] = asdict(report(made.model, read_report(cell.folder / DATA), cell.recipe))
    return row


def prepared(folder: Path, task: Task, teacher: Teacher, recipe: Recipe, *, seed: int = 0) -> Path:
    """The folder of data and teacher, made where it is not there yet."""
    place = folder / fingerprint(task, teacher, recipe, seed)[:16]
    if not (place / SUMMARY).is_file():
        made = prepare(
            task,
            teacher,
            recipe,
            place,
            seed=seed,
            observer=_Stages(),
            checkpoints=place.with_suffix(".checkpoints"),
        )
        rows = {name: asdict(row) for name, row in {"teacher": made.teacher, **made.baselines}.items()}
        (place / SUMMARY).write_text(json.dumps(rows))
    return place


def summary(folder: Path) -> dict[str, dict[str, Estimate]]:
    """Of the teacher and the baselines, on both splits."""
    rows = json.loads((folder / SUMMARY).read_text())
    return {name: {split: Estimate(**row[split]) for split in row} for name, row in rows.items()}


def _student(
    data: PreparedData,
    teacher: StillhouseTaskModel,
    architecture: Architecture,
    recipe: Recipe,
    seed: int,
    previous: StillhouseTaskModel | None,
    cache: Cache,
) -> Distilled:
    with tempfile.TemporaryDirectory() as scratch:
        return distil(
            data,
            teacher,
            architecture,
            recipe,
            steps=recipe.steps,
            seed=seed,
            folder=Path(scratch),
            previous=previous,
            cache=cache,
        )


@lru_cache(maxsize=1)
def _opened(folder: Path) -> tuple[PreparedData, StillhouseTaskModel]:
    return read_data(folder / DATA), read_teacher(folder / TEACHER)


class _Stages(Unobserved):
    """Says what is being done."""

    def stage(self, name: str) -> None:
        print(f"... {name}", flush=True)
