"""Local paths in a study file."""

import pytest

from cli.errors import BadInputError
from cli.study_source import read_study


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """`study/study.yaml`, seen from `elsewhere/`."""
    (tmp_path / "study").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def study(folder, teacher="built-in", dataset="docstrings"):
    path = folder / "study" / "study.yaml"
    path.write_text(f"teacher: {teacher}\ntask:\n  dataset: {dataset}\n")
    return path


def test_paths_are_found_beside_the_study_file_then_in_the_working_directory(folder):
    (folder / "study" / "a.tsv").write_text("")
    (folder / "elsewhere" / "a.tsv").write_text("")
    (folder / "elsewhere" / "bert").mkdir()
    spec = read_study(study(folder, teacher="bert", dataset="a.tsv"))
    assert spec.task.dataset.source == str(folder / "study" / "a.tsv")
    assert spec.teacher.model == str(folder / "elsewhere" / "bert")


def test_the_report_file_is_found_too(folder):
    for name in ("train.tsv", "dev.tsv"):
        (folder / "study" / name).write_text("")
    spec = read_study(study(folder, dataset="{source: train.tsv, report: dev.tsv}"))
    assert spec.task.dataset.report == str(folder / "study" / "dev.tsv")


def test_the_transfer_texts_are_found_too(folder):
    (folder / "study" / "more.txt").write_text("")
    path = study(folder, dataset="docstrings\n  transfer: more.txt")
    transfer = read_study(path).task.transfer
    assert transfer is not None
    assert transfer.source == str(folder / "study" / "more.txt")


def test_names_that_are_no_paths_stay_as_they_are(folder):
    spec = read_study(study(folder, teacher="google-bert/bert-base-uncased", dataset="nyu-mll/glue/cola"))
    assert spec.teacher.model == "google-bert/bert-base-uncased"
    assert spec.task.dataset.source == "nyu-mll/glue/cola"


def test_the_embedded_names_are_never_paths(folder):
    (folder / "study" / "docstrings").mkdir()
    (folder / "study" / "built-in").mkdir()
    spec = read_study(study(folder))
    assert (spec.teacher.model, spec.task.dataset.source) == ("built-in", "docstrings")


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"dataset": "missing.tsv"}, "task.dataset"),
        ({"dataset": "{source: docstrings, report: ./dev}"}, "task.dataset.report"),
        ({"teacher": "./my-bert"}, "teacher"),
        ({"teacher": "/nowhere/bert"}, "teacher"),
        ({"teacher": "~/no/such/bert"}, "teacher"),
    ],
)
def test_a_path_that_does_not_exist_is_refused_by_its_key(folder, given, key):
    with pytest.raises(BadInputError, match=rf"study\.yaml:\d+: {key}: there is no file or folder"):
        read_study(study(folder, **given))


def test_the_name_does_not_depend_on_the_working_directory(folder, monkeypatch):
    (folder / "study" / "a.tsv").write_text("")
    path = study(folder, dataset="a.tsv")
    first = read_study(path)
    monkeypatch.chdir(folder)
    assert read_study(path).digest == first.digest
