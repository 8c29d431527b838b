import json
import resource
import subprocess
import sys
from dataclasses import fields

import pytest

from distillation.data import PreparedData, read_data, read_report, write_data
from distillation.errors import DataError
from distillation.sources import Corpus
from distillation.splits import Example, ReportSplit, Splits, TrainSplit


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_written_is_read(folder, corpus, task):
    data, report = read_data(folder), read_report(folder)
    assert (data.train, data.selection, report.report) == (
        corpus.splits.train,
        corpus.splits.selection,
        corpus.splits.report,
    )
    assert data.task == report.task == task
    assert data.classes == report.classes == corpus.classes
    assert data.notes == corpus.notes
    assert data.tokenizer("cat oak")["input_ids"] == report.tokenizer("cat oak")["input_ids"]


def test_training_gets_no_report_split(data):
    assert not any(isinstance(getattr(data, field.name), ReportSplit) for field in fields(PreparedData))


def test_equal_inputs_give_equal_bytes(folder, corpus, task, data, tmp_path):
    write_data(tmp_path / "again", corpus, task, data.tokenizer)
    write_data(tmp_path / "third", corpus, task, data.tokenizer)
    again = files(tmp_path / "again")
    assert again == files(tmp_path / "third")
    assert again["train.jsonl"] == files(folder)["train.jsonl"]
    assert not any(str(tmp_path).encode() in content for content in again.values())


def test_texts_with_any_line_separator_survive(tmp_path, corpus, task, data):
    odd = TrainSplit((Example(("one\u2028two\x85three\nfour", 'five "six"'), 1),))
    splits = Splits(train=odd, selection=corpus.splits.selection, report=corpus.splits.report)
    write_data(tmp_path / "data", Corpus(classes=corpus.classes, splits=splits), task, data.tokenizer)
    assert read_data(tmp_path / "data").train == odd


def test_changed_data_is_refused(tmp_path, corpus, task, data):
    write_data(tmp_path / "data", corpus, task, data.tokenizer)
    path = tmp_path / "data" / "selection.jsonl"
    path.write_text(path.read_text().replace('"label": 1', '"label": 2', 1))
    with pytest.raises(DataError, match="was changed after it was prepared"):
        read_data(tmp_path / "data")


def test_data_of_another_version_is_refused(tmp_path, corpus, task, data):
    write_data(tmp_path / "data", corpus, task, data.tokenizer)
    path = tmp_path / "data" / "data.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    with pytest.raises(DataError, match="version 99, this program reads 2"):
        read_report(tmp_path / "data")


def test_an_empty_folder_is_no_data(tmp_path):
    with pytest.raises(DataError, match=r"holds no prepared data: there is no data\.json"):
        read_data(tmp_path)


def test_data_that_cannot_be_written_leaves_nothing_and_keeps_the_old(tmp_path, folder):
    """The real thing in a process of its own: no file may grow beyond a few kB there."""
    program = """
import resource, sys
from pathlib import Path
from distillation.data import read_data, read_report, write_data
from distillation.errors import SaveError
from distillation.sources import Corpus
from distillation.splits import Splits, TrainSplit
source, target = Path(sys.argv[1]), Path(sys.argv[2])
data, report = read_data(source), read_report(source)
few = TrainSplit(data.train.examples[:30])
splits = Splits(train=few, selection=data.selection, report=report.report)
corpus = Corpus(classes=data.classes, splits=splits)
write_data(target, corpus, data.task, data.tokenizer)
before = sorted(path.name for path in target.parent.iterdir())
for limit in (1_000, 4_000):  # the texts, the tokenizer
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_data(target, corpus, data.task, data.tokenizer)
    except SaveError as error:
        assert isinstance(error, OSError) and str(target.name) in str(error), error
    else:
        raise SystemExit(f"written in spite of {limit}")
    assert sorted(path.name for path in target.parent.iterdir()) == before
    assert len(read_data(target).train.examples) == 30
"""
    assert len(files(folder)["tokenizer/tokenizer.json"]) > 4_000
    done = subprocess.run(
        [sys.executable, "-c", program, folder, tmp_path / "target"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
