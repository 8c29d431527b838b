"""What Prometheus reads, over HTTP."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service.api.dependencies import PartsOf

router = APIRouter(tags=["service"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(parts: PartsOf) -> Response:
    """This replica's request latencies, and the numbers of the store."""
    return Response(parts.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
