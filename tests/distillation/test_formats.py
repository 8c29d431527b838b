import json

import pyarrow
import pyarrow.parquet
import pytest

from distillation.errors import DataError
from distillation.tables import endings, read_table
from encoders.values import HeadKind

TOKENS, QUESTIONS, MASKED = HeadKind.TOKEN_CLASSIFICATION, HeadKind.QUESTION_ANSWERING, HeadKind.MASKED_LM


def cells(table):
    return [row.cells for row in table.rows]


def test_a_text_file_is_one_text_a_line_and_empty_lines_are_counted(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\n two words \r\n   \nlast")
    table = read_table(tmp_path / "a.txt", "task.dataset", MASKED)
    assert (table.columns, cells(table), table.empty) == (("text",), [("one",), ("two words",), ("last",)], 2)
    assert table.rows[1].place.endswith("a.txt, line 3")


def test_columns_of_words_become_a_text_a_row(tmp_path):
    (tmp_path / "a.conll").write_text("-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\n\n\nNo DT O\n")
    table = read_table(tmp_path / "a.conll", "task.dataset", TOKENS)
    assert table.columns == ("0", "1", "2")
    assert [[json.loads(cell) for cell in row] for row in cells(table)] == [
        [["EU", "rejects"], ["NNP", "VBZ"], ["B-ORG", "O"]],
        [["No"], ["DT"], ["O"]],
    ]
    assert [row.place.rpartition(" ")[2] for row in table.rows] == ["3", "8"]


def test_words_may_be_parted_by_tabs_and_hold_other_space(tmp_path):
    (tmp_path / "a.tsv").write_text("5\u00a0000\tO\nEU\tB-ORG\n\nNo\tO\n")
    table = read_table(tmp_path / "a.tsv", "task.dataset", TOKENS)
    assert [json.loads(row[0]) for row in cells(table)] == [["5\u00a0000", "EU"], ["No"]]


def test_a_text_file_holds_words_with_tags_only_where_they_have_labels(tmp_path):
    (tmp_path / "a.txt").write_text("one O\ntwo O\n")
    assert cells(read_table(tmp_path / "a.txt", "task.dataset", TOKENS)) == [('["one", "two"]', '["O", "O"]')]
    plain = read_table(tmp_path / "a.txt", "task.transfer", TOKENS, is_labelled=False)
    assert cells(plain) == [("one O",), ("two O",)]


def test_a_list_of_json_and_the_layout_of_squad_are_told_apart(tmp_path):
    (tmp_path / "a.json").write_text('[{"text": "one", "label": 1}, {"label": 0, "text": "two"}]')
    table = read_table(tmp_path / "a.json", "task.dataset")
    assert (table.columns, cells(table)) == (("text", "label"), [("one", "1"), ("two", "0")])
    answers = [{"text": "two", "answer_start": 4}]
    asked = [
        {"id": "q1", "question": "which?", "answers": answers},
        {"id": "q2", "question": "who?", "is_impossible": 1},
    ]
    (tmp_path / "a.json").write_text(json.dumps({"data": [{"paragraphs": [{"context": "one two", "qas": asked}]}]}))
    table = read_table(tmp_path / "a.json", "task.dataset", QUESTIONS)
    assert table.columns == ("question", "context", "answers")
    assert cells(table) == [("which?", "one two", json.dumps(answers)), ("who?", "one two", "[]")]
    assert table.rows[1].place.endswith("a.json, question q2")


def test_lists_are_cells_only_where_the_kind_has_lists(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"tokens": ["a", "b"], "tags": [0, 1]}\n')
    assert cells(read_table(tmp_path / "a.jsonl", "task.dataset", TOKENS)) == [('["a", "b"]', "[0, 1]")]
    with pytest.raises(DataError, match=r"line 1: tokens must be text or a number, got \['a', 'b'\]"):
        read_table(tmp_path / "a.jsonl", "task.dataset")


def parquet(path, **columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_parquet_columns_that_are_neither_text_nor_numbers_are_left_out(tmp_path):
    path = parquet(tmp_path / "a.parquet", text=["one", None], label=[1, 0], tokens=[["a"], ["b"]], raw=[b"x", b"y"])
    table = read_table(path, "task.dataset")
    assert (table.columns, cells(table)) == (("text", "label"), [("one", "1"), ("", "0")])
    assert read_table(path, "task.dataset", TOKENS).columns == ("text", "label", "tokens")
    assert read_table(path, "task.dataset", TOKENS).rows[1].cells == ("", "0", '["b"]')


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("a.conll", b"one O\ntwo\n", TOKENS, r"a\.conll, line 2: 1 columns, but the first line has 2"),
        ("a.conll", b"\n\n", TOKENS, r"task\.dataset: .*a\.conll has no rows"),
        ("a.conll", b"one \xff\n", TOKENS, r"a\.conll, line 1: not UTF-8"),
        ("a.txt", b"\n \n", MASKED, r"task\.dataset: .*a\.txt has no rows"),
        ("a.txt", b"text", HeadKind.REGRESSION, r"a\.txt is not one of .*\.parquet: one text a line has no labels"),
        ("a.json", b"[\n{]", QUESTIONS, r"a\.json, line 2: not JSON"),
        ("a.json", b'{"text": "a"}', HeadKind.REGRESSION, r"a\.json: must be a list of objects, or an object with one"),
        ("a.json", b"[1]", HeadKind.REGRESSION, r"a\.json: must be a list of objects"),
        ("a.json", b'[{"a": 1}, {"b": 1}]', HeadKind.REGRESSION, r"a\.json, entry 2: the keys differ .*: a, b"),
        ("a.json", b"[]", HeadKind.REGRESSION, r"task\.dataset: .*a\.json has no rows"),
        (
            "a.json",
            b'{"data": [{"paragraphs": [{"qas": [{"question": "?", "answers": []}]}]}]}',
            QUESTIONS,
            r"a\.json, entry 1: not of the layout of SQuAD: KeyError\('context'\)",
        ),
        ("a.parquet", b"PAR1", QUESTIONS, r"a\.parquet: not Parquet"),
    ],
)
def test_broken_files_of_every_format_are_named(tmp_path, name, content, kind, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / name, "task.dataset", kind)


def test_a_parquet_file_without_text_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.parquet: has no column of text or numbers"):
        read_table(parquet(tmp_path / "a.parquet", raw=[b"x"]), "task.dataset")


def test_unlabelled_texts_may_be_plain_for_all_but_questions():
    assert [kind for kind in HeadKind if ".txt" in endings(kind, is_labelled=False)] == [
        kind for kind in HeadKind if kind is not QUESTIONS
    ]
