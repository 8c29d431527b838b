import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.dashboard.assets import HERE, mount_static, plotly_address, plotly_script

MARKUP = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
STATIC = sorted(path.name for path in (HERE / "static").iterdir())


@pytest.fixture(scope="module")
def client():
    app = FastAPI()
    mount_static(app)
    with TestClient(app) as client:
        yield client


def test_plotly_comes_out_of_the_installed_package(client):
    response = client.get(plotly_address())
    assert response.status_code == 200
    assert response.content == plotly_script().read_bytes()
    assert len(response.content) > 1_000_000
    assert response.headers["content-type"].startswith("text/javascript")


def test_browsers_keep_plotly_until_its_version_changes(client):
    assert version("plotly") in plotly_address()
    assert "immutable" in client.get(plotly_address()).headers["cache-control"]
    assert client.get(plotly_address().partition("?")[0]).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", STATIC)
def test_own_files_are_served_and_asked_for_again(client, name):
    response = client.get(f"/static/{name}")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-cache"
    again = client.get(f"/static/{name}", headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304
    kind = {".js": "javascript", ".css": "text/css", ".svg": "image/svg+xml"}[Path(name).suffix]
    assert kind in response.headers["content-type"]


@pytest.mark.parametrize("path", ["/static/../pages.py", "/static/%2e%2e/pages.py", "/static/nothing.js", "/static/"])
def test_nothing_else_is_served(client, path):
    assert client.get(path).status_code == 404


def test_scripts_import_only_each_other_and_never_write_markup():
    for path in (HERE / "static").glob("*.js"):
        text = path.read_text()
        assert not any(word in text for word in MARKUP)
        lines = [line for line in text.splitlines() if line.startswith("import ")]
        imported = [line.rpartition(" from ")[2].strip('";') for line in lines]
        for name in imported:
            assert name.startswith("./")
            assert (path.parent / name).is_file()


def test_pages_do_not_load_what_is_slow():
    code = (
        "import sys, service.dashboard.pages, service.dashboard.assets as assets; assets.plotly_script();"
        "print(sorted({'torch', 'jax', 'ax', 'transformers', 'plotly'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
