"""Texts as padded batches of token ids.

Shapes: B batch, L length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from distillation.encoding import UNLABELLED, Booleans, Integers, Rows, encode
from distillation.masking import Masker
from distillation.splits import AnySplit, TrainSplit
from encoders.values import HeadKind

WINDOW = 32
"""Batches that are sorted by length together: with more, batches of one length have ever more equal texts."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of token ids, with what is to be decided there and what is known of it.

    Args:
        input_ids, attention_mask, token_type_ids: (B, L); types only for pairs.
        labels: classes (B,); values (B,), nan where there is none; tags (B, L); the first and last token of the answer
            (B, 2), 0 where it is not in this window; of masked tokens what they were (B, L). -100 where there is no
            label, or nothing to decide.
        indices: (B,), the rows' positions in their encoded split.
        decides: (B, L), where there is a decision, labelled or not: at the first tokens of words; where an answer may
            be, which is the context and, for no answer, the first token; at masked tokens. None where there is one
            decision for a row.
    """

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor | None
    labels: Tensor
    indices: Tensor
    decides: Tensor | None

    def to(self, device: torch.device) -> Batch:
        return self._each(lambda tensor: tensor.to(device))

    def rows(self, rows: Tensor) -> Batch:
        """These rows of the batch."""
        return self._each(lambda tensor: tensor[rows])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            change(self.input_ids),
            change(self.attention_mask),
            None if self.token_type_ids is None else change(self.token_type_ids),
            change(self.labels),
            change(self.indices),
            None if self.decides is None else change(self.decides),
        )


class Encoded:
    """The rows of a split: its texts as tokens, or windows of them, none longer than `max_length`.

    Raises:
        DataError: as `encode`, or no mark for masked words in the tokenizer.
    """

    def __init__(
        self,
        split: AnySplit,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
        kind: HeadKind = HeadKind.CLASSIFICATION,
        seed: int = 0,
    ) -> None:
        """`seed` is of the masked words, which are others in every epoch of training."""
        self.kind = kind
        self.max_length = max_length
        self.examples = split.examples
        self.rows: Rows = encode(split.examples, tokenizer, kind=kind, max_length=max_length)
        self.vocabulary_size = len(tokenizer)
        self._starts = np.concatenate(([0], np.cumsum(self.rows.lengths)[:-1]))
        self._padding = int(tokenizer.pad_token_id or 0)
        self._masker = Masker(tokenizer, seed) if kind is HeadKind.MASKED_LM else None

    def __len__(self) -> int:
        return len(self.rows.lengths)

    @property
    def lengths(self) -> Integers:
        return self.rows.lengths

    @property
    def labels(self) -> Integers:
        """As `Rows` has them."""
        return self.rows.labels

    @property
    def cut_share(self) -> float:
        """The share of examples of which something was cut off."""
        return self.rows.cut / len(self.examples)

    def places(self, index: int) -> npt.NDArray[np.int32]:
        """Of a row's tokens, as `Rows` has them."""
        if self.rows.places is None:
            raise ValueError(f"tokens of a task of {self.kind} have no places")
        start = self._starts[index]
        return self.rows.places[start : start + self.lengths[index]]

    def batch(self, indices: Integers, epoch: int = 0) -> Batch:
        """These rows, padded to the longest of them."""
        lengths = self.lengths[indices]
        offsets = np.arange(lengths.max())
        real = offsets[None, :] < lengths[:, None]
        places = np.where(real, self._starts[indices][:, None] + offsets[None, :], 0)
        ids = np.where(real, self.rows.ids[places], self._padding).astype(np.int64)
        types = None if self.rows.types is None else np.where(real, self.rows.types[places], 0).astype(np.int64)
        decides = None if self.rows.decides is None else real & self.rows.decides[places]
        if self._masker is not None and decides is not None:
            ids, labels, decides = self._masker(ids, decides, indices, epoch)
        else:
            labels = self._labels(indices, places, real)
        return Batch(
            torch.from_numpy(ids),
            torch.from_numpy(real.astype(np.int64)),
            None if types is None else torch.from_numpy(types),
            torch.from_numpy(labels),
            torch.from_numpy(indices.astype(np.int64)),
            None if decides is None else torch.from_numpy(decides),
        )

    def by_length(self, batch_size: int, most: int | None = None) -> Iterator[tuple[Integers, Batch]]:
        """Everything once, with the rows' indices; alike in length within a batch.

        No more than `most` rows, evenly from the shortest to the longest.
        """
        order = np.argsort(self.lengths, kind="stable")
        if most is not None and most < len(order):
            order = order[np.arange(most) * len(order) // most]
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            yield indices, self.batch(indices)

    def _labels(self, indices: Integers, places: Integers, real: Booleans) -> Integers:
        if self.kind is HeadKind.TOKEN_CLASSIFICATION:
            labels: Integers = np.where(real, self.rows.labels[places], UNLABELLED)
            return labels
        return self.rows.labels[indices]


class TrainingBatches:
    """An endless sequence of batches of similar lengths; the batch of a step depends on seed and step alone.

    Every epoch shuffles the rows, sorts windows of them by length and shuffles the batches.
    """

    def __init__(
        self,
        split: TrainSplit,
        tokenizer: PreTrainedTokenizerBase,
        *,
        batch_size: int,
        max_length: int,
        seed: int,
        kind: HeadKind = HeadKind.CLASSIFICATION,
    ) -> None:
        if not isinstance(split, TrainSplit):
            raise TypeError(f"training takes a TrainSplit, got a {type(split).__name__}")
        self._encoded = Encoded(split, tokenizer, max_length=max_length, kind=kind, seed=seed)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = -1
        self._plan: list[Integers] = []

    @property
    def encoded(self) -> Encoded:
        """The rows that `Batch.indices` count."""
        return self._encoded

    @property
    def per_epoch(self) -> int:
        return -(-len(self._encoded) // self._batch_size)

    def __call__(self, step: int) -> Batch:
        """The batch of this step, counted from 0."""
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._plan = epoch, self._shuffled(epoch)
        return self._encoded.batch(self._plan[index], epoch)

    def _shuffled(self, epoch: int) -> list[Integers]:
        random = np.random.default_rng([self._seed, epoch])
        order = random.permutation(len(self._encoded))
        window = WINDOW * self._batch_size
        for start in range(0, len(order), window):
            part = order[start : start + window]
            order[start : start + window] = part[np.argsort(self._encoded.lengths[part], kind="stable")]
        batches = [order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]
        return [batches[index] for index in random.permutation(len(batches))]
