"""What the guide of the client shows is run as it stands."""

import re
import threading
from contextlib import nullcontext

import pytest

from client import Client
from protocol.views import StudyState
from service.suggester import Suggester


@pytest.fixture
def blocks(pytestconfig):
    return re.findall(r"```python\n(.*?)```", (pytestconfig.rootpath / "docs/guides/client.md").read_text(), re.DOTALL)


def test_the_guide_runs_from_its_first_line_to_its_last(blocks, study, connected, store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("client.Client", lambda url: Client(url, wire=connected))
    over = threading.Event()
    suggester = Suggester(store, nullcontext)

    def suggest():
        while not over.wait(0.05):
            suggester.step()

    thread = threading.Thread(target=suggest)
    thread.start()
    found = {"evaluate": lambda shape: {"accuracy": 0.5 + shape.layers / 10, "energy": float(shape.hidden_size)}}
    try:
        for block in blocks:
            exec(block, found)
    finally:
        over.set()
        thread.join()
    assert found["study"].state is StudyState.COMPLETED
    assert found["study"].name == "outside"
    assert found["folder"] == tmp_path / "student"
    assert (found["folder"] / "config.json").is_file()
    assert f"{len(study.trials())} " in capsys.readouterr().out
