"""A WordPiece tokenizer trained on a task's own text.

Equal texts give an equal vocabulary. The library's trainer alone does not: it numbers the pieces that continue a word
in the order of a randomly seeded hash map, and breaks ties between merges by those numbers. Naming these pieces
beforehand fixes the numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY_SIZE = 8000
ALPHABET_SIZE = 256
"""Rarer characters become [UNK] with the word they are in."""


def train_tokenizer(
    texts: Sequence[str], *, size: int = VOCABULARY_SIZE, max_length: int = 512
) -> PreTrainedTokenizerFast:
    """A lower-casing tokenizer that makes `[CLS] text [SEP]` and `[CLS] text [SEP] pair [SEP]`.

    `size` is the most entries; a small text gives fewer. `max_length` is what the tokenizer says of itself.
    """
    normalizer = normalizers.BertNormalizer(lowercase=True)
    alphabet = _alphabet(texts, normalizer)
    vocabulary = _train(texts, normalizer, alphabet, size)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 (a token, not a secret)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="[PAD]",  # noqa: S106
        unk_token="[UNK]",  # noqa: S106
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        mask_token="[MASK]",  # noqa: S106
        model_max_length=max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def _alphabet(texts: Sequence[str], normalizer: normalizers.Normalizer) -> list[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(normalizer.normalize_str(text))
    for white in [character for character in counts if character.isspace()]:
        del counts[white]
    commonest = sorted(counts, key=lambda character: (-counts[character], character))[:ALPHABET_SIZE]
    return sorted(commonest)


def _train(texts: Sequence[str], normalizer: normalizers.Normalizer, alphabet: list[str], size: int) -> dict[str, int]:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    continuing = [f"##{character}" for character in alphabet]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[*SPECIAL, *continuing],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.get_vocab()
