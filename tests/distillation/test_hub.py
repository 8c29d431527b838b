"""The hub's library reads a folder like a dataset of the hub: everything but the download is real."""

import json
import subprocess
import sys

import pytest

CARD = """---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': dull
          '1': bright
configs:
- config_name: default
  data_files:
  - split: train
    path: train.jsonl
  - split: test
    path: test.jsonl
---
"""


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "dataset"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    for split, count in (("train", 4), ("test", 2)):
        lines = (json.dumps({"text": f"{split} text {at}", "label": at % 2}) for at in range(count))
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    return folder


def run(program, *arguments, **environment):
    import os

    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment},
    )


def test_classes_have_their_names_and_splits_their_tables(dataset, tmp_path):
    program = """
import sys
from distillation.hub import read_hub
train, report = read_hub(sys.argv[1])
assert train.columns == report.columns == ("text", "label"), train.columns
assert [row.cells for row in train.rows][:2] == [("train text 0", "dull"), ("train text 1", "bright")], train.rows
assert len(report.rows) == 2 and "test, row 1" in report.rows[1].place, report
"""
    done = run(program, dataset, HF_HOME=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr


def test_lists_and_mappings_are_cells_where_the_kind_has_them(tmp_path):
    folder = tmp_path / "nested"
    folder.mkdir()
    names = "".join(f"            '{at}': {name}\n" for at, name in enumerate(("O", "B-X")))
    (folder / "README.md").write_text(
        "---\ndataset_info:\n  features:\n  - name: tokens\n    list: string\n"
        f"  - name: ner_tags\n    list:\n      class_label:\n        names:\n{names}"
        "  - name: answers\n    struct:\n"
        "    - name: text\n      list: string\n    - name: answer_start\n      list: int32\n"
        "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: train.jsonl\n---\n"
    )
    row = {"tokens": ["a", "b"], "ner_tags": [0, 1], "answers": {"text": ["a"], "answer_start": [3]}}
    (folder / "train.jsonl").write_text(json.dumps(row) + "\n")
    program = """
import json, sys
from distillation.hub import read_hub
train, report = read_hub(sys.argv[1], nested=True)
assert report is None and train.columns == ("tokens", "ner_tags", "answers"), train.columns
cells = [json.loads(cell) for cell in train.rows[0].cells]
assert cells == [["a", "b"], ["O", "B-X"], {"text": ["a"], "answer_start": [3]}], cells
assert read_hub(sys.argv[1])[0].columns == (), read_hub(sys.argv[1])[0].columns
"""
    done = run(program, folder, HF_HOME=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr


def test_a_dataset_that_cannot_be_had_offline_names_the_key(tmp_path):
    program = """
from distillation.errors import DataError
from distillation.hub import read_hub
try:
    read_hub("nobody/nothing")
except DataError as error:
    print(error)
"""
    done = run(program, HF_HOME=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("task.dataset: 'nobody/nothing' is neither a local file or folder nor"), done.stdout
