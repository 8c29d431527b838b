"""Words that are hidden from a masked language model.

Shapes: B batch, L length.
"""

from __future__ import annotations

import numpy as np
from transformers import PreTrainedTokenizerBase

from distillation.encoding import UNLABELLED, Booleans, Integers
from distillation.errors import DataError

SHARE = 0.15
"""Of a row's tokens that are to be guessed, one at least."""

HIDDEN, KEPT = 0.8, 0.1
"""Shares of these that are replaced by the mask, and left as they are; the rest become random ones."""


class Masker:
    """Which tokens are hidden depends on the seed, the epoch and the row alone, not on the batch it is in.

    Raises:
        DataError: the tokenizer has no mask.

    References: arXiv:1810.04805, section 3.1; arXiv:1907.11692, section 4.1.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, seed: int) -> None:
        mask = tokenizer.mask_token_id
        if not isinstance(mask, int):
            raise DataError("teacher: its tokenizer has no mask token, so it hides no words for a masked LM")
        self._mask = mask
        self._seed = seed
        self._words: Integers = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)

    def __call__(
        self, ids_BL: Integers, maskable_BL: Booleans, indices_B: Integers, epoch: int
    ) -> tuple[Integers, Integers, Booleans]:
        """The ids with the mask in them, the labels, and where there are any."""
        hidden_BL, masked_BL = ids_BL.copy(), np.zeros_like(maskable_BL)
        for row, index in enumerate(indices_B):
            places = np.flatnonzero(maskable_BL[row])
            if not len(places):
                continue
            random = np.random.default_rng([self._seed, epoch, int(index)])
            chosen = random.choice(places, max(1, round(SHARE * len(places))), replace=False)
            draws = random.random(len(chosen))
            words = random.choice(self._words, len(chosen))
            shown = np.where(draws < HIDDEN, self._mask, np.where(draws < HIDDEN + KEPT, ids_BL[row, chosen], words))
            hidden_BL[row, chosen] = shown
            masked_BL[row, chosen] = True
        return hidden_BL, np.where(masked_BL, ids_BL, UNLABELLED), masked_BL
