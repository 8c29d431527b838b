"""One real study through the command that users type: real processes, REST, SQLite, training, measuring, export."""

import subprocess
import sys

import pytest

from tests.end_to_end.conftest import Stillhouse, write_study


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def stillhouse(home):
    return Stillhouse(home / "home")


@pytest.fixture(scope="module")
def study(home, materials):
    """The file of a study that has been run."""
    return write_study(home / "small.yaml", materials)


@pytest.fixture(scope="module")
def export(stillhouse, study):
    """What the run left."""
    first = stillhouse.run("run", study, "--port", "0", "--no-hold")
    assert first.returncode == 0, first.stdout + stillhouse.logs()
    assert "front" in first.stdout.lower()
    (folder,) = [folder for folder in (stillhouse.home / "exports" / "small").iterdir() if folder.is_dir()]
    return folder


def test_a_study_file_becomes_a_checkpoint_that_transformers_loads(stillhouse, export, tmp_path):
    script = (
        "import sys; sys.path = [entry for entry in sys.path if entry]\n"
        "from transformers import pipeline\n"
        f"classify = pipeline('text-classification', {str(export)!r}, trust_remote_code=True)\n"
        "print(classify('the old oven and bread')[0]['label'])\n"
        "assert 'encoders' not in sys.modules\n"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=stillhouse.environment,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.strip().splitlines()[-1] in {"weather", "kitchen", "garden"}


def test_the_same_command_shows_what_the_study_came_to(stillhouse, study, export):
    again = stillhouse.run("run", study, "--port", "0", "--no-hold", timeout=60)
    assert again.returncode == 0, again.stdout
    assert str(export.name) in again.stdout


@pytest.mark.slow  # in one process: tests/worker/test_runners.py
def test_its_checkpoint_is_reproduced(stillhouse, export):
    reproduced = stillhouse.run("reproduce", export)
    assert reproduced.returncode == 0, reproduced.stdout
    assert "reproduced: the weights are equal bit for bit" in reproduced.stdout


@pytest.mark.slow  # in one process: tests/cli/test_run.py
def test_a_changed_file_is_refused(stillhouse, study, export, tmp_path):
    path = tmp_path / study.name
    path.write_text(study.read_text().replace("trials: 4", "trials: 5"))
    changed = stillhouse.run("run", path, "--port", "0", "--no-hold", timeout=60)
    assert changed.returncode == 2, changed.stdout
    assert "budget.trials: 4 -> 5" in changed.stdout
