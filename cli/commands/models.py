"""Commands for one model, without a service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.completion import efforts, forms, quantiles, words
from cli.errors import BadInputError, ExitCode
from cli.interrupts import Interrupts
from cli.names import study_name
from cli.options import DEFAULT_HOME, DEFAULT_URL, Home, Json, Url, file, folder

DEVICES = ("cpu", "cuda")


def distill(
    recipe_file: Annotated[
        Path,
        typer.Argument(parser=file, metavar="RECIPE.yaml", help="The distillation's file.", show_default=False),
    ],
    home: Home = DEFAULT_HOME,
    output: Annotated[
        Path | None,
        typer.Option(parser=folder, metavar="PATH", help="Folder of the checkpoint; distilled/NAME in the home."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.", autocompletion=words(*DEVICES))] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="Threads of training; 0 for every core.")] = 0,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that train it: one for each GPU, or so many on the CPU.")
    ] = 1,
    flash: Annotated[bool, typer.Option("--flash", help="A short distillation, as a study's trials get.")] = False,
    as_json: Json = False,
) -> None:
    """Distil one student without a service, from its file to its checkpoint; the same command continues it."""
    if device not in DEVICES:
        raise typer.BadParameter(f"--device is one of {', '.join(DEVICES)}, got {device!r}")
    from cli.resuming import DistillOptions, stopped_distillation

    options = DistillOptions(
        file=recipe_file,
        home=home.absolute(),
        output=None if output is None else output.absolute(),
        device=device,
        threads=threads,
        flash=flash,
        processes=processes,
    )
    interrupts = Interrupts()
    try:
        from cli.distilling import distill as distill_student

        raise typer.Exit(distill_student(options, interrupts, as_json=as_json))
    except KeyboardInterrupt:
        print(stopped_distillation(options), file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        interrupts.ignore()


def reproduce(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            parser=folder,
            metavar="CHECKPOINT",
            help="Folder of a checkpoint with its provenance.",
            show_default=False,
        ),
    ],
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Distil a checkpoint again from its provenance and compare: 0 reproduced, 1 not."""
    interrupts = Interrupts()
    try:
        from cli.reproducing import reproduce as reproduce_checkpoint

        home = home.absolute()
        raise typer.Exit(reproduce_checkpoint(checkpoint, home, interrupts, as_json=as_json))
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        interrupts.ignore()


def measure(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="Folder of a checkpoint, ours or Hugging Face's, a hub's id, or a known name such as bert-base.",
            show_default=False,
        ),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="device=cpu,runtime=torch,dtype=float32,batch=1,length=128,threads=1, or a YAML file with a `target`"
            " (repeat it).",
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(metavar="TEXT|FILE", help="Instead of MODEL: '{layers: 4, hidden_size: 256}', or a file of it."),
    ] = None,
    effort: Annotated[str, typer.Option(help="quick, search or report.", autocompletion=efforts)] = "search",
    quantiles: Annotated[
        list[str] | None,
        typer.Option("--quantile", help="p50, p90 or p99 shall be narrow (repeat it); p50.", autocompletion=quantiles),
    ] = None,
    grid: Annotated[bool, typer.Option("--grid", help="Batch 1, 8, 32 by length 32, 128, 384.")] = False,
    batches: Annotated[str | None, typer.Option("--grid-batches", help="Other batches of the grid: 1,4.")] = None,
    grid_lengths: Annotated[
        str | None, typer.Option("--grid-lengths", help="Other lengths of the grid: 64,256.")
    ] = None,
    lengths: Annotated[
        str | None,
        typer.Option(metavar="FILE|DATASET", help="Real texts, whose lengths are bucketed; the buckets are measured."),
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--column", help="Column of the texts (twice for pairs); found by default.")
    ] = None,
    buckets: Annotated[str | None, typer.Option(help="Lengths of the buckets; 16,32,64,128,256 by default.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Folder or hub's id of a tokenizer; the model's own.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(parser=file, metavar="FILE", help="Also write a .json, with raw samples, or a .csv file."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how fast a model is on this machine."""
    interrupts = Interrupts()
    try:
        from cli.measuring import MeasureOptions
        from cli.measuring import measure as measure_model

        options = MeasureOptions(
            model=model,
            architecture=architecture,
            targets=tuple(targets or ()),
            effort=effort,
            quantiles=tuple(quantiles or ()),
            grid=grid,
            batches=batches,
            grid_lengths=grid_lengths,
            lengths=lengths,
            columns=tuple(columns or ()),
            buckets=buckets,
            tokenizer=tokenizer,
            output=output,
        )
        raise typer.Exit(measure_model(options, as_json=as_json))
    except KeyboardInterrupt:
        print("stopped; nothing of it is kept", file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        interrupts.ignore()


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="STUDY|CHECKPOINT",
            help="The study's name; with --format the folder of a checkpoint.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            "--output",
            parser=folder,
            metavar="PATH",
            help="Folder to write to; of a study exports/STUDY in the home by default.",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="Write a checkpoint as huggingface, onnx or stablehlo.",
            autocompletion=forms,
        ),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Texts in a call of StableHLO; any by default.")] = None,
    length: Annotated[int | None, typer.Option(min=1, help="Tokens of a text in StableHLO; 128 by default.")] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="float32, or float16 (onnx) or bfloat16 (stablehlo); float32 by default.",
            autocompletion=words("float32", "float16", "bfloat16"),
        ),
    ] = None,
    platforms: Annotated[
        list[str] | None,
        typer.Option(
            "--platform",
            help="Platform of StableHLO (repeat it); cpu, cuda and tpu by default.",
            autocompletion=words("cpu", "cuda", "tpu"),
        ),
    ] = None,
    card_license: Annotated[
        str | None,
        typer.Option("--license", metavar="ID", help="Licence for the model cards of a study, such as apache-2.0."),
    ] = None,
    card_language: Annotated[
        str | None, typer.Option("--language", metavar="CODE", help="Language for the model cards, such as en.")
    ] = None,
    url: Url = DEFAULT_URL,
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Download the exported finalists of a study, or write a checkpoint for another runtime."""
    if form is not None:
        from cli.checkpoint_export import ExportOptions
        from cli.reading import convert

        options = ExportOptions(batch=batch, length=length, dtype=dtype, platforms=tuple(platforms or ()))
        return convert(Path(source), form, to, options, as_json=as_json)
    if (batch, length, dtype, platforms or None) != (None, None, None, None):
        raise typer.BadParameter("--batch, --length, --dtype and --platform belong to --format")
    try:
        name = study_name(source)
    except BadInputError as error:
        if source and Path(source).is_dir():
            raise BadInputError(f"{error}; to export a checkpoint's folder add --format") from error
        raise
    from cli import reading
    from cli.exports import Owner

    target = to if to is not None else home / "exports" / name
    owner = Owner(license=card_license, language=card_language)
    return reading.export(url, name, target.absolute(), owner, as_json=as_json)
