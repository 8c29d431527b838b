"""Texts as tokens, with what a kind of task wants to know of each.

Shapes: T tokens of all rows, one row after the other; R rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from distillation.errors import DataError
from distillation.splits import Answer, Example
from encoders.values import HeadKind

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

UNLABELLED = -100
"""Where a label should be and there is none, but for numbers, where it is nan."""

AT_ONCE = 1000
"""Texts that are tokenised together: their tokens are lists of Python until they are arrays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of a split: texts, or windows of texts.

    Args:
        ids, types: (T,); types only of pairs.
        lengths: (R,) in tokens.
        examples: (R,) which example of the split a row is from.
        labels: (R,) or (R, 2), of tokens (T,); of masked words there are none yet.
        decides: (T,) where there is a decision, or may be: of words their first tokens, of answers the context and the
            first token, of masked words all that may be masked.
        places: (T, 2) the characters of a context, first and behind the last; of words (T,) their number. -1 elsewhere.
        cut: how many examples had more tokens than there is room for.
    """

    ids: npt.NDArray[np.int32]
    lengths: Integers
    examples: Integers
    labels: npt.NDArray[Any]
    types: npt.NDArray[np.int32] | None = None
    decides: Booleans | None = None
    places: npt.NDArray[np.int32] | None = None
    cut: int = 0


def encode(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, *, kind: HeadKind, max_length: int) -> Rows:
    """The rows of these examples, none longer than `max_length`.

    Texts and words are cut there; long contexts become overlapping windows, long texts of a masked LM pieces.

    Raises:
        DataError: no room for a text beside the marks ([CLS], [SEP]) that the tokenizer adds, or a tokenizer that
            cannot tell where its tokens are.
    """
    pairs = any(len(example.texts) == 2 for example in examples) and kind is not HeadKind.TOKEN_CLASSIFICATION
    marks = tokenizer.num_special_tokens_to_add(pair=pairs)
    if max_length <= marks:  # tokenizers then cut nothing, or all of the text
        raise DataError(
            f"distillation.max_length: {max_length} tokens leave no room for text beside {marks} marks;"
            f" give at least {marks + 1}"
        )
    if kind not in _WHOLE and not tokenizer.is_fast:
        raise DataError(
            f"teacher: a task of {kind} needs a tokenizer that tells where its tokens are; this one is slow"
        )
    parts = (
        _ENCODERS[kind](examples[start : start + AT_ONCE], tokenizer, max_length)
        for start in range(0, len(examples), AT_ONCE)
    )
    return _joined(list(parts))


def _texts(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Rows:
    columns = [list(texts) for texts in zip(*(example.texts for example in examples), strict=True)]
    encoded = tokenizer(*columns, truncation=True, max_length=max_length, return_attention_mask=False)
    lengths = _lengths(encoded["input_ids"])
    if encoded.encodings is not None:
        cut = sum(bool(each.overflowing) for each in encoded.encodings)
    else:
        longer = tokenizer(*columns, truncation=True, max_length=max_length + 1, return_attention_mask=False)
        cut = int((_lengths(longer["input_ids"]) > max_length).sum())
    return Rows(
        ids=_flat(encoded["input_ids"]),
        # Without types a model takes every token for type 0, which is what a single text's are.
        types=_flat(encoded["token_type_ids"]) if len(columns) == 2 and "token_type_ids" in encoded else None,
        lengths=lengths,
        examples=np.arange(len(examples)),
        labels=np.zeros(0),
        cut=cut,
    )


def _classes(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Rows:
    labels = [UNLABELLED if example.label is None else example.label for example in examples]
    return replace(_texts(examples, tokenizer, max_length), labels=np.array(labels, dtype=np.int64))


def _values(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Rows:
    labels = [np.nan if example.label is None else example.label for example in examples]
    return replace(_texts(examples, tokenizer, max_length), labels=np.array(labels, dtype=np.float32))


def _words(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Rows:
    """A word's decision is its first token's."""
    # To a tokenizer of bytes the space before a word belongs to it.
    space = " " if getattr(tokenizer, "add_prefix_space", None) is False else ""
    encoded = tokenizer(
        [[example.texts[0], *(f"{space}{word}" for word in example.texts[1:])] for example in examples],
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
        return_attention_mask=False,
    )
    places, labels = [], []
    for example, each in zip(examples, encoded.encodings, strict=True):
        words = np.array([-1 if word is None else word for word in each.word_ids], dtype=np.int32)
        words[1:][words[1:] == words[:-1]] = -1
        places.append(words)
        tags = np.full(len(words), UNLABELLED, dtype=np.int64)
        if isinstance(example.label, tuple):
            known = np.array(example.label, dtype=np.int64)
            tags[words >= 0] = known[words[words >= 0]]
        labels.append(tags)
    all_places = np.concatenate(places)
    return Rows(
        ids=_flat(encoded["input_ids"]),
        lengths=_lengths(encoded["input_ids"]),
        examples=np.arange(len(examples)),
        labels=np.concatenate(labels),
        decides=all_places >= 0,
        places=all_places,
        cut=sum(bool(each.overflowing) for each in encoded.encodings),
    )


def _questions(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Rows:
    """Windows that overlap by a quarter of the length; a question that would fill half of one is cut."""
    marks = tokenizer.num_special_tokens_to_add(pair=True)
    longest, overlap = max(1, max_length // 2 - marks), max_length // 4
    if max_length - marks - longest <= overlap:
        raise DataError(f"distillation.max_length: {max_length} tokens leave no room for a question and its context")
    questions, cut = _shortened([example.texts[0] for example in examples], tokenizer, longest)
    encoded = tokenizer(
        questions,
        [example.texts[1] for example in examples],
        truncation="only_second",
        max_length=max_length,
        stride=overlap,
        return_overflowing_tokens=True,
        return_attention_mask=False,
    )
    of = np.array(encoded["overflow_to_sample_mapping"], dtype=np.int64)
    places, labels, decides = [], [], []
    for index, each in zip(of, encoded.encodings, strict=True):
        in_context = np.array([part == 1 for part in each.sequence_ids])
        offsets = np.where(in_context[:, None], np.array(each.offsets, dtype=np.int32), -1)
        places.append(offsets)
        labels.append(_span(examples[index].label, offsets))
        in_context[0] = True
        decides.append(in_context)
    return Rows(
        ids=_flat(encoded["input_ids"]),
        types=_flat(encoded["token_type_ids"]) if "token_type_ids" in encoded else None,
        lengths=_lengths(encoded["input_ids"]),
        examples=of,
        labels=np.array(labels, dtype=np.int64).reshape(-1, 2),
        decides=np.concatenate(decides),
        places=np.concatenate(places),
        cut=cut,
    )


def _span(label: object, offsets: npt.NDArray[np.int32]) -> tuple[int, int]:
    """The first and the last token of the first answer; both 0 where it is not, or not whole, in this window."""
    if not isinstance(label, tuple):
        return UNLABELLED, UNLABELLED
    context = np.flatnonzero(offsets[:, 0] >= 0)
    if not label or not len(context):
        return 0, 0
    answer: Answer = label[0]
    end = answer.start + len(answer.text)
    if answer.start < offsets[context[0], 0] or end > offsets[context[-1], 1]:
        return 0, 0
    first = context[np.argmax(offsets[context, 1] > answer.start)]
    last = context[len(context) - 1 - np.argmax(offsets[context[::-1], 0] < end)]
    return (int(first), int(last)) if first <= last else (0, 0)


def _shortened(texts: list[str], tokenizer: PreTrainedTokenizerBase, longest: int) -> tuple[list[str], int]:
    encoded = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=longest)
    kept, cut = [], 0
    for text, each in zip(texts, encoded.encodings, strict=True):
        kept.append(text[: each.offsets[-1][1]] if each.overflowing else text)
        cut += bool(each.overflowing)
    return kept, cut


def _pieces(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Rows:
    """Long texts become several rows, so that nothing is lost; all tokens but the tokenizer's own may be masked."""
    encoded = tokenizer(
        [example.texts[0] for example in examples],
        truncation=True,
        max_length=max_length,
        stride=0,
        return_overflowing_tokens=True,
        return_attention_mask=False,
        return_special_tokens_mask=True,
    )
    ids = _flat(encoded["input_ids"])
    # A mask that is in the text itself hides a word that nobody knows.
    words = ~np.isin(ids, np.setdiff1d(tokenizer.all_special_ids, [tokenizer.unk_token_id]))
    return Rows(
        ids=ids,
        lengths=_lengths(encoded["input_ids"]),
        examples=np.array(encoded["overflow_to_sample_mapping"], dtype=np.int64),
        labels=np.zeros(0, dtype=np.int64),
        decides=words & (_flat(encoded["special_tokens_mask"]) == 0),
    )


_ENCODERS: Mapping[HeadKind, Callable[[Sequence[Example], PreTrainedTokenizerBase, int], Rows]] = {
    HeadKind.CLASSIFICATION: _classes,
    HeadKind.REGRESSION: _values,
    HeadKind.TOKEN_CLASSIFICATION: _words,
    HeadKind.QUESTION_ANSWERING: _questions,
    HeadKind.MASKED_LM: _pieces,
}

_WHOLE = (HeadKind.CLASSIFICATION, HeadKind.REGRESSION)
"""Kinds that need not know where a token is in its text."""


def _joined(parts: Sequence[Rows]) -> Rows:
    before = np.cumsum([0, *(int(part.examples.max()) + 1 for part in parts[:-1])])

    def optional(arrays: list[npt.NDArray[Any] | None]) -> npt.NDArray[Any] | None:
        there = [array for array in arrays if array is not None]
        return np.concatenate(there) if there else None

    return Rows(
        ids=np.concatenate([part.ids for part in parts]),
        lengths=np.concatenate([part.lengths for part in parts]),
        examples=np.concatenate([part.examples + start for part, start in zip(parts, before, strict=True)]),
        labels=np.concatenate([part.labels for part in parts]),
        types=optional([part.types for part in parts]),
        decides=optional([part.decides for part in parts]),
        places=optional([part.places for part in parts]),
        cut=sum(part.cut for part in parts),
    )


def _lengths(lists: Iterable[Sequence[int]]) -> Integers:
    return np.array([len(items) for items in lists], dtype=np.int64)


def _flat(lists: Iterable[Sequence[int]]) -> npt.NDArray[np.int32]:
    return np.fromiter(chain.from_iterable(lists), dtype=np.int32)
