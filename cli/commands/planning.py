"""Commands that tell before a search what it will meet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.completion import efforts, quantiles
from cli.errors import ExitCode
from cli.interrupts import Interrupts
from cli.options import DEFAULT_HOME, Home, Json, StudyFile, file


def preview(study_file: StudyFile, home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Check a study file and show what it would search; starts nothing."""
    from cli import reading

    reading.preview(study_file, home.absolute(), as_json=as_json)


def calibrate(
    study_file: Annotated[
        Path | None,
        typer.Argument(
            parser=file, metavar="[STUDY.yaml]", help="The study whose space and target it is.", show_default=False
        ),
    ] = None,
    space: Annotated[
        str | None, typer.Option(metavar="PRESET", help="Without a study file: the search space, such as bert.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="TARGET", help="device=cpu,runtime=torch,dtype=float32,batch=1,length=128,threads=1."),
    ] = None,
    count: Annotated[int, typer.Option(help="Architectures to measure.")] = 64,
    effort: Annotated[str, typer.Option(help="quick, search or report.", autocompletion=efforts)] = "search",
    quantile: Annotated[
        str | None, typer.Option(help="p50, p90 or p99; p50 by default.", autocompletion=quantiles)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of architectures.")] = 0,
    home: Home = DEFAULT_HOME,
    url: Annotated[str | None, typer.Option(help="Also send it to the service at this address.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(parser=file, metavar="FILE", help="Also write a .json file, or the rows as a .csv file."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure architectures of a space on this machine and learn how long all others take."""
    interrupts = Interrupts()
    try:
        from cli.calibrating import CalibrateOptions, calibrate_here

        options = CalibrateOptions(
            study_file=study_file,
            space=space,
            target=target,
            count=count,
            effort=effort,
            quantile=quantile,
            seed=seed,
            home=home.absolute(),
            url=url,
            output=None if output is None else output.absolute(),
        )
        raise typer.Exit(calibrate_here(options, as_json=as_json))
    except KeyboardInterrupt:
        print("stopped; what was measured is kept, and the same command goes on", file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        interrupts.ignore()
