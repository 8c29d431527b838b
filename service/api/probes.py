"""For whoever starts, restarts and balances processes: does it live, and may it be asked.

These paths stand outside the API: they answer to any host and need no token, and tell nothing but this.
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from service.api.dependencies import Parts


def install(app: FastAPI) -> None:
    app.router.add_route("/healthz", healthz, include_in_schema=False)
    app.router.add_route("/readyz", readyz, include_in_schema=False)


async def healthz(_request: Request) -> Response:
    """The process lives, whatever its surroundings do: starting it again would mend none of them."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Whether requests should come here: 503 with the reasons where they should not."""
    parts: Parts = request.app.state.parts
    reasons = ["the replica is about to end"] if parts.drain.begun else await parts.readiness.lacks()
    if reasons:
        return JSONResponse({"status": "not ready", "reasons": reasons}, status_code=503)
    return JSONResponse({"status": "ready"})
