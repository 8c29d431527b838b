"""The files behind the pages: our own, and Plotly's script out of the installed package."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

HERE = Path(__file__).parent
_PLOTLY_PATH = "/static/plotly.min.js"
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_IMPORTED = re.compile(r"""^(?:import|export) .*from "\./([\w.-]+)";$""", re.MULTILINE)


def mount_static(app: FastAPI) -> None:
    """Serve what the pages need below `/static`."""
    app.add_route(_PLOTLY_PATH, _plotly, methods=["GET"], include_in_schema=False)
    app.mount("/static", _Static(directory=HERE / "static"), name="static")


def plotly_address() -> str:
    """Where the pages find Plotly; changes with its version, so that browsers may keep it for good."""
    return f"{_PLOTLY_PATH}?version={version('plotly')}"


@cache
def plotly_script() -> Path:
    """Plotly's script, found without importing the package (that takes long).

    Raises:
        FileNotFoundError: plotly is not installed, or has no script where it should be.
    """
    spec = find_spec("plotly")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        script = Path(folder, "package_data", "plotly.min.js")
        if script.is_file():
            return script
    raise FileNotFoundError("plotly.min.js is missing; install the `server` extra: pip install 'stillhouse[server]'")


@cache
def modules_of(name: str) -> tuple[str, ...]:
    """The modules that this one imports, directly or not: to be fetched at once, not one import after another."""
    found: list[str] = [name]
    for module in found:  # grows meanwhile
        text = (HERE / "static" / module).read_text(encoding="utf-8")
        found += [each for each in dict.fromkeys(_IMPORTED.findall(text)) if each not in found]
    return tuple(found[1:])


class _Static(StaticFiles):
    """Our own files change without a new address, so browsers ask every time whether theirs is the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = _ASK_AGAIN
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


async def _plotly(request: Request) -> Response:
    versioned = "version" in request.query_params
    headers = {"Cache-Control": _FOREVER if versioned else _ASK_AGAIN, "X-Content-Type-Options": "nosniff"}
    return FileResponse(plotly_script(), media_type="text/javascript", headers=headers)
