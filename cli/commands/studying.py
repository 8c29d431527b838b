"""Commands that ask a running service about its studies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.completion import metrics as metric_names
from cli.completion import tables
from cli.errors import ExitCode
from cli.options import DEFAULT_URL, Json, Name, StudyFile, Url, file

if TYPE_CHECKING:
    from client import Study


def study_create(study_file: StudyFile, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Start the study of a file at a running service."""
    from cli import reading

    reading.create(url, study_file, as_json=as_json)


def study_list(url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """List the studies."""
    from cli import reading

    reading.list_studies(url, as_json=as_json)


def study_show(name: Name, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Show a study and its trials."""
    from cli import reading

    reading.show(url, name, as_json=as_json)


def study_report(
    name: Name,
    to: Annotated[
        Path | None, typer.Option("--to", parser=file, metavar="FILE.html", help="File to write; STUDY.html here.")
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Write a study as one HTML file, for people without the service."""
    from cli.reporting import report

    report(url, name, (Path(f"{name}.html") if to is None else to).absolute(), as_json=as_json)


def study_schema(
    distillation: Annotated[
        bool, typer.Option("--distillation", help="That of the files of `stillhouse distill` in its place.")
    ] = False,
) -> None:
    """Print the JSON Schema of study files, for editors; asks no service."""
    from protocol import study_schema

    schema = study_schema.distillation_schema() if distillation else study_schema.study_schema()
    print(study_schema.schema_text(schema), end="")


def study_watch(name: Name, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Follow a study until it has ended or is stopped; 1 if it failed."""
    try:
        from cli.steering import watch

        raise typer.Exit(watch(url, name, as_json=as_json))
    except KeyboardInterrupt:
        print(f"the study goes on; `stillhouse study stop {name}` stops it", file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def study_stop(name: Name, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Stop a study: nothing of it is worked on until it is resumed."""
    from cli.steering import change

    change(url, name, lambda study: study.stop(), as_json=as_json)


def study_resume(name: Name, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Let a stopped study go on where it was."""
    from cli.steering import change

    change(url, name, lambda study: study.resume(), as_json=as_json)


def study_extend(
    name: Name,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials in all, more than before.")] = None,
    finalists: Annotated[int | None, typer.Option(min=1, help="Finalists in all, more than before.")] = None,
    device_hours: Annotated[
        float | None, typer.Option(min=0, help="Hours of workers in all, more than before.")
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Give a study a larger budget; one that was completed searches on."""
    if trials is None and finalists is None and device_hours is None:
        raise typer.BadParameter("name the new totals with --trials, --finalists or --device-hours")
    from cli.steering import extend

    extend(url, name, {"trials": trials, "finalists": finalists, "device_hours": device_hours}, as_json=as_json)


def study_delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Without a question.")] = False,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Remove all that is stored of a study that has ended or is stopped."""
    from cli.steering import delete

    def is_sure(study: Study) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            return False
        from cli.tables import counted

        return typer.confirm(f"delete study {name} with {counted(sum(study.view.trials.values()), 'trial')}?")

    delete(url, name, is_sure=is_sure, as_json=as_json)


def study_export(
    name: Name,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="csv, json or parquet; as the file's ending, or csv.",
            autocompletion=tables,
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", parser=file, metavar="FILE", help="File to write; stdout by default.")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Write a study's trials as a table."""
    from cli.steering import export

    export(url, name, form, None if to is None else to.absolute())


def front(
    name: Name,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="Metric of another front (repeat it); the study's objectives.",
            autocompletion=metric_names,
        ),
    ] = None,
    constraints: Annotated[
        list[str] | None, typer.Option("--constraint", help="Such as 'latency_p50 <= 4 ms' (repeat it).")
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Show the front of a study."""
    from cli import reading

    reading.front(url, name, metrics or (), constraints or (), as_json=as_json)


def trial_show(
    name: Name,
    number: Annotated[int, typer.Argument(metavar="TRIAL", min=1, help="The trial's number.", show_default=False)],
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Show one trial: its architecture, why it was suggested, what was measured of it."""
    from cli import trial

    trial.show(url, name, number, as_json=as_json)
