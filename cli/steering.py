"""Commands that change a study of a running service, or follow it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from cli.display import Display, make_console, say
from cli.errors import BadInputError, ExitCode
from cli.reading import PATIENCE_S
from client import Client, Study
from protocol.changes import ExtendStudy
from protocol.mistakes import explained
from protocol.views import StudyState

FORMATS = ("csv", "json", "parquet")


def change(url: str, name: str, how: Callable[[Study], Study], *, as_json: bool) -> None:
    """Change the study and say what it is now."""
    with Client(url, patience_s=PATIENCE_S) as client:
        study = how(client.studies.get(name))
    if as_json:
        print(json.dumps(study.view.model_dump(mode="json"), indent=2))
        return
    budget = study.spec.budget
    say(make_console(), f"study {study.name}  {study.state}  {study.view.spent_trials} of {budget.trials} trials")


def extend(url: str, name: str, totals: Mapping[str, float | None], *, as_json: bool) -> None:
    """Raises: BadInputError: a total that no budget can have."""
    try:
        wanted = ExtendStudy.model_validate(totals)
    except ValidationError as error:
        raise BadInputError("\n".join(str(mistake) for mistake in explained(error.errors(), ExtendStudy))) from error
    change(url, name, lambda study: study.extend(**wanted.totals), as_json=as_json)


def delete(url: str, name: str, *, is_sure: Callable[[Study], bool], as_json: bool) -> None:
    """Raises: BadInputError: it was not wanted after all."""
    with Client(url, patience_s=PATIENCE_S) as client:
        study = client.studies.get(name)
        if not is_sure(study):
            raise BadInputError(f"study {name} is kept; --yes deletes it without a question")
        study.delete()
    if as_json:
        print(json.dumps({"deleted": name}))
    else:
        say(make_console(), f"study {name}  deleted")


def watch(url: str, name: str, *, as_json: bool) -> ExitCode:
    """Show the study until it rests; with JSON a line for each change."""
    with Client(url) as client:
        study = client.studies.get(name)
        if as_json:
            for view in study.watch():
                print(view.model_dump_json(), flush=True)
        else:
            with Display(make_console()) as display:
                for view in study.watch():
                    display.show(view, client.studies.trials(name))
    return ExitCode.FAILED if study.state is StudyState.FAILED else ExitCode.DONE


def export(url: str, name: str, form: str | None, target: Path | None) -> None:
    """The trials as a table, into a file or to stdout.

    Raises:
        BadInputError: no such format, or the file cannot be written.
    """
    chosen = form or (target.suffix.removeprefix(".").lower() if target is not None else FORMATS[0])
    if chosen not in FORMATS:
        raise BadInputError(f"--format is one of {', '.join(FORMATS)}, got {chosen!r}")
    if target is None and chosen == "parquet" and sys.stdout.isatty():
        raise BadInputError("parquet is no text: name a file with --to")
    with Client(url, patience_s=PATIENCE_S) as client:
        content = b"".join(client.studies.export(name, chosen))
    if target is None:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    try:
        target.write_bytes(content)
    except OSError as error:
        raise BadInputError(f"--to {target} cannot be written: {error.strerror}") from error
    say(make_console(), str(target))
