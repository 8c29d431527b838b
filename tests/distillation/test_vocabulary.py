import random

from distillation.vocabulary import SPECIAL, train_tokenizer

WORDS = [
    f"{a}{b}{c}" for a in ("pre", "un", "re") for b in ("walk", "läuf", "tell", "mark") for c in ("ing", "ed", "s")
]


def texts() -> list[str]:
    rng = random.Random(0)
    return [" ".join(rng.choices(WORDS, k=6)) for _ in range(300)]


def test_equal_texts_give_an_equal_tokenizer():
    made = {train_tokenizer(texts(), size=90).backend_tokenizer.to_str() for _ in range(8)}
    assert len(made) == 1


def test_vocabulary_is_bounded_and_starts_with_the_special_tokens():
    tokenizer = train_tokenizer(texts(), size=90)
    assert len(tokenizer) <= 90
    assert tokenizer.convert_ids_to_tokens(list(range(len(SPECIAL)))) == list(SPECIAL)


def test_texts_are_lower_cased_and_framed_and_pairs_have_types():
    tokenizer = train_tokenizer(texts(), size=400)
    assert tokenizer.tokenize("PREWALKING") == ["prewalking"]
    single = tokenizer("prewalking")
    assert tokenizer.convert_ids_to_tokens(single["input_ids"]) == ["[CLS]", "prewalking", "[SEP]"]
    pair = tokenizer("prewalking", "untells")
    assert tokenizer.convert_ids_to_tokens(pair["input_ids"])[-2:] == ["untells", "[SEP]"]
    assert pair["token_type_ids"] == [0, 0, 0, 1, 1]


def test_unseen_words_are_spelt_from_pieces_and_unseen_letters_are_unknown():
    tokenizer = train_tokenizer(texts(), size=90)
    assert "[UNK]" not in tokenizer.tokenize("tellmarkwalk")
    assert tokenizer.tokenize("zzz") == ["[UNK]"]


def test_the_mask_in_a_text_is_one_token():
    assert train_tokenizer(texts(), size=90).tokenize("[MASK] walks")[0] == "[MASK]"
