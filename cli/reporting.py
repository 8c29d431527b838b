"""`stillhouse study report`: asks the service once and writes one file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cli.display import make_console, say
from cli.errors import BadInputError
from cli.reading import PATIENCE_S
from cli.report import report_html
from client import Client


def report(url: str, name: str, file: Path) -> None:
    """Raises: BadInputError: the file cannot be written."""
    if file.is_dir() or not file.parent.is_dir():
        raise BadInputError(f"--to {file}: name a file, such as {name}.html, in a folder that is there")
    with Client(url, patience_s=PATIENCE_S) as client:
        study, trials, front = client.studies.view(name), client.studies.trials(name), client.studies.front(name)
    text = report_html(study, trials, front, datetime.now(UTC))
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"--to {file} cannot be written: {error.strerror}") from error
    say(make_console(), str(file))
