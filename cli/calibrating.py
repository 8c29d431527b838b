"""`stillhouse calibrate`: architectures of a space measured here, and a model of how long all of them take."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from cli.calibrations import keep
from cli.display import make_console, say
from cli.errors import BadInputError, CliError, ExitCode
from cli.home import open_home, usable
from cli.study_source import read_study
from cli.tables import NONE, new_table
from cli.target import read_target
from client import Client
from encoders.values import CLASSIFYING, Head
from hardware.calibration import Measure, calibrate
from hardware.errors import UnsupportedProfileError
from hardware.values import DeviceProfile, Effort, HardwareError, QuantileName
from protocol.calibration import CalibrationRecord
from protocol.quantity import format_seconds
from protocol.study import FEWEST_CALIBRATED, MOST_CALIBRATED
from search_space import Architecture, SearchSpace, SearchSpaceError, preset
from search_space.design import design, space_key
from search_space.errors import unknown
from search_space.latency_model import Agreement
from worker.workplace import unfinished_calibrations

Word = TypeVar("Word", Effort, QuantileName)

ENDINGS = (".json", ".csv")
VOCABULARY_SIZE = 30_522
"""BERT's: without a teacher nobody knows another one, and of the words only those of the text are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateOptions:
    """What was asked for, as it was written; None for what was not."""

    study_file: Path | None
    space: str | None
    target: str | None
    count: int
    effort: str
    quantile: str | None
    seed: int
    home: Path
    url: str | None
    output: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What is measured."""

    space: SearchSpace
    profile: DeviceProfile
    head: Head
    quantile: QuantileName
    effort: Effort


MeasureHere = Callable[[_Order, int], Measure]


def calibrate_here(options: CalibrateOptions, *, as_json: bool, measure: MeasureHere | None = None) -> ExitCode:
    """Measure, fit, keep it in the home, and print what came out.

    Raises:
        BadInputError: what was asked for cannot be done here.
        CliError: it broke.
        KeyboardInterrupt: stopped; what was measured is kept.
    """
    order = _order(options)
    _check(options, order)
    open_home(options.home)
    architectures = order.space.architectures(design(order.space, options.count, options.seed))
    told = make_console(stderr=True)
    say(told, f"{len(architectures)} of {order.space.size:,} architectures on {order.profile.label}")

    def observe(done: int, total: int, architecture: Architecture) -> None:
        say(told, f"{done + 1}/{total}  {architecture.label}")

    measure_one = (measure or _measuring)(order, options.seed)
    try:
        found = calibrate(
            architectures,
            order.profile,
            order.head,
            measure_one,
            effort=order.effort,
            quantile=order.quantile,
            space_key=space_key(order.space),
            seed=options.seed,
            kept=unfinished_calibrations(options.home),
            observe=observe,
        )
    except UnsupportedProfileError as error:
        raise BadInputError(str(error)) from error
    except HardwareError as error:
        raise CliError(f"{error}; what was measured is kept, and the same command goes on") from error
    record = CalibrationRecord.model_validate(found)
    with usable(options.home):
        file = keep(options.home, record)
    if options.output is not None:
        _write(options.output, record)
    if options.url is not None:
        with Client(options.url) as client:
            client.calibrations.upload(record)
    if as_json:
        print(json.dumps({"file": str(file), "id": record.id, "calibration": record.model_dump(mode="json")}, indent=2))
    else:
        _print(make_console(), record, file)
    return ExitCode.DONE


def _order(options: CalibrateOptions) -> _Order:
    effort = _named("--effort", Effort, options.effort)
    if options.study_file is None:
        return _Order(
            space=_for_target(
                _preset(options.space), profile := read_target(options.target) if options.target else DeviceProfile()
            ),
            profile=profile,
            head=Head(classes=2),
            quantile=_named("--quantile", QuantileName, options.quantile or QuantileName.P50),
            effort=effort,
        )
    given = {"--space": options.space, "--target": options.target, "--quantile": options.quantile}
    for option, value in given.items():
        if value is not None:
            raise BadInputError(f"{option} is for calibrating without a study file, which says that itself")
    spec = read_study(options.study_file)
    kind = spec.task.kind
    return _Order(
        space=_for_target(spec.space(), spec.target),
        profile=spec.target,
        # How many classes there are only the data know, and hardly anything depends on it.
        head=Head(kind=kind, classes=2 if kind in CLASSIFYING else 0),
        quantile=spec.judged_quantiles[0],
        effort=effort,
    )


def _for_target(space: SearchSpace, profile: DeviceProfile) -> SearchSpace:
    """The space with a vocabulary and positions that can be measured."""
    positions = max(512, profile.length)
    return replace(space, vocabulary_size=VOCABULARY_SIZE, max_positions=positions, token_types=2)


def _preset(name: str | None) -> SearchSpace:
    if name is None:
        raise BadInputError("name a study file, or a search space with --space")
    try:
        return preset(name)
    except SearchSpaceError as error:
        raise BadInputError(f"--space: {error}") from error


def _named(option: str, words: type[Word], name: str) -> Word:
    if name not in list(words):
        raise BadInputError(f"{option}: {unknown(words.__name__.lower(), name, map(str, words))}")
    return words(name)


def _check(options: CalibrateOptions, order: _Order) -> None:
    from hardware.backend import supports

    if not FEWEST_CALIBRATED <= options.count <= MOST_CALIBRATED:
        raise BadInputError(f"--count must be {FEWEST_CALIBRATED} to {MOST_CALIBRATED:,}, got {options.count}")
    if order.space.size < FEWEST_CALIBRATED:
        raise BadInputError(
            f"the search space has {order.space.size} architectures, too few to learn from: measure each of them"
        )
    reason = supports(order.profile)
    if reason is not None:
        raise BadInputError(f"cannot measure on {order.profile.label}: {reason}")
    output = options.output
    if output is not None and (output.suffix.lower() not in ENDINGS or not output.parent.is_dir() or output.is_dir()):
        raise BadInputError(f"--output {output}: name a .json or a .csv file in a folder that is there")


def _measuring(order: _Order, seed: int) -> Measure:
    from hardware.procedure import measure

    return partial(
        measure, head=order.head, profile=order.profile, effort=order.effort, quantiles=(order.quantile,), seed=seed
    )


def _write(output: Path, record: CalibrationRecord) -> None:
    text = _as_csv(record) if output.suffix.lower() == ".csv" else record.model_dump_json(indent=2) + "\n"
    try:
        output.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise BadInputError(f"--output {output} cannot be written: {error.strerror}") from error


def _as_csv(record: CalibrationRecord) -> str:
    """One line for each measured architecture."""
    lines = io.StringIO()
    table = csv.writer(lines)
    names = ("latency_s", "low_s", "high_s", "log_variance", "verdict", "source", "predicted_s", "measured_at")
    table.writerow(("architecture", "key", "shape", *names))
    for row in record.rows:
        shape = json.dumps(row.architecture.to_dict())
        table.writerow((row.architecture.label, row.architecture.key, shape, *(getattr(row, name) for name in names)))
    return lines.getvalue()


def _print(console: Console, record: CalibrationRecord, file: Path) -> None:
    console.print(_table(record))
    say(console, f"{record.profile.label}, {record.quantile}, hardware {record.hardware_key}")
    say(console, f"cross-validated  {_errors(record.cross_validated)}")
    if record.held_out is not None:
        say(console, f"held out         {_errors(record.held_out)}")
    for note in (*([record.flat] if record.flat else []), *record.notes):
        say(console, f"note: {note}")
    say(console, str(file))


def _table(record: CalibrationRecord) -> Table:
    """The rows by latency; what is predicted of each is said by a model that was not shown it."""
    table = new_table(
        "Calibration", "architecture", f"latency {record.quantile}", "source", "verdict", "predicted", "error"
    )
    for row in sorted(record.rows, key=lambda row: row.latency_s):
        table.add_row(
            row.architecture.label,
            format_seconds(row.latency_s),
            row.source,
            row.verdict,
            format_seconds(row.predicted_s),
            f"{row.predicted_s / row.latency_s - 1:+.1%}",
        )
    return table


def _errors(agreed: Agreement) -> str:
    rank = NONE if agreed.spearman is None else f"{agreed.spearman:.3f}"
    return (
        f"mean error {agreed.mape:.1%}, median {agreed.median_ape:.1%}, rank correlation {rank}, "
        f"{agreed.within:.0%} in the 95 % interval, of {agreed.count} architectures"
    )
