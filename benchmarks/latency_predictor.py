"""The latency predictor on three public tables of measured transformers, beside a quadratic ridge.

The tables are HAT's (arXiv:2005.14187): 2,000 encoder-decoder transformers each, measured by its authors on two set-ups
of a Titan Xp and on a Raspberry Pi. Both models see the same 64 or 200 rows, drawn anew for each seed, and predict the
others from the architecture alone. Each table holds a stretch of rows that were taken while the machine was in another
state. It does not say so, but its encoder column does: on the GPU all encoders have 6 layers and take as long as the
host needs to launch them, so they are a witness that neither model is shown. Errors are printed over all other rows,
and over those that the witness calls usual; the rows to learn from are not chosen by it. Prints too whether the
encoder's latency depends on its shape at all.

    python benchmarks/latency_predictor.py --data FOLDER --seeds 0,1,2,3,4
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware.calibration import dependence
from hardware.fitting import agreement, fit_latency
from search_space.latency_features import Floats, LatencyFeatures, features_of_table
from search_space.latency_model import Agreement

ENCODER, DECODER = "latency_mean_encoder", "latency_mean_decoder"
MOST_ABOVE_MEDIAN = 1.12
"""Of an encoder's latency on the GPU in the usual state: the ratios to the median have a gap from here to 1.17."""

MOST_PI_MS = 800.0
"""Of an encoder's latency on the Raspberry Pi: the median is 211 ms, the next above this are ten times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    name: str
    features: LatencyFeatures
    encoder_s: Floats
    total_s: Floats
    usual: np.ndarray


def main() -> None:
    options = parsed()
    tables = [read(path) for path in sorted(options.data.glob("*_all.csv"))]
    if not tables:
        raise SystemExit(f"there is no *_all.csv in {options.data}")
    for table in tables:
        print(f"{table.name}: {len(table.usual)} rows, {(~table.usual).sum()} of them not in the usual state")
    print(f"\n{HEAD}")
    seconds = 0.0
    for table in tables:
        for rows in options.rows:
            seconds += show(table, rows, options.seeds)
    print(f"\n{seconds:.2f} s of CPU for a fit and its cross-validation, in the mean\n" if options.times else "")
    for table in tables:
        print(f"{table.name}, encoder alone: {of_encoder(table, max(options.rows), options.seeds[0])}")


HEAD = """| table | rows | model | MAPE | median APE | Spearman | usual: MAPE | median APE | Spearman | in 95 % |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def show(table: Table, rows: int, seeds: list[int]) -> float:
    """Prints a line for each model; the mean CPU time of a fit."""
    found: dict[str, list[tuple[Agreement, Agreement]]] = {"quadratic ridge": [], "stillhouse": []}
    spent = 0.0
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(len(table.total_s))
        known, asked = order[:rows], order[rows:]
        logs, usual = np.log(table.total_s[asked]), table.usual[asked]
        begin = time.process_time()
        fitted = fit_latency(table.features.take(known), table.total_s[known], seed=seed)
        spent += time.process_time() - begin
        ours = fitted.model.log_latency(table.features.take(asked))
        theirs = quadratic_ridge(table.features.sizes, np.log(table.total_s), known, asked)
        for name, (means, deviations) in {"quadratic ridge": theirs, "stillhouse": ours}.items():
            found[name].append(
                (agreement(means, deviations, logs), agreement(means[usual], deviations[usual], logs[usual]))
            )
    for name, pairs in found.items():
        cells = [f"{table.name} | {rows} | {name}"]
        for part in zip(*pairs, strict=True):
            cells.append(spread([100 * one.mape for one in part], "{:.2f} %"))
            cells.append(f"{100 * statistics.mean(one.median_ape for one in part):.2f} %")
            cells.append(f"{statistics.mean(one.spearman or 0.0 for one in part):.3f}")
        within = statistics.mean(pair[1].within for pair in pairs)
        print(f"| {' | '.join(cells)} | {f'{100 * within:.0f} %' if name == 'stillhouse' else '–'} |", flush=True)
    return spent / len(seeds)


def spread(values: list[float], form: str) -> str:
    mean, low, high = (form.format(value) for value in (statistics.mean(values), min(values), max(values)))
    return f"{mean} [{low.split()[0]}, {high.split()[0]}]"


def quadratic_ridge(sizes: Floats, logs: Floats, known: np.ndarray, asked: np.ndarray) -> tuple[Floats, Floats]:
    """Ridge over all products of two standardised logarithms of sizes, its strength chosen by leaving one out."""
    columns = np.log(sizes)
    columns = columns[:, columns[known].std(axis=0) > 0]
    columns = (columns - columns[known].mean(axis=0)) / columns[known].std(axis=0)
    i, j = np.triu_indices(columns.shape[1])
    design = np.column_stack([np.ones(len(columns)), columns, columns[:, i] * columns[:, j]])
    left, singular, right = np.linalg.svd(design[known], full_matrices=False)
    level = logs[known].mean()
    values = logs[known] - level
    best, weights = np.inf, np.zeros(design.shape[1])
    for strength in np.logspace(-4, 3, 22):
        kept = singular**2 / (singular**2 + strength)
        hat = (left * kept) @ left.T
        error = float(np.square((values - hat @ values) / (1 - np.diag(hat))).mean())
        if error < best:
            best, weights = error, right.T @ (kept / singular * (left.T @ values))
    return level + design[asked] @ weights, np.full(len(asked), best**0.5)


def of_encoder(table: Table, rows: int, seed: int) -> str:
    """Whether the encoder's latency depends on the encoder at all, as a calibration says it."""
    columns = [place for place, name in enumerate(table.features.names) if name.startswith("encoder")]
    sizes = {table.features.names[place]: table.features.sizes[:, place] for place in columns}
    chosen = np.random.default_rng(seed).permutation(len(table.encoder_s))[:rows]
    fitted = fit_latency(features_of_table(sizes).take(chosen), table.encoder_s[chosen], seed=seed)
    found = dependence(table.encoder_s[chosen], fitted.agreement)
    rank = "none" if fitted.agreement.spearman is None else f"{fitted.agreement.spearman:.2f}"
    return f"rank correlation {rank}, MAPE {100 * fitted.agreement.mape:.1f} %; {found or 'it depends on the space'}"


def read(path: Path) -> Table:
    with path.open() as lines:
        rows = list(csv.DictReader(lines))
    columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    encoder, decoder = columns[ENCODER], columns[DECODER]
    usual = encoder < (MOST_PI_MS if "raspberrypi" in path.name else MOST_ABOVE_MEDIAN * np.median(encoder))
    return Table(
        name=path.name.removesuffix("_all.csv"),
        features=features_of_table({name: column for name, column in columns.items() if "latency" not in name}),
        encoder_s=encoder / 1e3,
        total_s=(encoder + decoder) / 1e3,
        usual=usual,
    )


def parsed() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with HAT's *_all.csv")
    parser.add_argument("--rows", type=numbers, default=[64, 200], help="rows to learn from")
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2, 3, 4])
    parser.add_argument("--times", action="store_true", help="print the mean time of a fit, too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
