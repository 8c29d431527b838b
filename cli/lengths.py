"""How long real texts are, in a model's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli.errors import BadInputError
from cli.paths import expanded
from distillation.values import DOCSTRINGS
from encoders.values import HeadKind

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from distillation.rows import Table

KEY = "--lengths"
AT_ONCE = 1000
"""Texts that are tokenised together."""


def lengths_of(source: str, columns: Sequence[str], tokenizer: str) -> list[int]:
    """Tokens of each text, special ones included: of a .txt file's lines, a table's column, or a dataset's train split.

    `columns` are one, or two for pairs of texts; without any they are inferred. `tokenizer` is a folder or hub's id.

    Raises:
        BadInputError: no such texts, columns or tokenizer.
    """
    from distillation.columns import find_columns
    from distillation.errors import DataError
    from distillation.labels import texts_of
    from encoders.errors import EncoderError
    from encoders.huggingface import load_tokenizer

    kind = HeadKind.CLASSIFICATION
    try:
        table = _table(source)
        found, _ = texts_of(table, find_columns(table, text=columns, is_labelled=False, key=KEY), kind)
        tokens = load_tokenizer(tokenizer)
    except DataError as error:
        raise BadInputError(str(error).replace(f"{KEY}.text", "--column")) from error
    except EncoderError as error:
        raise BadInputError(str(error)) from error
    if not found:
        raise BadInputError(f"{KEY}: every text of {source} is empty")
    lengths: list[int] = []
    for start in range(0, len(found), AT_ONCE):
        lengths += _lengths(tokens, found[start : start + AT_ONCE])
    return lengths


def _table(source: str) -> Table:
    from distillation.docstrings import harvest
    from distillation.formats import TEXT
    from distillation.hub import read_hub
    from distillation.rows import Row, Table
    from distillation.tables import endings, read_table

    if source == DOCSTRINGS:
        rows = tuple(Row(f"{DOCSTRINGS}, number {at}", (text,)) for at, (text, _) in enumerate(harvest().texts))
        return Table(DOCSTRINGS, (TEXT,), rows)
    path = expanded(source)
    known = endings(HeadKind.CLASSIFICATION, is_labelled=False)
    if path.exists() or path.is_absolute() or path.suffix.lower() in known:
        return read_table(path, KEY, is_labelled=False)
    return read_hub(source, KEY)[0]


def _lengths(tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, ...]]) -> list[int]:
    first = [each[0] for each in texts]
    second = [each[1] for each in texts] if len(texts[0]) > 1 else None
    encoded = tokenizer(first, second, truncation=False, padding=False, verbose=False)
    return [len(ids) for ids in encoded["input_ids"]]
