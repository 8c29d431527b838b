"""What long commands say to programs: a JSON line for each thing that happens, and nothing else on stdout."""

import json
import os
import subprocess
import sys

import pytest

from cli.lines import StudyLines, print_event
from cli.run import RunOptions
from protocol.views import StudyState, TrialState


@pytest.fixture
def lines(capsys):
    """The lines that were printed since the last look."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_study_is_told_at_each_change_and_only_then(study, trial, lines):
    told = StudyLines()
    running = study(StudyState.SEARCHING, remaining_s=90.0)
    told.show(running, [trial(1), trial(2, state=TrialState.PENDING)])
    first = lines()
    assert [(line["event"], line.get("trial", {}).get("number")) for line in first] == [
        ("study", None),
        ("trial", 1),
        ("trial", 2),
    ]
    assert first[0]["study"]["state"] == "searching"
    told.show(running.model_copy(update={"remaining_s": 80.0}), [trial(1), trial(2, state=TrialState.PENDING)])
    assert lines() == [], "time that passes is no news"
    told.show(running, [trial(1), trial(2)])
    told.tell("worker ended with SIGKILL")
    last = lines()
    assert [line["event"] for line in last] == ["trial", "note"]
    assert last[0]["trial"]["state"] == "completed"
    assert last[1]["message"] == "worker ended with SIGKILL"


def test_only_who_asks_for_lines_gets_them(tmp_path, lines):
    options = RunOptions(study_file=tmp_path, home=tmp_path, port=0, hold=False, again=False)
    options.happened("started", {"study": "demo"})
    assert lines() == []
    RunOptions(study_file=tmp_path, home=tmp_path, port=0, hold=False, again=False, as_json=True).happened(
        "started", {"study": "demo"}
    )
    (line,) = lines()
    assert (line["event"], line["study"]) == ("started", "demo")
    assert line["at"].endswith("+00:00")


def test_who_follows_may_go_and_the_work_goes_on(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        for _ in range(3):
            print_event("note", {"message": "x"})


def test_serve_tells_a_program_where_it_listens_and_that_it_ended(tmp_path):
    command = [sys.executable, "-m", "cli.main", "serve", "--json", "--no-suggester", "--port", "0"]
    with subprocess.Popen(
        [*command, "--home", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        listening = json.loads(process.stdout.readline())
        process.terminate()
        rest = [json.loads(line) for line in process.stdout]
    assert listening["event"] == "listening"
    assert listening["address"].startswith("http://127.0.0.1:")
    assert [line["event"] for line in rest] == ["ended"]
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["serve", "worker"])
def test_settings_are_printed_for_programs(stillhouse, name, tmp_path, monkeypatch):
    monkeypatch.setenv("STILLHOUSE_TOKEN", "sth_secret")
    _, out, _ = stillhouse(name, "--print-config", "--json", "--home", str(tmp_path))
    found = json.loads(out)
    assert found["home"] == {"value": str(tmp_path), "source": "command line"}
    assert "sth_secret" not in out
