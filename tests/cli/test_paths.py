"""Paths that a shell hands on as they are, and that no file can have."""

from pathlib import Path

import pytest

from cli.errors import BadInputError
from cli.paths import expanded

STUDY = "name: demo\nteacher: {teacher}\ntask: {{dataset: {dataset}}}\n"
NOBODY = "~nobody-of-this-name/x"
LONG = "x" * 5000


def test_a_path_is_read_as_a_shell_does(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded("~/x") == Path("/home/me/x")
    assert expanded("a/~b") == Path("a/~b")
    with pytest.raises(BadInputError, match=r"^~nobody-of-this-name/x: there is no user 'nobody-of-this-name'"):
        expanded(NOBODY)
    with pytest.raises(BadInputError, match=r"^x{57}\.\.\.: cannot be looked at: File name too long$"):
        expanded(LONG)


@pytest.mark.parametrize("path", [NOBODY, LONG])
@pytest.mark.parametrize(
    "words",
    [
        ("run", "demo.yaml", "--home"),
        ("preview", "demo.yaml", "--home"),
        ("distill", "demo.yaml", "--output"),
        ("reproduce",),
        ("measure",),
        ("measure", "bert-base", "--output"),
        ("measure", "--architecture"),
        ("measure", "bert-base", "--target"),
        ("export", "demo", "--to"),
        ("study", "report", "demo", "--to"),
        ("study", "export", "demo", "--to"),
        ("backup", "--to"),
        ("doctor", "--home"),
        ("restore",),
        ("serve", "--config"),
        ("worker", "--config"),
        ("suggest", "--config"),
        ("token", "list", "--config"),
        ("run",),
        ("preview",),
        ("calibrate",),
        ("distill",),
        ("study", "create"),
    ],
)
def test_a_path_that_cannot_be_is_said_in_one_line(stillhouse, words, path):
    code, out, err = stillhouse(*words, path)
    assert (code, out) == (2, "")
    assert path[:40] in err
    assert "no user" in err or "too long" in err


@pytest.mark.parametrize("path", [NOBODY, LONG])
@pytest.mark.parametrize(("key", "line"), [("teacher", 2), ("dataset", 3)])
def test_a_path_in_a_study_file_that_cannot_be_is_said_by_line(stillhouse, tmp_path, key, line, path):
    file = tmp_path / "demo.yaml"
    file.write_text(STUDY.format(**({"teacher": "built-in", "dataset": "docstrings"} | {key: path})))
    code, out, err = stillhouse("preview", file)
    assert (code, out) == (2, "")
    assert err.startswith(f"stillhouse: {file}:{line}: {'task.' * (key == 'dataset')}{key}: {path[:40]}")
