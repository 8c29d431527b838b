"""A small space of which every architecture was distilled at flash fidelity on `docstrings`, with two seeds.

`cells.docstrings_training` makes the table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from search_space import Choice, IntegerRange, SearchSpace

TABLE = Path(__file__).with_name("docstrings_space.json")
"""What the distillations came to, so that nobody needs to make them again; removed, it is made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """Accuracies of each row of the space on the selection split, a list for each seed; median seconds of one."""

    space: SearchSpace
    accuracies: list[list[float]]
    seconds: float


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


def read() -> Distilled:
    found = json.loads(TABLE.read_text(encoding="utf-8"))
    space = space_for(found["vocabulary"], found["positions"])
    if found["architectures"] != [space.architecture(row).label for row in range(space.size)]:
        raise SystemExit(f"{TABLE.name} is of another space: remove it, and give --train a folder")
    return Distilled(space=space, accuracies=found["accuracies"], seconds=found["seconds"])
