"""What the guide of the client shows is run as it stands."""

import re

import pytest

from client import Client


@pytest.fixture
def blocks(pytestconfig):
    return re.findall(r"```python\n(.*?)```", (pytestconfig.rootpath / "docs/guides/client.md").read_text(), re.DOTALL)


def test_the_guide_runs_from_its_first_line_to_its_last(blocks, study, connected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("client.Client", lambda url: Client(url, wire=connected))
    found = {}
    for block in blocks:
        exec(block, found)
    assert found["study"].name == "demo"
    assert found["folder"] == tmp_path / "student"
    assert (found["folder"] / "config.json").is_file()
    assert f"{len(study.trials())} " in capsys.readouterr().out
