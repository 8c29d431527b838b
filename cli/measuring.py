"""`stillhouse measure`: how fast a model is on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from cli.display import make_console, say
from cli.errors import BadInputError, ExitCode
from cli.lengths import lengths_of
from cli.measurements import (
    Result,
    as_csv,
    described,
    environment_lines,
    grid_table,
    lengths_lines,
    lengths_table,
    single_table,
)
from cli.models import Model, find_model
from cli.target import read_target
from encoders.values import Head
from hardware.errors import BusyError, UnsupportedProfileError
from hardware.grid import BATCHES, LENGTHS, Cell, check_supported, grid, measure_grid
from hardware.histogram import BUCKETS, Histogram, expectation, histogram
from hardware.lock import measuring
from hardware.procedure import measure as measure_profile
from hardware.values import Device, DeviceProfile, Effort, Measurement, QuantileName
from protocol.quantity import format_count
from search_space import Architecture, parameter_count
from search_space.errors import unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """What was asked for, as it was written; None for what was not."""

    model: str | None = None
    architecture: str | None = None
    targets: tuple[str, ...] = ()
    effort: str = Effort.SEARCH
    quantiles: tuple[str, ...] = ()
    grid: bool = False
    batches: str | None = None
    grid_lengths: str | None = None
    lengths: str | None = None
    columns: tuple[str, ...] = ()
    buckets: str | None = None
    tokenizer: str | None = None
    output: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What is measured for one target."""

    target: DeviceProfile
    profiles: tuple[DeviceProfile, ...]
    lengths: Histogram | None = None


def measure(options: MeasureOptions, *, as_json: bool) -> ExitCode:
    """Measure and print; `FAILED` if anything that was tried could not be measured, or nothing was tried.

    Raises:
        BadInputError: what was asked for cannot be done here; nothing was measured then.
        KeyboardInterrupt: stopped; nothing is left running.
    """
    effort, quantiles = _effort(options.effort), _quantiles(options.quantiles)
    _check_output(options.output)
    _check_together(options)
    targets = [read_target(text) for text in options.targets]
    _check_supported(targets)  # before a model is read, or texts are
    model = find_model(options.model, options.architecture)
    orders = _orders(options, model, targets or [_default_target(model)])
    _check_supported(profile for order in orders for profile in order.profiles)
    told = make_console(stderr=True)
    results = [_result(order, model, effort, quantiles, told) for order in orders]
    if as_json:
        print(json.dumps(described(model, results, with_samples=False), indent=2))
    else:
        _print(model, results, is_grid=_is_grid(options))
    if options.output is not None:  # last: where it cannot be written, the numbers are still told
        _write(options.output, model, results)
    cells = [cell for result in results for cell in result.cells]
    tried = [cell for cell in cells if not cell.left_out]
    is_complete = bool(tried) and all(cell.measurement is not None for cell in tried)
    return ExitCode.DONE if is_complete else ExitCode.FAILED


def _result(
    order: _Order, model: Model, effort: Effort, quantiles: tuple[QuantileName, ...], console: Console
) -> Result:
    def one(
        architecture: Architecture,
        head: Head,
        profile: DeviceProfile,
        effort: Effort,
        *,
        quantiles: tuple[QuantileName, ...],
        checkpoint: Path | None,
        seed: int,
    ) -> Measurement:
        return measure_profile(
            architecture,
            head,
            profile,
            effort,
            quantiles=quantiles,
            checkpoint=checkpoint,
            seed=seed,
            lock=lambda device: _patiently(device, console),
        )

    cells = measure_grid(
        model.architecture,
        model.head,
        order.profiles,
        effort,
        quantiles=quantiles,
        checkpoint=model.checkpoint,
        measure_one=one,
        before=lambda profile: say(console, f"measuring {model.name} on {profile.label}, effort {effort}"),
    )
    if order.lengths is None:
        return Result(target=order.target, cells=cells)
    found = {cell.profile.length: cell.measurement for cell in cells if cell.measurement is not None}
    is_whole = all(bucket.length in found for bucket in order.lengths.buckets if bucket.texts)
    return Result(
        target=order.target,
        cells=cells,
        lengths=order.lengths,
        expected=expectation(order.lengths, found) if is_whole else None,
    )


@contextmanager
def _patiently(device: Device, console: Console) -> Iterator[None]:
    """Have the device alone; says so where that takes waiting."""
    with ExitStack() as held:
        try:
            held.enter_context(measuring(device, wait=False))
        except BusyError as error:
            say(console, f"waiting for the {device}: {error}")
            held.enter_context(measuring(device))
        yield


def _orders(options: MeasureOptions, model: Model, targets: Sequence[DeviceProfile]) -> list[_Order]:
    if options.lengths is not None:
        seen = _lengths(options, model)
        # The longest is measured too: what is gained by buckets is told against it.
        edges = [bucket.length for bucket in seen.buckets if bucket.texts or bucket is seen.buckets[-1]]
        return [
            _Order(target=target, profiles=tuple(replace(target, length=edge) for edge in edges), lengths=seen)
            for target in targets
        ]
    if _is_grid(options):
        batches = BATCHES if options.batches is None else _numbers("--grid-batches", options.batches)
        lengths = LENGTHS if options.grid_lengths is None else _numbers("--grid-lengths", options.grid_lengths)
        try:
            return [_Order(target=target, profiles=grid(target, batches, lengths)) for target in targets]
        except ValueError as error:
            raise BadInputError(f"--grid: {error}") from error
    longest = model.architecture.max_positions
    for target in targets:
        if target.length > longest:
            raise BadInputError(
                f"--target: length {target.length} is beyond the {longest} positions of {model.name}; write"
                f" length={longest} or less"
            )
    return [_Order(target=target, profiles=(target,)) for target in targets]


def _lengths(options: MeasureOptions, model: Model) -> Histogram:
    assert options.lengths is not None
    tokenizer = options.tokenizer or model.tokenizer
    if tokenizer is None:
        raise BadInputError(f"{model.name} has no tokenizer to count tokens with; name one with --tokenizer")
    buckets = BUCKETS if options.buckets is None else _numbers("--buckets", options.buckets)
    lengths = lengths_of(options.lengths, options.columns, tokenizer)
    try:
        return histogram(lengths, buckets, model.architecture.max_positions)
    except ValueError as error:
        raise BadInputError(f"--lengths: {error}") from error


def _is_grid(options: MeasureOptions) -> bool:
    return options.grid or options.batches is not None or options.grid_lengths is not None


def _check_supported(profiles: Iterable[DeviceProfile]) -> None:
    try:
        check_supported(profiles)
    except UnsupportedProfileError as error:
        raise BadInputError(str(error)) from error


def _check_together(options: MeasureOptions) -> None:
    if _is_grid(options) and options.lengths is not None:
        raise BadInputError("--grid and --lengths are two ways to choose lengths; give one of them")
    if options.lengths is None:
        for name in ("columns", "buckets", "tokenizer"):
            if getattr(options, name):
                raise BadInputError(f"--{name.removesuffix('s') if name == 'columns' else name} belongs to --lengths")


def _default_target(model: Model) -> DeviceProfile:
    """Of a model that reads less than such a text, its longest."""
    default = DeviceProfile()
    return replace(default, length=min(default.length, model.architecture.max_positions))


def _effort(name: str) -> Effort:
    if name not in list(Effort):
        raise BadInputError(f"--effort: {unknown('effort', name, map(str, Effort))}")
    return Effort(name)


def _quantiles(names: Sequence[str]) -> tuple[QuantileName, ...]:
    for name in names:
        if name not in list(QuantileName):
            raise BadInputError(f"--quantile: {unknown('quantile', name, map(str, QuantileName))}")
    return tuple(name for name in QuantileName if name in names) or (QuantileName.P50,)


def _numbers(option: str, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise BadInputError(f"{option}: write whole numbers with commas between them, such as 16,32; got {text!r:.60}")
    return tuple(map(int, parts))


def _check_output(output: Path | None) -> None:
    if output is None:
        return
    if output.suffix.lower() not in (".json", ".csv"):
        raise BadInputError(f"--output {output}: name a .json file (with raw samples) or a .csv file")
    if output.is_dir() or not output.parent.is_dir():
        what = "is a folder" if output.is_dir() else f"cannot be written: there is no folder {output.parent}"
        raise BadInputError(f"--output {output} {what}")


def _write(output: Path, model: Model, results: Sequence[Result]) -> None:
    is_csv = output.suffix.lower() == ".csv"
    text = as_csv(results) if is_csv else json.dumps(described(model, results, with_samples=True)) + "\n"
    try:
        output.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise BadInputError(f"--output {output} cannot be written: {error.strerror}") from error


def _print(model: Model, results: Sequence[Result], *, is_grid: bool) -> None:
    console = make_console()
    size = format_count(parameter_count(model.architecture))
    label = model.architecture.label
    say(console, f"{model.name}{'' if label == model.name else f'  {label}'}  {size} encoder parameters")
    for note in model.notes:
        say(console, f"note: {note}")
    if not is_grid and all(result.lengths is None for result in results):
        cells: list[Cell] = [cell for result in results for cell in result.cells]
        console.print(single_table(cells))
        for line in environment_lines(cells):
            say(console, line)
        return
    for result in results:
        say(console, _of_target(result))
        console.print(grid_table(result.cells) if result.lengths is None else lengths_table(result))
        if result.lengths is not None:
            for line in lengths_lines(result):
                say(console, line)


def _of_target(result: Result) -> str:
    first = next((cell.measurement for cell in result.cells if cell.measurement is not None), None)
    target = result.target
    batch = "" if result.lengths is None else f", batch {target.batch}"
    words = f"{target.device} {target.runtime} {target.dtype}, threads {target.threads}{batch}"
    return words if first is None else f"{words}, {first.source}, effort {first.effort}, hardware {first.hardware_key}"
