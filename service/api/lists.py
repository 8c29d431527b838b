"""Lists in pages over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response

from service.operations.paging import MOST, Item, Page

Limit = Annotated[int, Query(ge=1, le=MOST, description="Items of one page.")]
Cursor = Annotated[str | None, Query(max_length=500, description="Where the page begins; from the `Link` of the last.")]

LINK = {"Link": {"description": '`<URL>; rel="next"` where another page follows.', "schema": {"type": "string"}}}


def sent(found: Page[Item], request: Request, response: Response) -> tuple[Item, ...]:
    """The page's items; the answer names the next page, if there is one."""
    if found.cursor is not None:
        # Without host and scheme: a proxy may have others.
        url = request.url.include_query_params(cursor=found.cursor)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return found.items
