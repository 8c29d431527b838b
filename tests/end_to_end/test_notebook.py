"""The notebook runs top to bottom against a service and a worker, as its first lines say."""

import os

import nbformat
import pytest

from cli.ports import free_port
from client import Client

START_S, CELL_S = 60.0, 300


@pytest.fixture
def address(stillhouse):
    """A service and a worker, started as the notebook says."""
    url = f"http://127.0.0.1:{(port := free_port(0))}"
    started = [stillhouse.start("serve", "--port", str(port))]
    try:
        with Client(url, patience_s=START_S) as client:
            client.studies.list()  # asked until it answers
        started.append(stillhouse.start("worker", "--url", url))
        yield url
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.communicate(timeout=30)


@pytest.mark.chaos
def test_the_notebook_runs_top_to_bottom(address, stillhouse, pytestconfig, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("STILLHOUSE_URL", address)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    paths = [str(pytestconfig.rootpath), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    notebook = nbformat.read(pytestconfig.rootpath / "examples" / "first_study.ipynb", as_version=4)
    ran = NotebookClient(
        notebook, timeout=CELL_S, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    said = "\n".join(output.get("text", "") for cell in ran.cells for output in cell.get("outputs", ()))
    assert "completed: 4 of 4 trials" in said, said + stillhouse.logs()
    assert "on the report split" in said
    assert (tmp_path / "first-student" / "config.json").is_file()


def test_the_notebook_is_kept_without_outputs(pytestconfig):
    """They would be numbers of somebody's machine."""
    notebook = nbformat.read(pytestconfig.rootpath / "examples" / "first_study.ipynb", as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
