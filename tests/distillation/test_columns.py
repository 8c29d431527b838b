import pytest

from distillation.columns import Columns, find_columns
from distillation.errors import DataError
from distillation.rows import Row, Table
from encoders.values import HeadKind

LONG = "a sentence that is clearly the longest cell of its row, number {}"


def table(columns: str, *rows: tuple[str, ...]) -> Table:
    return Table("made.tsv", tuple(columns.split()), tuple(Row(f"row {at}", cells) for at, cells in enumerate(rows)))


def cola(count: int = 20) -> Table:
    return table(
        "0 1 2 3", *((f"source{at % 3}", str(at % 2), "*" if at % 5 else "", LONG.format(at)) for at in range(count))
    )


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("text label", Columns((0,), 1)),
        ("idx Sentence Label", Columns((1,), 2)),
        ("index sentence1 sentence2 label", Columns((1, 2), 3)),
        ("premise hypothesis label idx", Columns((0, 1), 2)),
        ("question sentence label", Columns((0, 1), 2)),
    ],
)
def test_columns_are_found_by_their_names(columns, expected):
    width = len(columns.split())
    assert find_columns(table(columns, ("a",) * width, ("b",) * width)) == expected


def test_columns_without_names_are_found_by_their_content():
    assert find_columns(cola()) == Columns((3,), 1)


def test_a_label_of_words_is_found_where_no_column_is_of_integers():
    rows = [("good" if at % 2 else "bad", LONG.format(at)) for at in range(10)]
    assert find_columns(table("0 1", *rows)) == Columns((1,), 0)


def test_named_columns_win():
    assert find_columns(cola(), text=["0"], label="2") == Columns((0,), 2)


@pytest.mark.parametrize(
    ("made", "named", "message"),
    [
        (cola(), {"text": ["sentence"]}, r"task\.text: made\.tsv has no column 'sentence'; the columns are 0, 1, 2, 3"),
        (table("text lable", ("a", "1")), {"text": ["txet"]}, r"has no column 'txet' \(did you mean 'text'\?\)"),
        (table("text label", ("a", "1")), {"text": ["text", "text"]}, r"task\.text: 'text' is named twice"),
        (table("text;label", ("a;1",)), {"label": "label"}, r"separated by ';' instead of ','"),
        (cola(), {"label": "9"}, r"task\.label: made\.tsv has no column '9'"),
        (cola(), {"text": ["1"], "label": "1"}, r"task\.label: '1' of made\.tsv is the text"),
        (table("text review label", ("a", "b", "1")), {}, r"task\.text: made\.tsv has more than one text"),
        (table("text label class", ("a", "1", "1")), {}, r"task\.label: made\.tsv has more than one label"),
        (
            table("0 1 2", *((f"x{at} " * 9, f"y{at} " * 8, str(at % 2)) for at in range(9))),
            {},
            r"task\.text: which column of made\.tsv is the text is not clear; name it; the columns are 0, 1, 2",
        ),
        (
            table("0 1 2", *((LONG.format(at), str(at % 2), str(at % 3)) for at in range(12))),
            {},
            r"task\.label: which column of made\.tsv is the label is not clear",
        ),
        (table("0 1", *((LONG.format(at), str(at)) for at in range(12))), {}, r"task\.label: which column"),
    ],
)
def test_what_is_not_clear_is_asked_for_by_its_key(made, named, message):
    with pytest.raises(DataError, match=message):
        find_columns(made, **named)


WORDS, TAGS = '["a", "b"]', '["O", "O"]'


@pytest.mark.parametrize(
    ("columns", "cells", "kind", "expected"),
    [
        ("text score", ("some words", "1.5"), HeadKind.REGRESSION, Columns((0,), 1)),
        ("0 1", ("some words in a row", "1.5"), HeadKind.REGRESSION, Columns((0,), 1)),
        ("id tokens pos_tags ner_tags", ("1", WORDS, TAGS, TAGS), HeadKind.TOKEN_CLASSIFICATION, Columns((1,), 3)),
        ("0 1 2", (WORDS, TAGS, TAGS), HeadKind.TOKEN_CLASSIFICATION, Columns((0,), 2)),
        ("chunks marks", (WORDS, TAGS), HeadKind.TOKEN_CLASSIFICATION, None),
        (
            "id title context question answers",
            ("1", "t", "c", "q", "[]"),
            HeadKind.QUESTION_ANSWERING,
            Columns((3, 2), 4),
        ),
        ("label text", ("1", "some words"), HeadKind.MASKED_LM, Columns((1,), None)),
        ("sentence1 sentence2", ("a text that is long", "b"), HeadKind.MASKED_LM, Columns((0,), None)),
    ],
)
def test_columns_of_every_kind_are_found_by_names_and_content(columns, cells, kind, expected):
    made = table(columns, cells, cells)
    if expected is None:
        with pytest.raises(DataError, match=r"task\.text: which column of made\.tsv is the words is not clear"):
            find_columns(made, kind=kind)
    else:
        assert find_columns(made, kind=kind) == expected


def test_named_columns_win_for_every_kind():
    made = table("q c a words tags", ("q", "c", "[]", WORDS, TAGS))
    named = find_columns(made, text=["q", "c"], label="a", kind=HeadKind.QUESTION_ANSWERING)
    assert named == Columns((0, 1), 2)
    assert find_columns(made, text=["words"], label="tags", kind=HeadKind.TOKEN_CLASSIFICATION) == Columns((3,), 4)


def test_unlabelled_rows_need_no_label():
    made = table("text other", ("some words", "x"), ("more words", "x"))
    assert find_columns(made, is_labelled=False, key="task.transfer") == Columns((0,), None)
    with pytest.raises(DataError, match=r"task\.transfer\.text: made\.tsv has no column 'gone'"):
        find_columns(made, text=["gone"], is_labelled=False, key="task.transfer")
