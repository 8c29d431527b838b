"""How much a browser fetches for a page, apart from Plotly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.dashboard.assets import HERE
from service.dashboard.pages import studies_page, study_page

MOST_BYTES = 200_000


def files_of(source: str) -> set[Path]:
    """Our own files that a page names, and what those import."""
    waiting = {HERE / "static" / name for name in re.findall(r'"/static/([\w.-]+)"', source)}
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        found.add(path)
        if path.suffix == ".js":
            imported = re.findall(r'(?:from|import) ?"\./([\w.-]+)"', path.read_text())
            waiting |= {path.parent / name for name in imported} - found
    return found


@pytest.mark.parametrize("name", ["studies", "study"])
def test_page_is_light(study, name):
    page = study_page(study()) if name == "study" else studies_page([study()])
    files = files_of(page.body.decode())
    assert {path.suffix for path in files} == {".js", ".css", ".svg"}
    assert len(page.body) + sum(path.stat().st_size for path in files) <= MOST_BYTES
