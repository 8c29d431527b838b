"""Whether an assistant that is found in one trial teaches as well as the best of all, and what each way costs.

Slices of the teacher at 10 % of its heads and neurons learn from it directly (as cut, and with weights that make up for
what is cut), by MiniDisc (the seven candidates of at least 50 % sparsity, all in every step; the full grid, three in a
step), and by MaxiDisc over the assistants of --assistants, each distilled and a student from each. At 5 % directly and
by MiniDisc. All start from the same importance of units and see the same batches of a seed.

Prints the metric on the report split with paired differences to direct distillation, the assistant that each way
picked, training seconds by the clock and of the processor (one thread each, and other work on the machine stretches
only the first), and the cost in FLOPs of the encoders' blocks: a pass forward is 1, forward and backward are 3; the
teacher's outputs are computed in every step, on every side. Then whether the goals are met, and how the trade-off t(s)
goes with the metric of the student that the assistant of scale s taught, also drawn as an SVG beside the results.

Without --data on `docstrings` alone (three seeds); with it also on a task of real sentences (one seed; intervals over
the texts of the report split), under --teacher.

    python benchmarks/minidisc.py --data DIR --teacher FOLDER --real cola --processes 2

DIR is that of benchmarks/kd_revisited.py; FOLDER a checkpoint of the BERT family. A run that was stopped goes on where
it was.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cells.assistants import Scheduled, difference, opened, scheduled, stage_flops
from cells.distillations import prepared, summary
from cells.ledger import Ledger, Row
from cells.numbers import mean_and_spread, paired, table
from cells.scatter import Panel, drawn
from cells.tasks import Setting, parsed_by, parser_of, settings_of
from scipy.stats import pearsonr, spearmanr

from distillation.assistants.candidates import importance_by_labels, slice_at, whole_of
from distillation.data import read_report
from distillation.prepare import DATA
from distillation.presets import recipe as preset
from distillation.recipe import Recipe, Rescaling, Units
from distillation.schedule import GRID, Schedule

SPARSITIES = (0.9, 0.95)
HALF = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
"""The candidates of the released code."""
FULL = GRID[1:]
EXHAUSTIVE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85)
"""The assistants of a search over the full grid for a student of 10 %."""

DIRECT, GAINED = "direct", "direct, weights make up for what is cut"
ALL, SAMPLED, MAXIDISC = "MiniDisc, seven candidates", "MiniDisc, full grid, three a step", "MaxiDisc"
MOST_ALL, MOST_SAMPLED = 0.75, 0.3
"""Goals: the cost of MiniDisc as a share of MaxiDisc's over the same candidates."""


def main() -> None:
    options = parsed()
    settings = settings_of(options)
    ledger = Ledger(options.folder / "results.jsonl")
    for setting in settings:
        recipe = recipe_of(setting, options)
        place = prepared(options.folder, setting.task, setting.teacher, recipe)
        Comparison(setting, recipe, place, ledger, options).run()


def recipe_of(setting: Setting, options: argparse.Namespace) -> Recipe:
    """What MiniDisc teaches, in the setting's steps and sizes."""
    base = setting.recipe
    steps = base.steps if options.quick or options.steps is None else options.steps
    return preset("minidisc", steps=steps, batch_size=base.batch_size, max_length=base.max_length)


def ways(recipe: Recipe, assistants: Sequence[float]) -> dict[str, Recipe]:
    maxidisc = Schedule(kind="maxidisc", sparsities=tuple(assistants))  # type: ignore[arg-type]
    return {
        DIRECT: recipe,
        GAINED: replace(recipe, units=Units.IMPORTANCE, rescaling=Rescaling.SUM),
        ALL: replace(recipe, schedule=Schedule(kind="minidisc", sparsities=HALF)),  # type: ignore[arg-type]
        SAMPLED: replace(recipe, schedule=Schedule(kind="minidisc", sparsities=FULL, between=1)),  # type: ignore[arg-type]
        MAXIDISC: replace(recipe, schedule=maxidisc),
    }


@dataclass
class Comparison:
    """All that is run on one task."""

    setting: Setting
    recipe: Recipe
    place: Path
    ledger: Ledger
    options: argparse.Namespace

    def run(self) -> None:
        self.introduce()
        self.ledger.complete(
            {cell.key: cell for cell in self.cells()},
            scheduled,
            processes=self.options.processes,
            name=self.setting.name,
        )
        for sparsity in SPARSITIES:
            self.show(sparsity)
        self.costs()
        self.goals()
        self.correlation()

    def cells(self) -> Iterator[Scheduled]:
        for seed in self.setting.seeds:
            for sparsity in SPARSITIES:
                for name in self.names(sparsity):
                    yield self.cell(name, sparsity, seed)

    def names(self, sparsity: float) -> list[str]:
        """MaxiDisc is too long to be done twice."""
        names = list(ways(self.recipe, self.options.assistants))
        return names if sparsity == SPARSITIES[0] else [name for name in names if name != MAXIDISC]

    def cell(self, name: str, sparsity: float, seed: int) -> Scheduled:
        recipe = ways(self.recipe, self.options.assistants)[name]
        return Scheduled(folder=self.place, recipe=recipe, sparsity=sparsity, seed=seed, texts=self.setting.texts)

    def rows(self, name: str, sparsity: float) -> list[Row]:
        return [self.ledger[self.cell(name, sparsity, seed).key] for seed in self.setting.seeds]

    def introduce(self) -> None:
        setting, teacher = self.setting, whole_of(opened(self.place)[1])
        texts = f"{setting.texts:,}" if setting.texts else "all"
        print(f"\n## {setting.name}\n\nTeacher {teacher.label}, {self.recipe.steps} steps of {self.recipe.batch_size}")
        print(f"in every stage, {texts} train texts, seeds {list(setting.seeds)}.\n")
        rows = [
            [name, *(f"{row[split].value:.3f} [{row[split].low:.3f}, {row[split].high:.3f}]" for split in row)]
            for name, row in summary(self.place).items()
        ]
        print(table(["without distillation", "selection", "report"], rows), flush=True)

    def show(self, sparsity: float) -> None:
        base = self.rows(DIRECT, sparsity)
        lines = []
        for name in self.names(sparsity):
            rows = self.rows(name, sparsity)
            if any("diverged" in row for row in rows):
                lines.append([name, "diverged", *[""] * 7])
                continue
            lines.append(
                [
                    name,
                    mean_and_spread([row["selection"]["value"] for row in rows]),
                    mean_and_spread([row["report"]["value"] for row in rows]),
                    self.compared(rows, base),
                    " / ".join(picked(row) for row in rows),
                    f"{statistics.fmean(row['seconds'] for row in rows):.0f}",
                    mean_of([row["processor_s"] for row in rows]),
                    f"{statistics.fmean(row['flops'] for row in rows) / base[0]['flops']:.2f}",
                ]
            )
        parameters, label = base[0]["parameters"], base[0]["architecture"]
        print(f"\n### {1 - sparsity:.0%} of the units: {label}, {parameters:,} encoder parameters\n")
        header = [
            "",
            "selection",
            "report",
            "- direct",
            "assistant (sparsity)",
            "training s",
            "of the processor",
            "FLOPs / direct's",
        ]
        print(table(header, lines), flush=True)

    def compared(self, rows: Sequence[Row], base: Sequence[Row]) -> str:
        """On the report split: over the seeds, or of one seed over the texts."""
        if any("diverged" in row for row in (*rows, *base)):
            return ""
        if len(rows) > 1:
            return paired([row["report"]["value"] for row in rows], [row["report"]["value"] for row in base])
        data = read_report(self.place / DATA)
        return difference(
            data.task.metric, data.report.examples, data.classes, rows[0]["predictions"], base[0]["predictions"]
        )

    def costs(self) -> None:
        """In passes of the teacher a step, for the student of 10 %; means over seeds, whose assistants may differ."""
        data, teacher = opened(self.place)
        whole, importance = whole_of(teacher), importance_by_labels(data, teacher, self.recipe, "cpu")
        length = self.recipe.max_length
        shapes = {each: slice_at(whole, importance, self.recipe, each) for each in GRID}
        target = shapes[SPARSITIES[0]]
        unit = stage_flops(whole, [], None, length)

        def exhaustive(assistants: Sequence[float]) -> float:
            stages = [
                stage_flops(whole, [shapes[each]], None, length) + stage_flops(shapes[each], [target], None, length)
                for each in assistants
            ]
            return sum(stages) / unit

        def dearest(grid: Sequence[float], between: int | None) -> float:
            """With the assistant that costs most."""
            first = stage_flops(whole, [shapes[each] for each in grid], between, length)
            second = [
                stage_flops(shapes[each], [shapes[other] for other in grid if other > each], between, length)
                for each in grid
                if each < SPARSITIES[0]
            ]
            return (first + max(second)) / unit

        self.exhaustive = {ALL: exhaustive([each for each in HALF if each < 0.9]), SAMPLED: exhaustive(EXHAUSTIVE)}
        most = {ALL: dearest(HALF, None), SAMPLED: dearest(FULL, 1)}
        found = {name: self.rows(name, SPARSITIES[0]) for name in (ALL, SAMPLED)}
        self.passes = {
            name: statistics.fmean(row["flops"] / unit for row in rows if "flops" in row)
            for name, rows in found.items()
        }
        lines = [
            [
                name,
                f"{self.passes[name]:.2f}",
                f"{most[name]:.2f}",
                f"{self.exhaustive[name]:.2f}",
                f"{self.ratio(name):.2f}",
                f"{goal}",
            ]
            for name, goal in ((ALL, MOST_ALL), (SAMPLED, MOST_SAMPLED))
        ]
        print("\n### Cost of a step of every stage, in passes of the teacher's blocks\n")
        header = ["", "as it ran", "with its dearest assistant", "MaxiDisc over the same candidates", "ratio", "goal"]
        print(table(header, lines), flush=True)

    def ratio(self, name: str) -> float:
        return self.passes[name] / self.exhaustive[name]

    def goals(self) -> None:
        sparsity = SPARSITIES[0]
        students = best_assistants(self.rows(MAXIDISC, sparsity))
        lines = []
        for name in (ALL, SAMPLED):
            pairs = list(zip(self.rows(name, sparsity), self.rows(DIRECT, sparsity), strict=True))
            gains = [mine["report"]["value"] - other["report"]["value"] for mine, other in pairs if "report" in mine]
            gain = statistics.fmean(gains)
            lines.append([f"{name}: report - direct", f"{gain:+.3f}", "met" if gain >= 0 else "not met"])
        for name, goal in ((ALL, MOST_ALL), (SAMPLED, MOST_SAMPLED)):
            is_met = "met" if self.ratio(name) <= goal else "not met"
            lines.append([f"{name}: cost / MaxiDisc's", f"{self.ratio(name):.2f}", is_met])
        for name in (ALL, SAMPLED):
            told = [picked(row) for row in self.rows(name, sparsity)]
            good = [text in within for text, within in zip(told, students, strict=True)]
            wanted = " / ".join(", ".join(each) for each in students)
            lines.append(
                [f"{name}: assistants {' / '.join(told)}, MaxiDisc's best or within its interval: {wanted}", ""]
            )
            lines[-1].append("met" if all(good) else f"met for {sum(good)} of {len(good)} seeds")
        print(f"\n### Goals\n\n{table(['', '', ''], lines)}", flush=True)

    def correlation(self) -> None:
        """Of t(s) as one trial sees it and of the student's metric (selection split) that MaxiDisc has of each s."""
        sparsity = SPARSITIES[0]
        seen: list[tuple[float, float, float]] = []
        curves: list[tuple[float, float]] = []
        for mine, other in zip(self.rows(SAMPLED, sparsity), self.rows(MAXIDISC, sparsity), strict=True):
            trade = {point["sparsity"]: point for point in mine["assistance"]["rounds"][0]["points"]}
            curves += [(point["share"], point["tradeoff"]) for point in trade.values()]
            for each in other["assistance"]["rounds"]:
                (point,) = each["points"]
                one = trade[point["sparsity"]]
                seen.append((one["share"], one["tradeoff"], point["student"]["value"]))
        by_t = ([t for _, t, _ in seen], [value for *_, value in seen])
        is_flat = any(len(set(values)) < 2 for values in by_t)
        told = "undefined: all values are equal" if is_flat else f"Pearson {pearsonr(*by_t)[0]:+.2f}"
        told += "" if is_flat else f", Spearman {spearmanr(*by_t)[0]:+.2f}"
        print(f"\nt(s) in one trial and the student's metric, over {len(seen)} assistants: {told}", flush=True)
        path = self.options.folder / f"tradeoff-{self.setting.name}.svg"
        panels = [
            Panel(title="t(s) in one trial", points=curves),
            Panel(title="the student's metric by its assistant's scale", points=[(s, value) for s, _, value in seen]),
        ]
        path.write_text(drawn(panels, across="share of the teacher's blocks, s"), encoding="utf-8")
        print(f"drawn in {path}", flush=True)


def mean_of(seconds: Sequence[float | None]) -> str:
    known = [each for each in seconds if each is not None]
    return f"{statistics.fmean(known):.0f}" if known else ""


def picked(row: Row) -> str:
    """The sparsity of the assistant that taught; of MaxiDisc that of the best student's."""
    assistance: Mapping[str, Any] | None = row.get("assistance")
    if assistance is None:
        return "-"
    rounds = assistance["rounds"]
    if rounds[0]["points"][0]["student"] is not None:
        best = max(rounds, key=lambda each: each["points"][0]["student"]["value"])
        return f"{best['points'][0]['sparsity']:g}"
    chosen = rounds[-1]["chosen"]
    return "none" if chosen is None else f"{rounds[-1]['points'][chosen]['sparsity']:g}"


def best_assistants(rows: Sequence[Row]) -> list[list[str]]:
    """Of each seed the sparsities whose students lie within the interval of MaxiDisc's best."""
    found = []
    for row in rows:
        points = [each["points"][0] for each in row["assistance"]["rounds"]]
        best = max(points, key=lambda point: point["student"]["value"])["student"]
        found.append([f"{point['sparsity']:g}" for point in points if point["student"]["value"] >= best["low"]])
    return found


def parsed() -> argparse.Namespace:
    def shares(text: str) -> list[float]:
        return [float(number) for number in text.split(",")]

    parser = parser_of("minidisc", __doc__, real="cola", real_seeds=[0])
    parser.add_argument("--steps", type=int, help="of every stage, else the task's own")
    parser.add_argument("--assistants", type=shares, default=[0.5, 0.7, 0.8], help="sparsities that MaxiDisc tries")
    return parsed_by(parser)


if __name__ == "__main__":
    main()
