"""What the rows of each kind of task must be, through the files that they are in."""

import json
from functools import partial

import pytest

from distillation import sources
from distillation.errors import DataError
from distillation.sources import local_files, read_corpus
from distillation.values import DOCSTRINGS, Dataset, Metric, Task
from encoders.values import HeadKind

TOKENS, QUESTIONS = HeadKind.TOKEN_CLASSIFICATION, HeadKind.QUESTION_ANSWERING


def read(source, kind, transfer=None, **settings):
    more = None if transfer is None else Dataset(source=str(transfer))
    return read_corpus(
        Task(dataset=Dataset(source=str(source)), kind=kind, transfer=more, **settings), lambda name: None
    )


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def every(corpus):
    splits = corpus.splits
    return (*splits.train.examples, *splits.selection.examples, *splits.report.examples)


TAGGED = [{"id": at, "tokens": ["word", str(at)], "ner_tags": ["O", f"B-{'XY'[at % 2]}"]} for at in range(60)]
ASKED = [
    {
        "question": f"number {at}?",
        "context": f" the number is {at // 3} here",
        "answers": {"text": [str(at // 3)], "answer_start": [15]},
    }
    for at in range(90)
]


def change(rows, at, **values):
    return [{**row, **values} if index == at else row for index, row in enumerate(rows)]


def test_words_and_tags_are_found_by_their_names(tmp_path):
    corpus = read(jsonl(tmp_path / "a.jsonl", TAGGED), TOKENS)
    assert corpus.classes == ("B-X", "B-Y", "O")
    assert {example.label for example in every(corpus)} == {(2, 0), (2, 1)}
    assert "text: tokens; label: ner_tags" in corpus.notes


def test_a_tag_that_only_the_report_file_has_is_known(tmp_path):
    jsonl(tmp_path / "train.jsonl", TAGGED)
    jsonl(tmp_path / "dev.jsonl", [{"id": 99, "tokens": ["rare"], "ner_tags": ["B-Z"]}])
    assert read(tmp_path, TOKENS).classes == ("B-X", "B-Y", "B-Z", "O")


def test_a_context_may_begin_with_space_and_its_questions_stay_together(tmp_path):
    corpus = read(jsonl(tmp_path / "a.jsonl", ASKED), QUESTIONS)
    assert all(
        example.texts[1][answer.start :].startswith(answer.text)
        for example in every(corpus)
        for answer in example.answers
    )
    contexts = [
        {example.texts[1] for example in split.examples}
        for split in (corpus.splits.train, corpus.splits.selection, corpus.splits.report)
    ]
    assert len(set().union(*contexts)) == sum(map(len, contexts)) == 30


@pytest.mark.parametrize(
    ("kind", "rows", "message"),
    [
        (TOKENS, change(TAGGED, 2, ner_tags=["O"]), r"line 3: 2 words, but 1 tags"),
        (TOKENS, change(TAGGED, 2, tokens=[], ner_tags=[]), r"line 3: the tags must be a list with at least one entry"),
        (TOKENS, change(TAGGED, 2, tokens=["a", " "]), r"line 3: number 2 of the words is no word: ' '"),
        (TOKENS, change(TAGGED, 2, tokens=["a", ["b"]]), r"line 3: number 2 of the words is no word: \['b'\]"),
        (TOKENS, [{**row, "ner_tags": ["O", "O"]} for row in TAGGED], r"task\.label: .* has 1 different tags"),
        (
            TOKENS,
            [{**row, "ner_tags": ["NN", "VB"]} for row in TAGGED],
            r"task\.metric: entity_f1 needs tags such as "
            r"B-PER, I-PER and O, and .* has NN, VB; take accuracy",
        ),
        (TOKENS, change(TAGGED, 2, tokens="a b"), r"line 3: the words must be a list, got 'a b'"),
        (
            QUESTIONS,
            change(ASKED, 4, answers={"text": ["9"], "answer_start": [3]}),
            r"line 5: the answer '9' is not at "
            r"character 3 of the context",
        ),
        (QUESTIONS, change(ASKED, 4, answers={"text": ["9"]}), r"line 5: the answers must be a list of objects with"),
        (QUESTIONS, change(ASKED, 4, answers="nine"), r"line 5: the answers must be a list, got 'nine'"),
        (QUESTIONS, change(ASKED, 4, question=" "), r"line 5: the text is empty"),
        (QUESTIONS, [{"question": "a", "text": "b"}], r"task\.text: .* has no columns 'question' and 'context'"),
        (QUESTIONS, [{"question": "a", "context": "b"}], r"task\.label: .* has no column 'answers'"),
        (
            HeadKind.REGRESSION,
            [{"text": f"words {at}", "score": "nan"} for at in range(9)],
            r"line 1: the label 'nan' is not a finite number",
        ),
        (
            HeadKind.REGRESSION,
            [{"text": f"words {at}", "score": "high"} for at in range(9)],
            r"line 1: the label 'high' is not a finite number",
        ),
        (
            HeadKind.REGRESSION,
            [{"text": f"words {at}", "score": 3} for at in range(60)],
            r"task\.label: every label that is left of .* for train is 3\.0",
        ),
        (HeadKind.MASKED_LM, [{"text": "alone"}], r"task\.dataset: .* too few examples"),
    ],
)
def test_rows_that_are_none_of_the_kind_are_named(tmp_path, kind, rows, message):
    with pytest.raises(DataError, match=message):
        read(jsonl(tmp_path / "a.jsonl", rows), kind)


def test_a_metric_of_two_classes_needs_two(tmp_path):
    rows = [{"text": f"words number {at}", "label": "xyz"[at % 3]} for at in range(60)]
    path = jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match=r"task\.metric: f1 is of two classes, and .* has 3; take macro_f1"):
        read(path, HeadKind.CLASSIFICATION, metric=Metric.F1)
    jsonl(path, [{**row, "label": "xy"[at % 2]} for at, row in enumerate(rows)])
    corpus = read(path, HeadKind.CLASSIFICATION, metric=Metric.F1)
    assert corpus.classes == ("x", "y")
    assert "f1 is of the class 'y'" in corpus.notes


def test_values_without_a_header_are_the_only_column_of_numbers(tmp_path):
    (tmp_path / "a.csv").write_text("".join(f"first text {at},second text {at},{at % 6}.0\n" for at in range(60)))
    corpus = read(tmp_path / "a.csv", HeadKind.REGRESSION, text=("0", "1"))
    assert {example.label for example in every(corpus)} == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}
    assert all(len(example.texts) == 2 for example in every(corpus))


def test_a_masked_lm_needs_only_a_text_column(tmp_path):
    rows = [{"text": f"words number {at}" if at % 10 else " ", "label": at % 2} for at in range(60)]
    corpus = read(jsonl(tmp_path / "a.jsonl", rows), HeadKind.MASKED_LM)
    assert len(every(corpus)) == 54
    assert {example.label for example in every(corpus)} == {None}
    assert any(note.startswith("6 empty texts of") for note in corpus.notes)


def test_transfer_texts_of_held_out_splits_and_doubles_are_left_out_and_counted(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", [{"text": f"words number {at}", "label": at % 2} for at in range(60)])
    plain = read(path, HeadKind.CLASSIFICATION)
    held_out = {example.texts for example in (*plain.splits.selection.examples, *plain.splits.report.examples)}
    lines = [f"words number {at}" for at in range(70)] * 2
    (tmp_path / "more.txt").write_text("\n".join(lines) + "\n\n\n")
    corpus = read(path, HeadKind.CLASSIFICATION, transfer=tmp_path / "more.txt")
    assert (corpus.splits.selection, corpus.splits.report) == (plain.splits.selection, plain.splits.report)
    added = [example for example in corpus.splits.train.examples if example.label is None]
    assert sorted(example.texts[0] for example in added) == [f"words number {at}" for at in range(60, 70)]
    assert not {example.texts for example in corpus.splits.train.examples} & held_out
    beside = len(plain.splits.train.examples)
    assert [note for note in corpus.notes if note.startswith("transfer: ") or "empty" in note] == [
        f"transfer: 10 unlabelled texts of {tmp_path / 'more.txt'} stand in train beside {beside}",
        "transfer: 130 texts come twice or are in another split: left out",
        f"2 empty texts of {tmp_path / 'more.txt'} were left out",
    ]


def test_transfer_texts_come_from_the_columns_of_the_dataset(tmp_path):
    pairs = [{"text1": f"one {at}", "text2": f"two {at}", "label": at % 2} for at in range(60)]
    path = jsonl(tmp_path / "a.jsonl", pairs)
    more = jsonl(tmp_path / "b.jsonl", [{"text2": "new two", "text1": "new one", "other": "x"}])
    corpus = read(path, HeadKind.CLASSIFICATION, transfer=more)
    assert [each.texts for each in corpus.splits.train.examples if each.label is None] == [("new one", "new two")]
    (tmp_path / "more.txt").write_text("one text\n")
    with pytest.raises(DataError, match=r"task\.transfer: .*more\.txt gives 1 texts a row, but the task's dataset 2"):
        read(path, HeadKind.CLASSIFICATION, transfer=tmp_path / "more.txt")


def test_transfer_texts_of_words_and_of_questions(tmp_path):
    (tmp_path / "more.txt").write_text("plain words\n")
    corpus = read(jsonl(tmp_path / "a.jsonl", TAGGED), TOKENS, transfer=tmp_path / "more.txt")
    assert [each.texts for each in corpus.splits.train.examples if each.label is None] == [("plain", "words")]
    more = jsonl(tmp_path / "more.jsonl", [{"question": "what?", "context": "nothing"}])
    corpus = read(jsonl(tmp_path / "b.jsonl", ASKED), QUESTIONS, transfer=more)
    assert [each.texts for each in corpus.splits.train.examples if each.label is None] == [("what?", "nothing")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.txt", None, r"task\.transfer: there is no file .*gone\.txt"),
        ("more.txt", "words number 1\n", r"task\.transfer: .*more\.txt has no text that is not in the task's dataset"),
        ("more.xml", "<a/>", r"task\.transfer: .*more\.xml is not one of"),
        ("more.tsv", "a\tb\nc c\td d\n", r"task\.transfer\.text: which column of .*more\.tsv is the text is not clear"),
    ],
)
def test_transfer_texts_that_cannot_be_used_name_their_key(tmp_path, name, content, message):
    path = jsonl(tmp_path / "a.jsonl", [{"text": f"words number {at}", "label": at % 2} for at in range(60)])
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read(path, HeadKind.CLASSIFICATION, transfer=tmp_path / name)


def test_the_files_of_a_task_are_those_of_its_transfer_texts_too(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", TAGGED)
    task = Task(dataset=Dataset(source=str(path)), kind=TOKENS, transfer=Dataset(source=str(tmp_path / "b.txt")))
    assert [file.name for file in local_files(task)] == ["a.jsonl", "b.txt"]


@pytest.fixture
def few_docstrings(monkeypatch):
    """The texts of three small packages only: all of them take many seconds."""
    packages = {name: (name,) for name in ("httpx", "pydantic", "typer")}
    monkeypatch.setattr(sources, "harvest", partial(sources.harvest, packages, most_per_class=60))


def test_docstrings_are_texts_without_labels_for_a_masked_lm(few_docstrings):
    corpus = read(DOCSTRINGS, HeadKind.MASKED_LM)
    assert (corpus.classes, {example.label for example in every(corpus)}) == ((), {None})
    assert len(every(corpus)) > 100
    assert {example.texts for example in every(corpus)} == {
        example.texts for example in every(read(DOCSTRINGS, HeadKind.CLASSIFICATION))
    }


def test_docstrings_may_stand_beside_texts_with_labels(few_docstrings, tmp_path):
    path = jsonl(tmp_path / "a.jsonl", [{"text": f"words number {at}", "label": at % 2} for at in range(60)])
    added = [
        example
        for example in read(path, HeadKind.CLASSIFICATION, transfer=DOCSTRINGS).splits.train.examples
        if example.label is None
    ]
    assert len(added) > 100
    words = read(jsonl(tmp_path / "b.jsonl", TAGGED), TOKENS, transfer=DOCSTRINGS).splits.train.examples
    assert {example.texts for example in words if example.label is None} == {
        tuple(example.texts[0].split()) for example in added
    }


def test_docstrings_have_words_to_mask_but_no_values():
    with pytest.raises(DataError, match=r"task\.dataset: docstrings have no labels for a task of regression"):
        read(DOCSTRINGS, HeadKind.REGRESSION)
