"""The commands that ask a service, against the real one."""

import json

import pytest

from cli.main import main
from client import Client

MODULES = ("reading", "reporting", "trial")


@pytest.fixture
def shell(connected, monkeypatch, capsys):
    """Runs the command in this process, its client connected with the service: (exit code, stdout, stderr)."""
    for module in MODULES:
        monkeypatch.setattr(f"cli.{module}.Client", lambda url, **options: Client(url, wire=connected, **options))

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([*map(str, arguments), *(() if "--url" in arguments else ("--url", "http://testserver"))])
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return run


@pytest.fixture
def numbers(study):
    """Of a finalist, and of the first trial."""
    return next(trial.number for trial in study.trials() if trial.finalist), 1


def test_a_finished_study_is_shown(shell, study):
    code, out, _ = shell("study", "show", "demo")
    assert code == 0
    assert "study demo  completed" in out
    found = json.loads(shell("study", "show", "demo", "--json")[1])
    assert (found["study"]["name"], len(found["trials"])) == ("demo", 6)
    assert "demo" in shell("study", "list")[1]
    assert [one["name"] for one in json.loads(shell("study", "list", "--json")[1])] == ["demo"]
    front = json.loads(shell("front", "demo", "--json")[1])
    assert [trial["number"] for trial in front["trials"]] == front["front"]["numbers"]
    assert "Front (flash fidelity, selection split)" in shell("front", "demo")[1]


def test_a_trial_is_shown_in_full(shell, numbers):
    code, out, _ = shell("trial", "show", "demo", numbers[0])
    assert code == 0
    for words in ("suggested by", "Architecture", "hidden_size", "Latency", "steady", "Flash distillation", "Finalist"):
        assert words in out
    assert "accuracy, report split" in out
    found = json.loads(shell("trial", "show", "demo", numbers[0], "--json")[1])
    assert found["number"] == numbers[0]
    assert found["finalist"]["state"] == "completed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("trial", "show", "demo", 99), "study 'demo' has no trial 99"),
        (("trial", "show", "dema", 1), "there is no study 'dema'; did you mean 'demo'?"),
        (("study", "report", "dema"), "there is no study 'dema'"),
    ],
)
def test_what_is_not_there_is_said(shell, study, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = shell(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert not list(tmp_path.glob("*.html"))


def test_a_report_is_one_file_with_the_finalists(shell, study, tmp_path):
    target = tmp_path / "demo.html"
    code, out, _ = shell("study", "report", "demo", "--to", target)
    assert (code, out) == (0, f"{target}\n")
    text = target.read_text()
    assert "Finalists (full fidelity, report split)" in text
    for trial in study.trials():
        if trial.finalist is not None:
            assert f"{trial.finalist.evaluation.report.value:.3f}" in text
    assert "https://" not in text
