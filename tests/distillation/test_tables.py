import pytest

from distillation.errors import DataError
from distillation.tables import concatenate, is_header, read_table


def rows(path, text):
    path.write_text(text, encoding="utf-8")
    table = read_table(path, "task.dataset")
    return table.columns, [row.cells for row in table.rows]


def test_csv_cells_may_be_quoted_and_hold_commas_and_lines(tmp_path):
    columns, cells = rows(tmp_path / "a.csv", 'text,label\n"one, two\nthree",x\n"say ""four""",y\n')
    assert columns == ("text", "label")
    assert cells == [("one, two\nthree", "x"), ('say "four"', "y")]


def test_tsv_quotes_are_text(tmp_path):
    columns, cells = rows(tmp_path / "a.tsv", 'g1\t1\t\tHe said "no.\r\ng1\t0\t*\t"Yes" he said.\n')
    assert columns == ("0", "1", "2", "3")
    assert cells == [("g1", "1", "", 'He said "no.'), ("g1", "0", "*", '"Yes" he said.')]


def test_jsonl_keys_are_columns_in_any_order(tmp_path):
    columns, cells = rows(tmp_path / "a.jsonl", '{"text": "a", "label": 1}\n\n{"label": 0, "text": "b"}\n')
    assert columns == ("text", "label")
    assert cells == [("a", "1"), ("b", "0")]


@pytest.mark.parametrize(
    ("first", "following", "expected"),
    [
        (["sentence", "label"], [["It rains.", "0"]], True),
        (["gj04", "1", "", "A sentence."], [["gj04", "0", "*", "Another."]], False),
        (["good", "A film that I would gladly see again, and so would everybody I know."], [["bad", "No."]], False),
        (["good", "Great film"], [["bad", "Poor film"], ["good", "Nice film"]], False),
        (["text", "text"], [["a", "b"]], True),
    ],
)
def test_a_header_is_told_from_a_row_by_its_content(first, following, expected):
    assert is_header(first, following) is expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"text,label\none,1\ntwo,2,3\n", r"a\.csv, line 3: 3 cells, but the first line has 2"),
        ("a.csv", b'text,label\n"one"x,1\n', r"a\.csv, line 2: "),
        ("a.tsv", b"text\tlabel\none\n", r"a\.tsv, line 2: 1 cells, but the first line has 2"),
        ("a.tsv", b"text\tlabel\n\xff\t1\n", r"a\.tsv, line 2: not UTF-8; save the file as UTF-8"),
        ("a.csv", "text,label\n".encode("utf-16"), r"a\.csv, line 1: not UTF-8; save the file as UTF-8"),
        ("a.csv", "text,label\none,1\n".encode("utf-16-le"), r"a\.csv, line 1: a zero byte, as in UTF-16"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', r"a\.jsonl, line 2: not JSON"),
        ("a.jsonl", b'{"text": "a"}\n{"txt": "a"}\n', r"a\.jsonl, line 2: the keys differ .*: text, txt"),
        ("a.csv", b"text, text\none,1\n", r"a\.csv, line 1: two columns are named 'text'"),
        ("a.jsonl", b'{"text": NaN}\n', r"a\.jsonl, line 1: text must be text or a number, got nan"),
        ("a.jsonl", b'{"text": ' + b"[" * 100_000, r"a\.jsonl, line 1: not JSON"),
        ("a.jsonl", b'["a"]\n', r"a\.jsonl, line 1: must be an object"),
        ("a.jsonl", b'{"text": ["a"]}\n', r"a\.jsonl, line 1: text must be text or a number, got \['a'\]"),
        ("a.jsonl", b'{"text": "\\ud83d"}\n', r"a\.jsonl, line 1: text holds half a character \(\\ud83d\)"),
        ("a.tsv", b"", r"task\.dataset: .*a\.tsv has no rows"),
        ("a.tsv", b"text\tlabel\n", r"task\.dataset: .*a\.tsv has no rows"),
        ("a.xml", b"<a/>", r"task\.dataset: .*a\.xml is not one of \.csv, \.tsv, \.jsonl"),
    ],
)
def test_broken_files_are_named_with_the_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / name, "task.dataset")


def test_a_missing_file_is_named_with_its_key(tmp_path):
    with pytest.raises(DataError, match=r"task\.dataset\.report: there is no file .*gone\.tsv"):
        read_table(tmp_path / "gone.tsv", "task.dataset.report")


def test_tables_of_different_columns_are_not_put_together(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nx,1\n")
    (tmp_path / "b.csv").write_text("text,class\nx,1\n")
    tables = [read_table(tmp_path / name, "task.dataset") for name in ("a.csv", "b.csv")]
    assert len(concatenate([tables[0], tables[0]]).rows) == 2
    with pytest.raises(DataError, match=r"b\.csv has the columns text, class, but .*a\.csv has text, label"):
        concatenate(tables)
