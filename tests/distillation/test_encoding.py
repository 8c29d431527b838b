from itertools import pairwise

import numpy as np
import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import RobertaTokenizerFast

from distillation.batches import Encoded, TrainingBatches
from distillation.encoding import UNLABELLED
from distillation.errors import DataError
from distillation.splits import Answer, Example, SelectionSplit, TrainSplit
from encoders.values import HeadKind

WORDS = ("cat", "unfathomable", "dog", "slate")


def rows(data, examples, kind, max_length=12, **settings):
    return Encoded(SelectionSplit(tuple(examples)), data.tokenizer, max_length=max_length, kind=kind, **settings)


def all_of(encoded, epoch=0):
    return encoded.batch(np.arange(len(encoded)), epoch)


def test_a_value_is_a_float_and_nan_where_there_is_none(data):
    batch = all_of(rows(data, [Example(("cat",), 2.5), Example(("dog oak",), None)], HeadKind.REGRESSION))
    assert batch.labels.dtype == torch.float32
    assert batch.labels[0] == 2.5
    assert batch.labels[1].isnan()
    assert batch.decides is None


def test_a_class_that_is_not_known_is_marked(data):
    batch = all_of(rows(data, [Example(("cat",), 1), Example(("dog",), None)], HeadKind.CLASSIFICATION))
    assert batch.labels.tolist() == [1, UNLABELLED]
    assert batch.indices.tolist() == [0, 1]


def test_the_first_token_of_a_word_decides_its_tag(data):
    examples = [Example(WORDS, (1, 2, 0, 2)), Example(("cat",), None)]
    encoded = rows(data, examples, HeadKind.TOKEN_CLASSIFICATION, max_length=64)
    batch = all_of(encoded)
    pieces = [data.tokenizer.tokenize(word) for word in WORDS]
    assert len(pieces[1]) > 1
    expected = [UNLABELLED]
    for tag, word in zip((1, 2, 0, 2), pieces, strict=True):
        expected += [tag, *[UNLABELLED] * (len(word) - 1)]
    assert batch.labels[0].tolist() == [*expected, UNLABELLED]
    assert batch.decides is not None
    assert batch.decides[0].tolist() == [label != UNLABELLED for label in batch.labels[0].tolist()]
    # Without tags there are decisions all the same.
    assert batch.decides[1].nonzero().flatten().tolist() == [1]
    assert (batch.labels[1] == UNLABELLED).all()


def test_words_are_the_tokens_that_they_are_in_running_text(tmp_path):
    """A tokenizer of bytes tells a word after a space from one without."""
    of_bytes = ByteLevelBPETokenizer()
    of_bytes.train_from_iterator(
        ["the cat sat near the old oak tree"] * 50, 300, special_tokens=["<s>", "<pad>", "</s>"]
    )
    of_bytes.save_model(str(tmp_path))
    tokenizer = RobertaTokenizerFast(vocab=str(tmp_path / "vocab.json"), merges=str(tmp_path / "merges.txt"))
    split = SelectionSplit((Example(("the", "cat", "sat"), (0, 1, 2)),))
    encoded = Encoded(split, tokenizer, max_length=12, kind=HeadKind.TOKEN_CLASSIFICATION)
    assert encoded.rows.ids.tolist() == tokenizer("the cat sat")["input_ids"]
    assert all_of(encoded).labels.tolist() == [[UNLABELLED, 0, 1, 2, UNLABELLED]]


def test_words_that_are_cut_decide_nothing_and_are_counted(data):
    encoded = rows(data, [Example(WORDS, (1, 2, 0, 2)), Example(("cat",), (0,))], HeadKind.TOKEN_CLASSIFICATION, 5)
    assert encoded.cut_share == 0.5
    batch = all_of(encoded)
    assert batch.input_ids.shape[1] == 5
    assert batch.decides is not None
    assert int(batch.decides[0].sum()) < len(WORDS)


QUESTION = "where is the cat"
CONTEXT = "the dog sat near the old oak and the cat sat under the small fern with a hen and a duck"


def asked(answer, context=CONTEXT, question=QUESTION):
    return Example((question, context), (Answer(answer, context.index(answer)),) if answer else ())


def text_of(encoded, row, first, last):
    places = encoded.places(row)
    return encoded.examples[encoded.rows.examples[row]].texts[1][places[first, 0] : places[last, 1]]


@pytest.mark.parametrize("answer", ["under the small fern", "the dog", "a duck", "oak and the cat", "hen"])
def test_an_answer_is_in_every_window_that_holds_it_whole(data, answer):
    encoded = rows(data, [asked("cat", "the cat"), asked(answer)], HeadKind.QUESTION_ANSWERING, max_length=20)
    batch = all_of(encoded)
    assert (batch.indices == torch.arange(len(encoded))).all()
    begin = CONTEXT.index(answer)
    found = 0
    for row in np.flatnonzero(encoded.rows.examples == 1):
        first, last = batch.labels[row].tolist()
        places = encoded.places(row)
        inside = places[places[:, 0] >= 0]
        holds = inside[0, 0] <= begin and begin + len(answer) <= inside[-1, 1]
        assert ((first, last) != (0, 0)) == holds
        if holds:
            assert text_of(encoded, row, first, last) == answer
            found += 1
    assert found >= 1
    assert len(encoded) > 3


def test_windows_of_a_context_overlap_and_leave_nothing_out(data):
    encoded = rows(data, [asked("hen")], HeadKind.QUESTION_ANSWERING, max_length=20)
    spans = []
    for row in range(len(encoded)):
        places = encoded.places(row)
        spans.append((places[places[:, 0] >= 0][0, 0], places[places[:, 0] >= 0][-1, 1]))
    assert spans[0][0] == 0
    assert spans[-1][1] == len(CONTEXT)
    assert all(later[0] < earlier[1] for earlier, later in pairwise(spans))
    assert max(encoded.lengths) <= 20


def test_only_the_context_and_the_first_token_can_be_an_answer(data):
    encoded = rows(data, [asked("cat", "the cat"), asked(None, "the dog")], HeadKind.QUESTION_ANSWERING, max_length=20)
    batch = all_of(encoded)
    assert batch.token_type_ids is not None
    assert batch.decides is not None
    expected = batch.token_type_ids.bool() & (batch.input_ids != data.tokenizer.sep_token_id)
    expected[:, 0] = True
    assert (batch.decides == (expected & batch.attention_mask.bool())).all()
    assert batch.labels[1].tolist() == [0, 0]


def test_a_question_without_a_label_has_none(data):
    encoded = rows(data, [Example((QUESTION, CONTEXT), None)], HeadKind.QUESTION_ANSWERING, max_length=20)
    assert (all_of(encoded).labels == UNLABELLED).all()
    assert encoded.rows.decides is not None
    assert encoded.rows.decides.any()


def test_a_long_question_leaves_room_for_its_context_and_is_counted(data):
    both = [asked("cat", question="where is " * 30), asked("cat", question="cat")]
    encoded = rows(data, both, HeadKind.QUESTION_ANSWERING, max_length=20)
    assert encoded.cut_share == 0.5
    assert max(encoded.lengths) <= 20
    assert any(all_of(encoded).labels[encoded.rows.examples == 0, 0] > 0)
    with pytest.raises(DataError, match=r"distillation\.max_length: 5 tokens leave no room for a question and its"):
        rows(data, [asked("cat")], HeadKind.QUESTION_ANSWERING, max_length=5)


TEXTS = [Example((f"the cat and the {word} near the old oak number {at}",), None) for at, word in enumerate(WORDS * 5)]


def test_a_masked_token_is_labelled_with_what_it_was(data):
    encoded = rows(data, TEXTS, HeadKind.MASKED_LM, max_length=40)
    batch = all_of(encoded)
    original = data.tokenizer([example.texts[0] for example in TEXTS], padding=True, return_tensors="pt")["input_ids"]
    assert batch.decides is not None
    assert ((batch.labels != UNLABELLED) == batch.decides).all()
    assert (batch.labels[batch.decides] == original[batch.decides]).all()
    assert (batch.input_ids[~batch.decides] == original[~batch.decides]).all()
    special = torch.isin(original, torch.tensor(data.tokenizer.all_special_ids))
    assert not (special & batch.decides).any()
    shares = batch.decides.sum(dim=1) / (~special).sum(dim=1)
    assert ((shares - 0.15).abs() <= 0.5 / (~special).sum(dim=1) + 1e-6).all()


def test_of_masked_tokens_eight_in_ten_are_hidden_one_is_another_and_one_stays(data):
    many = [Example((" ".join(["cat"] * 30),), None)] * 600
    encoded = rows(data, many, HeadKind.MASKED_LM, max_length=40)
    batch = all_of(encoded)
    assert batch.decides is not None
    shown, was = batch.input_ids[batch.decides], batch.labels[batch.decides]
    assert len(shown) == 600 * round(0.15 * 30)
    hidden = (shown == data.tokenizer.mask_token_id).float().mean()
    kept = (shown == was).float().mean()
    assert hidden == pytest.approx(0.8, abs=0.03)
    assert kept == pytest.approx(0.1, abs=0.03)
    others = shown[(shown != data.tokenizer.mask_token_id) & (shown != was)]
    assert len(others.unique()) > 50
    assert not torch.isin(others, torch.tensor(data.tokenizer.all_special_ids)).any()


def test_a_mask_that_is_in_the_text_is_nothing_to_guess(data):
    encoded = rows(data, [Example(("the [MASK] cat and the [MASK] dog",), None)] * 50, HeadKind.MASKED_LM, 40)
    batch = all_of(encoded)
    assert not (batch.labels == data.tokenizer.mask_token_id).any()
    assert (batch.labels != UNLABELLED).any()


def test_masks_depend_on_seed_epoch_and_row_and_not_on_the_batch(data):
    encoded = rows(data, TEXTS, HeadKind.MASKED_LM, max_length=40, seed=3)
    alone, together = encoded.batch(np.array([7]), epoch=2), encoded.batch(np.array([1, 7, 4]), epoch=2)
    length = int(alone.attention_mask.sum())
    assert alone.input_ids[0].tolist() == together.input_ids[1, :length].tolist()
    assert alone.labels[0].tolist() == together.labels[1, :length].tolist()
    others = [encoded.batch(np.array([7]), epoch=3), rows(data, TEXTS, HeadKind.MASKED_LM, 40).batch(np.array([7]), 2)]
    assert any(other.labels.tolist() != alone.labels.tolist() for other in others)
    held_out = [rows(data, TEXTS, HeadKind.MASKED_LM, 40) for _ in range(2)]
    assert all_of(held_out[0]).input_ids.equal(all_of(held_out[1]).input_ids)


def test_a_long_text_becomes_pieces_that_hold_all_of_it(data):
    encoded = rows(data, [Example((CONTEXT,), None), Example(("cat",), None)], HeadKind.MASKED_LM, max_length=8)
    assert encoded.rows.examples.tolist() == [0] * (len(encoded) - 1) + [1]
    assert encoded.cut_share == 0
    special = data.tokenizer.all_special_ids
    kept = [token for token in encoded.rows.ids.tolist() if token not in special]
    assert kept == [t for text in (CONTEXT, "cat") for t in data.tokenizer(text, add_special_tokens=False)["input_ids"]]


@pytest.mark.parametrize("kind", [HeadKind.MASKED_LM, HeadKind.QUESTION_ANSWERING, HeadKind.TOKEN_CLASSIFICATION])
def test_a_step_of_every_kind_is_a_function_of_seed_and_step_alone(data, kind):
    examples = {
        HeadKind.MASKED_LM: TEXTS,
        HeadKind.QUESTION_ANSWERING: [asked("hen"), asked("a duck"), asked(None)],
        HeadKind.TOKEN_CLASSIFICATION: [Example(WORDS, (1, 2, 0, 2))] * 9,
    }[kind]

    def batches():
        return TrainingBatches(
            TrainSplit(tuple(examples)), data.tokenizer, batch_size=4, max_length=20, seed=1, kind=kind
        )

    forwards, backwards = batches(), batches()
    steps = range(2 * forwards.per_epoch)
    later = {step: backwards(step) for step in reversed(steps)}
    for step in steps:
        assert forwards(step).input_ids.equal(later[step].input_ids)
        assert forwards(step).labels.equal(later[step].labels)
    assert sorted(torch.cat([forwards(step).indices for step in range(forwards.per_epoch)]).tolist()) == list(
        range(len(forwards.encoded))
    )


def test_some_rows_of_a_batch_are_a_batch(data):
    whole = all_of(rows(data, [asked("hen"), asked("a duck")], HeadKind.QUESTION_ANSWERING, max_length=20))
    part = whole.rows(torch.tensor([2, 0]))
    assert part.indices.tolist() == [2, 0]
    for name in ("input_ids", "attention_mask", "token_type_ids", "labels", "decides"):
        assert getattr(part, name).equal(getattr(whole, name)[[2, 0]])


def test_many_texts_are_encoded_as_few_are(data):
    many = [Example((f"cat {at}", CONTEXT), (Answer("hen", CONTEXT.index("hen")),)) for at in range(1003)]
    encoded = rows(data, many, HeadKind.QUESTION_ANSWERING, max_length=24)
    last = rows(data, many[-1:], HeadKind.QUESTION_ANSWERING, max_length=24)
    at_end = np.flatnonzero(encoded.rows.examples == 1002)
    assert len(at_end) == len(last)
    assert encoded.batch(at_end).input_ids.equal(all_of(last).input_ids)
    assert encoded.batch(at_end).labels.equal(all_of(last).labels)
    assert encoded.places(int(at_end[0])).tolist() == last.places(0).tolist()


def test_a_tokenizer_without_a_mask_hides_nothing(data):
    tokenizer = data.tokenizer.__class__.from_pretrained(data.tokenizer.name_or_path)
    tokenizer.mask_token = None
    with pytest.raises(DataError, match="has no mask token"):
        Encoded(SelectionSplit(tuple(TEXTS)), tokenizer, max_length=20, kind=HeadKind.MASKED_LM)
