"""The commands that ask a service, against the real one."""

import json

import pytest

from cli.main import main
from client import Client

MODULES = ("reading", "reporting", "steering", "trial")


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


@pytest.mark.parametrize(("word", "offered"), [("de", ["demo"]), ("", ["demo"]), ("x", [])])
def test_a_shell_completes_the_names_of_studies(shell, study, connected, monkeypatch, word, offered):
    monkeypatch.setattr("client.Client", lambda url, **options: Client("http://testserver", wire=connected, **options))
    monkeypatch.setenv("_STILLHOUSE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"stillhouse front {word}")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert shell()[1].split() == offered


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


def test_a_study_is_stopped_resumed_extended_and_deleted(shell, client, spec):
    client.studies.create(spec)
    assert shell("study", "stop", "demo") == (0, "study demo  stopped  0 of 6 trials\n", "")
    assert json.loads(shell("study", "resume", "demo", "--json")[1])["state"] == "preparing"
    assert shell("study", "extend", "demo", "--trials", "9")[1] == "study demo  preparing  0 of 9 trials\n"
    code, _, err = shell("study", "delete", "demo", "--yes")
    assert code == 2
    assert "stop" in err
    shell("study", "stop", "demo")
    code, _, err = shell("study", "delete", "demo")
    assert code == 2
    assert "study demo is kept; --yes deletes it without a question" in err
    assert shell("study", "delete", "demo", "--yes") == (0, "study demo  deleted\n", "")
    assert json.loads(shell("study", "list", "--json")[1]) == []


def test_a_study_is_given_more_device_hours(shell, client, spec):
    spec["budget"]["device_hours"] = 1
    client.studies.create(spec)
    extended = json.loads(shell("study", "extend", "demo", "--device-hours", "1.5", "--json")[1])
    assert extended["spec"]["budget"]["device_hours"] == 1.5
    code, out, err = shell("study", "extend", "demo", "--device-hours", "1.5")
    assert (code, out) == (2, "")
    assert err == "stillhouse: device_hours: must be above the 1.5 that the study has already, got 1.5\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("extend", "demo"), "name the new totals with --trials, --finalists or --device-hours"),
        (("extend", "demo", "--trials", "0"), "--trials"),
        (("extend", "demo", "--trials", "100001"), "trials: "),
        (("extend", "demo", "--finalists", "1001"), "finalists: "),
        (("extend", "demo", "--device-hours", "0"), "device_hours: "),
        (("extend", "demo", "--device-hours", "nan"), "--device-hours"),
        (("extend", "demo", "--device-hours", "inf"), "device_hours: "),
        (("extend", "demo", "--device-hours", "2"), "device_hours: the study's budget has no such limit"),
        (("export", "demo", "--format", "xlsx"), "--format is one of csv, json, parquet, got 'xlsx'"),
        (("export", "demo", "--to", "trials.doc"), "--format is one of csv, json, parquet, got 'doc'"),
        (("stop", "nobody"), "there is no study 'nobody'"),
        (("watch", "nobody"), "there is no study 'nobody'"),
    ],
)
def test_what_cannot_be_done_with_a_study_is_said(shell, client, spec, arguments, message):
    client.studies.create(spec)
    code, out, err = shell("study", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_the_trials_are_exported_as_a_table(shell, study, tmp_path):
    code, out, _ = shell("study", "export", "demo")
    assert code == 0
    assert len(out.splitlines()) == 1 + 6
    for name in ("trials.json", "trials.parquet"):
        assert shell("study", "export", "demo", "--to", tmp_path / name)[0] == 0
    assert len(json.loads((tmp_path / "trials.json").read_text())) == 6
    assert (tmp_path / "trials.parquet").read_bytes()[:4] == b"PAR1"


def test_the_front_within_a_bound_is_shown(shell, study):
    bound = sorted(trial.metrics["latency_p50"] for trial in study.front())[0]
    found = json.loads(shell("front", "demo", "--constraint", f"latency_p50 <= {1e3 * bound} ms", "--json")[1])
    assert [trial["metrics"]["latency_p50"] for trial in found["trials"]] == [bound]
    assert found["front"]["numbers"] == [trial["number"] for trial in found["trials"]]
    _, out, _ = shell("front", "demo", "--metric", "accuracy", "--metric", "parameters")
    assert "Front (flash fidelity, selection split)" in out
    code, _, err = shell("front", "demo", "--constraint", "beauty <= 1")
    assert code == 2
    assert "beauty" in err
