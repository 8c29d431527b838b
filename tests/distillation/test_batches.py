import numpy as np
import pytest
import torch

from distillation.batches import Encoded, TrainingBatches
from distillation.errors import DataError
from distillation.splits import Example, SelectionSplit, TrainSplit


def equal(one, other):
    return torch.equal(one.input_ids, other.input_ids) and torch.equal(one.labels, other.labels)


@pytest.fixture
def batches(data):
    return lambda seed=0: TrainingBatches(data.train, data.tokenizer, batch_size=16, max_length=12, seed=seed)


def test_a_batch_is_a_function_of_seed_and_step_alone(batches):
    forwards, backwards = batches(), batches()
    steps = range(2 * forwards.per_epoch + 3)
    later = {step: backwards(step) for step in reversed(steps)}
    assert all(equal(forwards(step), later[step]) for step in steps)
    assert not all(equal(forwards(step), batches(seed=1)(step)) for step in steps)


def test_every_epoch_holds_every_example_once_in_another_order(batches, data):
    made = batches()
    epochs = [
        [tuple(ids.tolist()) for step in range(start, start + made.per_epoch) for ids in unpadded(made(step))]
        for start in (0, made.per_epoch)
    ]
    assert len(epochs[0]) == len(data.train.examples)
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0] != epochs[1]


def unpadded(batch):
    return [ids[mask.bool()] for ids, mask in zip(batch.input_ids, batch.attention_mask, strict=True)]


def test_batches_of_like_lengths_hold_little_padding(batches):
    made = batches()
    masks = [made(step).attention_mask for step in range(made.per_epoch)]
    assert all(bool(mask[:, -1].any()) for mask in masks)
    assert sum(int(mask.sum()) for mask in masks) > 0.9 * sum(mask.numel() for mask in masks)


def test_tokens_are_the_tokenizers_own_cut_at_the_length(data):
    texts = Encoded(data.selection, data.tokenizer, max_length=6)
    seen = {}
    for indices, batch in texts.by_length(7):
        for index, ids, label in zip(indices, unpadded(batch), batch.labels, strict=True):
            seen[int(index)] = (ids.tolist(), int(label))
    assert sorted(seen) == list(range(len(data.selection.examples)))
    for index, example in enumerate(data.selection.examples):
        expected = data.tokenizer(example.texts[0], truncation=True, max_length=6)["input_ids"]
        assert seen[index] == (expected, example.label)


@pytest.mark.parametrize(("texts", "marks"), [(("cat dog",), 2), (("cat dog", "oak"), 3)])
def test_a_length_without_room_for_text_is_refused(data, texts, marks):
    split = SelectionSplit((Example(texts, 0),))
    with pytest.raises(
        DataError, match=rf"distillation\.max_length: {marks} .* {marks} marks; give at least {marks + 1}"
    ):
        Encoded(split, data.tokenizer, max_length=marks)
    assert Encoded(split, data.tokenizer, max_length=marks + 1).lengths.tolist() == [marks + 1]


def test_single_texts_need_no_types_and_pairs_have_them(data):
    single = SelectionSplit((Example(("cat dog",), 0),))
    pair = SelectionSplit((Example(("cat dog", "oak"), 0), Example(("cat", "fern moss rose"), 1)))
    of = np.array([0])
    assert Encoded(single, data.tokenizer, max_length=12).batch(of).token_type_ids is None
    types = Encoded(pair, data.tokenizer, max_length=12).batch(np.array([0, 1])).token_type_ids
    assert types is not None
    expected = [data.tokenizer(*example.texts)["token_type_ids"] for example in pair.examples]
    assert [row[: len(want)] for row, want in zip(types.tolist(), expected, strict=True)] == expected


def test_training_takes_nothing_but_a_train_split(data, report_data):
    for held_out in (data.selection, report_data.report):
        with pytest.raises(TypeError, match="training takes a TrainSplit"):
            TrainingBatches(held_out, data.tokenizer, batch_size=4, max_length=12, seed=0)  # type: ignore[arg-type]


def test_fewer_examples_than_a_batch_make_one_batch(data):
    few = TrainSplit(data.train.examples[:5])
    made = TrainingBatches(few, data.tokenizer, batch_size=16, max_length=12, seed=0)
    assert made.per_epoch == 1
    assert len(made(3).labels) == 5
