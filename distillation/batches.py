"""Texts as padded batches of token ids.

Shapes: B batch, L length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from distillation.errors import DataError
from distillation.splits import AnySplit, TrainSplit

Integers = npt.NDArray[np.int64]

WINDOW = 32
"""Batches that are sorted by length together: with more, batches of one length have ever more equal texts."""


@dataclass(frozen=True, slots=True)
class Batch:
    """All but `labels` (B,) are (B, L); `token_type_ids` only for pairs."""

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor | None
    labels: Tensor

    def rows(self, rows: Tensor) -> Batch:
        """These rows of the batch."""
        types = None if self.token_type_ids is None else self.token_type_ids[rows]
        return Batch(self.input_ids[rows], self.attention_mask[rows], types, self.labels[rows])

    def to(self, device: torch.device) -> Batch:
        types = None if self.token_type_ids is None else self.token_type_ids.to(device)
        return Batch(self.input_ids.to(device), self.attention_mask.to(device), types, self.labels.to(device))


class Encoded:
    """The tokens of a split, each text cut at `max_length`.

    Raises:
        DataError: no room for a text beside the marks ([CLS], [SEP]) that the tokenizer adds.
    """

    def __init__(self, split: AnySplit, tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> None:
        self.labels: Integers = np.array([example.label for example in split.examples], dtype=np.int64)
        pairs = any(len(example.texts) == 2 for example in split.examples)
        marks = tokenizer.num_special_tokens_to_add(pair=pairs)
        if max_length <= marks:  # tokenizers then cut nothing, or all of the text
            raise DataError(
                f"distillation.max_length: {max_length} tokens leave no room for text beside {marks} marks;"
                f" give at least {marks + 1}"
            )
        columns = [list(texts) for texts in zip(*(example.texts for example in split.examples), strict=True)]
        encoded = tokenizer(*columns, truncation=True, max_length=max_length, return_attention_mask=False)
        self.lengths: Integers = np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int64)
        self._starts = np.concatenate(([0], np.cumsum(self.lengths)[:-1]))
        self._ids = _flat(encoded["input_ids"])
        # Without types a model takes every token for type 0, which is what a single text's are.
        self._types = _flat(encoded["token_type_ids"]) if pairs and "token_type_ids" in encoded else None
        self._padding = int(tokenizer.pad_token_id or 0)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Integers) -> Batch:
        """These examples, padded to the longest of them."""
        lengths = self.lengths[indices]
        offsets = np.arange(lengths.max())
        real = offsets[None, :] < lengths[:, None]
        places = np.where(real, self._starts[indices][:, None] + offsets[None, :], 0)
        types = None if self._types is None else torch.from_numpy(np.where(real, self._types[places], 0))
        return Batch(
            torch.from_numpy(np.where(real, self._ids[places], self._padding)),
            torch.from_numpy(real.astype(np.int64)),
            types,
            torch.from_numpy(self.labels[indices]),
        )

    def by_length(self, batch_size: int) -> Iterator[tuple[Integers, Batch]]:
        """Everything once, with the examples' indices; alike in length within a batch."""
        order = np.argsort(self.lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            yield indices, self.batch(indices)


class TrainingBatches:
    """An endless sequence of batches of similar lengths; the batch of a step depends on seed and step alone.

    Every epoch shuffles the examples, sorts windows of them by length and shuffles the batches.
    """

    def __init__(
        self, split: TrainSplit, tokenizer: PreTrainedTokenizerBase, *, batch_size: int, max_length: int, seed: int
    ) -> None:
        if not isinstance(split, TrainSplit):
            raise TypeError(f"training takes a TrainSplit, got a {type(split).__name__}")
        self._encoded = Encoded(split, tokenizer, max_length=max_length)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = -1
        self._plan: list[Integers] = []

    @property
    def per_epoch(self) -> int:
        return -(-len(self._encoded) // self._batch_size)

    def __call__(self, step: int) -> Batch:
        """The batch of this step, counted from 0."""
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._plan = epoch, self._shuffled(epoch)
        return self._encoded.batch(self._plan[index])

    def _shuffled(self, epoch: int) -> list[Integers]:
        random = np.random.default_rng([self._seed, epoch])
        order = random.permutation(len(self._encoded))
        window = WINDOW * self._batch_size
        for start in range(0, len(order), window):
            part = order[start : start + window]
            order[start : start + window] = part[np.argsort(self._encoded.lengths[part], kind="stable")]
        batches = [order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]
        return [batches[index] for index in random.permutation(len(batches))]


def _flat(lists: Sequence[Sequence[int]]) -> Integers:
    return np.fromiter((item for items in lists for item in items), dtype=np.int64)
