"""The reference of the REST API, from its OpenAPI document and from the table of who may do what."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from cli.reference.markdown import code, table
from protocol.tokens import Scope
from service.api.access import ACCESS, ADMIN
from service.app import create_app
from service.settings import Settings, sqlite_url

HEAD = """\
# The REST API, route by route

Written by `python -m cli.reference api.md` from the document that every service has at `/v1/openapi.json`, where also
every field stands, with an example of each. Guides: [how to use it](../guides/api.md),
[tokens and scopes](../guides/security.md).
"""


def reference() -> str:
    """The whole page, in Markdown."""
    document = _document()
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    shared = set.intersection(*(set(operation["responses"]) for _, _, operation in operations))
    answers = operations[0][2]["responses"]
    lines = [HEAD, "## Statuses of every route\n"]
    lines += table(["status", "when"], ([status, answers[status]["description"]] for status in sorted(shared)))
    by_tag = sorted(operations, key=lambda one: one[2]["tags"][0])
    for tag, group in groupby(by_tag, key=lambda one: one[2]["tags"][0]):
        lines += [f"## {tag}\n", *table(["route", "scopes", "what it does", "own statuses"], _rows(group, shared))]
    return "\n".join(lines).rstrip() + "\n"


def _document() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        return create_app(Settings(home=home, database_url=sqlite_url(home))).openapi()


def _rows(group: Iterable[tuple[str, str, dict[str, Any]]], shared: Collection[str]) -> Iterator[list[str]]:
    for method, path, operation in group:
        scopes = ACCESS.get(f"{method} {path}", ADMIN)
        able = "anybody" if scopes is None else ", ".join(scope for scope in Scope if scope in scopes)
        own = sorted(set(operation["responses"]) - set(shared))
        yield [code(f"{method} {path}"), able, operation["summary"], ", ".join(own)]
