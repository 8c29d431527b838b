"""Commands that ask a running service about its studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_URL, Json, Name, StudyFile, Url, folder


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
        Path | None, typer.Option("--to", parser=folder, metavar="FILE.html", help="File to write; STUDY.html here.")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Write a study as one HTML file, for people without the service."""
    from cli.reporting import report

    report(url, name, (Path(f"{name}.html") if to is None else to).expanduser().absolute())


def front(name: Name, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Show the front of a study."""
    from cli import reading

    reading.front(url, name, as_json=as_json)


def trial_show(
    name: Name,
    number: Annotated[int, typer.Argument(metavar="TRIAL", min=1, help="The trial's number.", show_default=False)],
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Show one trial: its architecture, why it was suggested, what was measured of it."""
    from cli import trial

    trial.show(url, name, number, as_json=as_json)
