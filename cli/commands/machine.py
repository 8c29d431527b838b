"""Commands about this machine."""

from __future__ import annotations

import typer

from cli.options import DEFAULT_HOME, DEFAULT_URL, Home, Json, Url


def doctor(home: Home = DEFAULT_HOME, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Say what this machine can do, what is missing and how to install it; 1 if it could not run a study."""
    from cli.diagnosis import report

    raise typer.Exit(report(home.absolute(), url, as_json=as_json))
