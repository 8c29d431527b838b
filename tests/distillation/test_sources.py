import pytest

from distillation.errors import DataError
from distillation.sources import local_files, read_corpus
from distillation.values import Dataset, Task


def read(source, report=None, **task):
    made = Task(dataset=Dataset(source=str(source), report=None if report is None else str(report)), **task)
    return read_corpus(made, announce=lambda name: None)


def write(path, count=60, start=0, header=True, labels=("no", "yes")):
    rows = [f"a sentence of some length, number {at}\t{labels[at % len(labels)]}" for at in range(start, start + count)]
    path.write_text("\n".join((["sentence\tlabel"] if header else []) + rows) + "\n")
    return path


def sizes(corpus):
    return [len(split.examples) for split in (corpus.splits.train, corpus.splits.selection, corpus.splits.report)]


def test_one_file_is_split_in_three(tmp_path):
    corpus = read(write(tmp_path / "all.tsv"))
    assert corpus.classes == ("no", "yes")
    assert sum(sizes(corpus)) == 60
    assert min(sizes(corpus)) >= 1
    assert "text: sentence; label: label" in corpus.notes


def test_a_report_file_is_the_report_split(tmp_path):
    corpus = read(write(tmp_path / "a.tsv"), write(tmp_path / "b.tsv", 10, start=100))
    assert sizes(corpus)[2] == 10
    assert sum(sizes(corpus)) == 70


def test_a_folder_holds_train_and_all_its_dev_files(tmp_path):
    write(tmp_path / "train.tsv", header=False)
    write(tmp_path / "dev_one.tsv", 6, start=100, header=False)
    write(tmp_path / "dev_two.tsv", 7, start=200, header=False)
    (tmp_path / "test.tsv").write_text("unlabelled and of another shape\n")
    (tmp_path / "README.md").write_text("read me")
    corpus = read(tmp_path)
    assert sizes(corpus)[2] == 13
    assert {example.label for example in corpus.splits.report.examples} == {0, 1}


def test_texts_of_both_splits_are_left_out_of_train_with_a_note(tmp_path):
    write(tmp_path / "train.tsv")
    write(tmp_path / "validation.tsv", 15)
    corpus = read(tmp_path)
    assert sum(sizes(corpus)) == 60
    assert any("15 train examples are in the report split too" in note for note in corpus.notes)


def test_labels_of_integers_are_ordered_as_numbers(tmp_path):
    corpus = read(write(tmp_path / "a.tsv", labels=("10", "9", "-1")))
    assert corpus.classes == ("-1", "9", "10")


def test_labels_that_are_the_same_number_have_one_order(tmp_path):
    labels = ("1", "01", "001", "0001", "+1", "00001", "000001", "+01")
    assert read(write(tmp_path / "a.tsv", labels=labels)).classes == tuple(sorted(labels))


def test_space_around_a_label_is_none_of_it(tmp_path):
    assert read(write(tmp_path / "a.tsv", labels=("no", "yes ", " yes"))).classes == ("no", "yes")


def test_a_file_that_is_its_own_report_split_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"task\.dataset: every example of .*a\.tsv is in the report split"):
        read(write(tmp_path / "a.tsv"), tmp_path / "a.tsv")


def test_pairs_keep_both_texts(tmp_path):
    rows = [f"{at}\tpremise number {at}\tclaim number {at}\t{'yn'[at % 2]}" for at in range(60)]
    (tmp_path / "a.tsv").write_text("index\tsentence1\tsentence2\tlabel\n" + "\n".join(rows))
    corpus = read(tmp_path / "a.tsv")
    assert all(len(example.texts) == 2 for example in corpus.splits.train.examples)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sentence\tlabel\nsome words\tyes\n \tno\nmore words\tyes\nfew words\tno\n", r"line 3: the text is empty"),
        ("sentence\tlabel\nsome words\tyes\nwords\t \nother words\tyes\na\tyes\n", r"line 3: there is no label"),
        ("sentence\tlabel\nsome words\tyes\nother words\tyes\n", r"task\.label: column 'label' .* 1 different values"),
        (
            "sentence\tlabel\n" + "".join(f"words {at}\t{at / 7}\n" for at in range(20)),
            r"task\.label: column 'label' .* has 20 different values in 20 rows",
        ),
        ("sentence\tlabel\nsome words\tyes\nother words\tno\n", r"task\.dataset: .* too few examples"),
        (
            # Number 3 is the only one of its class, and in the report split.
            "sentence\tlabel\n" + "".join(f"some words {at}\t{'ny'[at == 3]}\n" for at in range(40)),
            r"task\.dataset: .* too few examples: all that are left for train are of class 'n'",
        ),
    ],
)
def test_unusable_rows_are_named(tmp_path, content, message):
    (tmp_path / "a.tsv").write_text(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.tsv")


def test_labels_that_only_the_report_file_has_are_named_with_their_line(tmp_path):
    write(tmp_path / "train.tsv")
    write(tmp_path / "dev.tsv", 4, start=100, labels=("no", "maybe"))
    with pytest.raises(DataError, match=r"dev\.tsv, line 3: the label 'maybe' is not in the train split"):
        read(tmp_path)


@pytest.mark.parametrize("files", [[], ["train.tsv", "train.csv"]])
def test_a_folder_needs_one_train_file(tmp_path, files):
    for name in files:
        (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=r"task\.dataset: .* must hold one train file"):
        read(tmp_path)


def test_missing_files_and_columns_name_their_keys(tmp_path):
    with pytest.raises(DataError, match=r"task\.dataset: there is no file .*gone\.tsv"):
        read(tmp_path / "gone.tsv")
    present = write(tmp_path / "a.tsv")
    with pytest.raises(DataError, match=r"task\.dataset\.report: there is no file"):
        read(present, tmp_path / "gone.tsv")
    with pytest.raises(DataError, match=r"task\.text: .* no column 'words'; the columns are sentence, label"):
        read(present, text=("words",))


def test_local_files_are_those_that_are_read(tmp_path):
    write(tmp_path / "train.tsv")
    write(tmp_path / "valid.tsv")
    write(tmp_path / "test.tsv")
    named = local_files(Task(dataset=Dataset(source=str(tmp_path))))
    assert [path.name for path in named] == ["train.tsv", "valid.tsv"]
    assert local_files(Task(dataset=Dataset(source="docstrings"))) == ()
    assert local_files(Task(dataset=Dataset(source="owner/name"))) == ()
