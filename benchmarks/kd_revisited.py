"""What to teach, from which layers, starting where: one factor at a time around a base recipe, then two.

The base recipe teaches logits and, by MSE, hidden states of uniformly matched layers to a student that starts from the
teacher's lower layers. First every knowledge of layers gets its weight, by one run each of a seed that nothing else
uses. Then knowledge, presets, matchings, initialisations and the trade of width for depth are compared, then the best
knowledge together with what else was best, and some recipes that fit any student. All of this is chosen on the
selection split. At the end the base, the best, the preset `best-practice`, plain logits and plain fine-tuning teach a
student of half the teacher's size, with other seeds, and these alone are evaluated on the report split.

Without --data on `docstrings` alone; with it also on a task of real sentences, under --teacher.

    python benchmarks/kd_revisited.py --data DIR --teacher FOLDER --processes 2

DIR holds the folders cola (train.tsv, dev*.tsv without header: source, label, star, sentence), rte (train.tsv,
dev.tsv: sentence1, sentence2, label) and stsb (train.csv, dev.csv without header: two sentences, score); FOLDER a
checkpoint of the BERT family. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cells.distillations import Cell, distilled, prepared, summary
from cells.ledger import Ledger
from cells.numbers import mean_and_spread, paired, table
from cells.recipes import (
    BASE,
    FASTER,
    FINE_TUNING,
    LAYERED,
    LOGITS,
    OUTPUTS,
    PLAIN,
    Variant,
    Variants,
    candidates,
    initialisations,
    interactions,
    knowledge,
    matchings,
    presets,
    shapes,
    taught,
    weighted,
)
from cells.tasks import Setting, parsed_by, parser_of, settings_of

from distillation.prepare import TEACHER
from distillation.presets import PRESETS
from distillation.recipe import Initialisation, Matching
from distillation.teacher import read_teacher
from encoders.build import architecture_of
from search_space import parameter_count

WEIGHING_SEED = 90
FINAL_SEEDS = range(100, 200)
DIVERGED = -math.inf


def main() -> None:
    options = parsed()
    settings = settings_of(options)
    ledger = Ledger(options.folder / "results.jsonl")
    weights: dict[str, float] = {}
    compared = []
    for setting in settings:
        place = prepared(options.folder, setting.task, setting.teacher, setting.recipe)
        comparison = Comparison(setting, place, ledger, options.processes)
        comparison.introduce()
        # One weighing is enough: a loss of probabilities or of normalised states is as large on any task.
        weights = weights or comparison.weights()
        comparison.run(weights)
        compared.append(comparison)
    for comparison in compared:
        comparison.finish(overall(compared))


@dataclass
class Comparison:
    """All that is run on one task."""

    setting: Setting
    place: Path
    ledger: Ledger
    processes: int

    def __post_init__(self) -> None:
        self.teacher = architecture_of(read_teacher(self.place / TEACHER).config)
        self.student = self.setting.student(self.teacher)
        self.base = self.setting.recipe
        self.means: dict[str, float] = {}
        self.choices: Variants = {}

    def introduce(self) -> None:
        setting = self.setting
        print(f"\n## {setting.name}\n\nTeacher {self.teacher.label}, student {self.student.label}", end="")
        print(f" ({parameter_count(self.student):,} of {parameter_count(self.teacher):,} parameters),", end=" ")
        texts = f"{setting.texts:,}" if setting.texts else "all"
        print(f"{self.base.steps} steps of {self.base.batch_size}, {texts} train texts, seeds {setting.seeds}.\n")
        rows = [
            [name, *(f"{row[split].value:.3f} [{row[split].low:.3f}, {row[split].high:.3f}]" for split in row)]
            for name, row in summary(self.place).items()
        ]
        print(table(["without distillation", "selection", "report"], rows), flush=True)

    def weights(self) -> dict[str, float]:
        """The best weight of each knowledge of layers; of equals the smaller."""
        tried = {
            f"{name} x {weight:g}": Variant(recipe=taught(self.base, LOGITS, *weighted(layered.terms, weight)))
            for name, layered in LAYERED.items()
            for weight in (layered.weights if self.setting.weighs else layered.weights[1:2])
        }
        values = self.values("weights", tried, [WEIGHING_SEED])
        best = {
            name: max(layered.weights, key=lambda weight, name=name: values.get(f"{name} x {weight:g}", [DIVERGED])[0])
            for name, layered in LAYERED.items()
        }
        rows = [
            [name, *(f"{w:g}: {values.get(f'{name} x {w:g}', [math.nan])[0]:.3f}" for w in layered.weights)]
            for name, layered in LAYERED.items()
        ]
        print(f"\n### Weights\n\n{table(['knowledge beside the logits', *'1234'], rows)}", flush=True)
        return best

    def run(self, weights: Mapping[str, float]) -> None:
        base = taught(self.base, LOGITS, *weighted(LAYERED[BASE].terms, weights[BASE]))
        self.base = base
        setting = self.setting
        factors = {
            "Knowledge": knowledge(base, weights),
            "Presets": presets(base),
            "Matching": matchings(base, weights),
            "Initialisation": initialisations(base, setting.previous(self.teacher)),
            "Width against depth": shapes(base, setting.like(self.teacher), setting.sizes),
        }
        # Together, so that no process waits at the end of each factor.
        together = {f"{factor}: {name}": each for factor, found in factors.items() for name, each in found.items()}
        self.values("factors", together | {"base": Variant(recipe=base)}, setting.seeds)
        for factor, variants in factors.items():
            self.show(factor, variants)
        layered = [name for name in self.ranked(factors["Knowledge"]) if name.startswith("logits + ") and "(x " in name]
        matched = [name.removeprefix("logits + ").rsplit(" (x ", 1)[0] for name in layered]
        first, second = [name for name in matched if not name.startswith("embeddings")][:2]
        own = LAYERED[first].terms[0].matching
        of_matching = [Matching(name.rsplit(": ", 1)[1]) for name in self.ranked(factors["Matching"])]
        of_start = [factors["Initialisation"][name] for name in self.ranked(factors["Initialisation"])]
        pairs = interactions(
            base,
            weights,
            first=first,
            second=second,
            matching=next(each for each in of_matching if each is not own),
            initialisation=next(each for each in of_start if each.previous is None and each.recipe != base),
        )
        self.values("interactions", pairs, setting.seeds)
        self.show("Two at once", pairs)
        several = candidates(base, weights)
        self.values("candidates", several, setting.seeds)
        self.show("Candidates of best practice", several)

    def finish(self, everywhere: str | None) -> None:
        """Students of half the teacher's size, with other seeds, also on the report split."""
        half = self.setting.half(self.teacher)
        best = self.ranked(self.choices)[0]
        scratch = replace(taught(self.base, *OUTPUTS[FINE_TUNING]), initialisation=Initialisation.RANDOM, **FASTER)
        final = {
            "plain fine-tuning": Variant(recipe=taught(self.base, *OUTPUTS[FINE_TUNING])),
            "plain fine-tuning, from random": Variant(recipe=scratch),
            "plain logits": Variant(recipe=taught(self.base, *OUTPUTS[PLAIN])),
            "base": Variant(recipe=self.base),
            "best-practice": Variant(recipe=replace(self.base, **PRESETS["best-practice"])),
            f"best here: {best}": self.choices[best],
        }
        if everywhere is not None and everywhere != best:
            final[f"best on all tasks: {everywhere}"] = self.choices[everywhere]
        seeds = FINAL_SEEDS[: self.setting.final_seeds]
        cells = {
            (name, seed): replace(self.cell(variant, seed), architecture=half, is_published=True)
            for seed in seeds
            for name, variant in final.items()
        }
        self.complete("final", cells.values())
        reported = {name: [self.ledger[cells[name, seed].key].get("report") for seed in seeds] for name in final}
        values = {name: [math.nan if row is None else row["value"] for row in rows] for name, rows in reported.items()}
        on_selection = {name: [self.selection(cells[name, seed]) for seed in seeds] for name in final}
        lines = []
        for name, rows in reported.items():
            known = [row for row in rows if row is not None]
            low, high = (statistics.fmean(row[end] for row in known) if known else math.nan for end in ("low", "high"))
            lines.append(
                [
                    name,
                    mean_and_spread(on_selection[name]),
                    mean_and_spread(values[name]),
                    f"{low:.3f} to {high:.3f}",
                    paired(values[name], values["plain logits"]),
                    paired(values[name], values["plain fine-tuning"]),
                ]
            )
        header = ["student", "selection", "report", "95 % of the texts", "- plain logits", "- plain fine-tuning"]
        print(f"\n## {self.setting.name}: the report split\n\nStudent {half.label}, seeds {list(seeds)}.\n", flush=True)
        print(table(header, lines), flush=True)

    def show(self, title: str, variants: Variants) -> None:
        values, base = self.known(variants), self.known({"base": Variant(recipe=self.base)})["base"]
        rows = [[name, mean_and_spread(values[name]), paired(values[name], base)] for name in variants]
        print(f"\n### {title}\n\n{table([title.lower(), self.setting.metric, '- base'], rows)}", flush=True)
        self.means |= {name: mean(values[name]) for name in variants}
        self.choices |= {name: variant for name, variant in variants.items() if variant.is_a_choice}

    def ranked(self, variants: Iterable[str]) -> list[str]:
        """The best first."""
        return sorted(variants, key=lambda name: -self.means[name])

    def values(self, phase: str, variants: Variants, seeds: Iterable[int]) -> dict[str, list[float]]:
        seeds = list(seeds)
        self.complete(phase, [self.cell(variant, seed) for seed in seeds for variant in variants.values()])
        return {name: [self.selection(self.cell(each, seed)) for seed in seeds] for name, each in variants.items()}

    def known(self, variants: Variants) -> dict[str, list[float]]:
        return {
            name: [self.selection(self.cell(variant, seed)) for seed in self.setting.seeds]
            for name, variant in variants.items()
        }

    def complete(self, phase: str, cells: Iterable[Cell]) -> None:
        keyed = {cell.key: cell for cell in cells}
        self.ledger.complete(keyed, distilled, processes=self.processes, name=f"{self.setting.name}, {phase}")

    def cell(self, variant: Variant, seed: int) -> Cell:
        return Cell(
            folder=self.place,
            architecture=variant.architecture or self.student,
            recipe=variant.recipe,
            seed=seed,
            texts=self.setting.texts,
            previous=variant.previous,
        )

    def selection(self, cell: Cell) -> float:
        row = self.ledger[cell.key]
        return float(row["selection"]["value"]) if "selection" in row else math.nan


def mean(values: list[float]) -> float:
    return DIVERGED if any(math.isnan(value) for value in values) else statistics.fmean(values)


def overall(compared: list[Comparison]) -> str | None:
    """The recipe of the best mean rank over the tasks, of those that ran on all; None of one task."""
    if len(compared) < 2:
        return None
    names = set.intersection(*(set(each.choices) for each in compared))
    ranks = [{name: rank for rank, name in enumerate(each.ranked(sorted(names)))} for each in compared]
    return min(sorted(names), key=lambda name: sum(rank[name] for rank in ranks))


def parsed() -> argparse.Namespace:
    parser = parser_of("kd_revisited", __doc__, real="stsb", real_seeds=[0, 1])
    return parsed_by(parser)


if __name__ == "__main__":
    main()
