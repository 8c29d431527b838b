"""What the README shows in Python does what it says."""

import random
import re
from dataclasses import replace

from distillation.teacher import built_in_recipe


def test_a_student_is_distilled_from_python(pytestconfig, tmp_path, monkeypatch, capsys):
    text = (pytestconfig.rootpath / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (code,) = [block for block in blocks if "distil(" in block]
    generator, rows = random.Random(0), ["text\tlabel"]
    words = {"garden": ["rose", "spade", "seed", "hedge"], "kitchen": ["bread", "oven", "salt", "knife"]}
    for at in range(200):
        label = ("garden", "kitchen")[at % 2]
        rows.append(f"{' '.join(generator.choices(words[label], k=3))} number {at}\t{label}")
    (tmp_path / "reviews.tsv").write_text("\n".join(rows) + "\n")
    # The teacher and the student of the README, in fewer steps.
    short = replace(built_in_recipe(32), steps=20)
    monkeypatch.setattr("distillation.teacher.built_in_recipe", lambda max_length: short)
    assert "steps=300" in code
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(code.replace("steps=300", "steps=10"), found)
    assert found["student"].steps == 10
    assert "Estimate(value=" in capsys.readouterr().out
    assert (tmp_path / "student" / "model.safetensors").is_file()
