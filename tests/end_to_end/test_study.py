"""One real study through the command that users type: real processes, REST, SQLite, training, measuring, export."""

import subprocess
import sys


def test_a_study_file_becomes_a_checkpoint_that_transformers_loads(stillhouse, study_file, tmp_path):
    path = study_file()
    first = stillhouse.run("run", path, "--port", "0", "--no-hold")
    assert first.returncode == 0, first.stdout + stillhouse.logs()
    assert "front" in first.stdout.lower()

    exports = [folder for folder in (stillhouse.home / "exports" / "small").iterdir() if folder.is_dir()]
    assert len(exports) == 1
    script = (
        "import sys; sys.path = [entry for entry in sys.path if entry]\n"
        "from transformers import pipeline\n"
        f"classify = pipeline('text-classification', {str(exports[0])!r}, trust_remote_code=True)\n"
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

    reproduced = stillhouse.run("reproduce", exports[0])
    assert reproduced.returncode == 0, reproduced.stdout
    assert "reproduced: the weights are equal bit for bit" in reproduced.stdout

    again = stillhouse.run("run", path, "--port", "0", "--no-hold", timeout=60)
    assert again.returncode == 0, again.stdout
    assert str(exports[0].name) in again.stdout

    path.write_text(path.read_text().replace("trials: 4", "trials: 5"))
    changed = stillhouse.run("run", path, "--port", "0", "--no-hold", timeout=60)
    assert changed.returncode == 2, changed.stdout
    assert "budget.trials: 4 -> 5" in changed.stdout
