"""A program that follows `stillhouse run --json`: stdout is JSON lines alone, from the start to the folders."""

import json
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from protocol.views import StudyState, StudyView, TrialState, TrialView
from tests.end_to_end.conftest import Stillhouse

pytestmark = pytest.mark.slow  # each line by itself: tests/cli/test_lines.py


@pytest.fixture
def stillhouse(tmp_path):
    return Stillhouse(tmp_path / "home")


def followed(stillhouse, study):
    """The lines that a run printed, as what they say."""
    command = stillhouse.command("run", study, "--port", "0", "--json")
    ran = subprocess.run(command, capture_output=True, text=True, env=stillhouse.environment, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr + stillhouse.logs()
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_a_run_is_followed_by_a_program(stillhouse, study_file):
    study = study_file(trials=2)
    lines = followed(stillhouse, study)
    assert {line["event"] for line in lines} <= {"started", "study", "trial", "note", "completed"}
    assert all(one["at"] <= other["at"] for one, other in pairwise(lines))
    assert (lines[0]["event"], lines[0]["study"]) == ("started", "small")
    assert lines[0]["address"].startswith("http://127.0.0.1:")
    studies = [StudyView.model_validate(line["study"]) for line in lines if line["event"] == "study"]
    assert studies[-1].state is StudyState.COMPLETED
    trials = [TrialView.model_validate(line["trial"]) for line in lines if line["event"] == "trial"]
    assert {trial.number for trial in trials if trial.state is TrialState.COMPLETED} == {1, 2}
    last = lines[-1]
    assert (last["event"], last["study"]) == ("completed", "small")
    ((number, folder),) = last["folders"].items()
    assert number in {"1", "2"}
    assert (Path(folder) / "model.safetensors").is_file()

    again = followed(stillhouse, study)
    assert again[-1]["folders"] == last["folders"], "the same command tells what the study came to"
    assert len(again) < len(lines)
