import random

from distillation.splits import (
    MOST_SELECTION,
    Answer,
    Example,
    by_context,
    labelled,
    split_all,
    split_train,
    with_transfer,
)

# Fixed once: a change here changes every published report split.
REPORT_OF_30 = [f"text number {number}" for number in (11, 27, 3, 13, 19, 16, 5, 8)]
SELECTION_OF_30 = [f"text number {number}" for number in (2, 14)]


def made(count: int) -> list[Example]:
    return [Example((f"text number {index}",), index % 2) for index in range(count)]


def test_shares_are_about_eight_one_one():
    splits = split_all(made(5000))
    sizes = [len(split.examples) for split in (splits.train, splits.selection, splits.report)]
    assert sum(sizes) == 5000
    assert 3850 <= sizes[0] <= 4150
    assert all(430 <= size <= 570 for size in sizes[1:])


def test_the_order_of_the_examples_changes_nothing():
    examples = made(500)
    shuffled = random.Random(1).sample(examples, len(examples))
    assert split_all(shuffled) == split_all(examples)


def test_other_examples_do_not_move_an_example():
    few, more = split_all(made(300)), split_all(made(600))
    assert set(few.report.examples) <= set(more.report.examples)
    assert set(few.train.examples) <= set(more.train.examples)


def test_equal_texts_stay_together():
    examples = made(400)
    splits = split_all(examples + [Example(example.texts, 1 - example.label) for example in examples])
    texts = [{example.texts for example in split.examples} for split in (splits.train, splits.selection, splits.report)]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2]
    assert not texts[1] & texts[2]


def test_places_are_the_ones_they_have_always_been():
    splits = split_all(made(30))
    assert [example.texts[0] for example in splits.report.examples] == REPORT_OF_30
    assert [example.texts[0] for example in splits.selection.examples] == SELECTION_OF_30


def test_texts_of_the_report_split_are_taken_out_of_train():
    splits = split_train(made(200), report=made(220)[150:])
    report = {example.texts for example in splits.report.examples}
    assert len(report) == 70
    assert len(splits.train.examples) + len(splits.selection.examples) == 150
    assert not report & {example.texts for example in (*splits.train.examples, *splits.selection.examples)}


def test_selection_of_a_large_dataset_is_bounded():
    splits = split_train(made(100_000), report=[Example(("held out",), 0)])
    assert 0.9 * MOST_SELECTION < len(splits.selection.examples) < 1.1 * MOST_SELECTION


def test_texts_are_spread_over_the_split_and_not_in_their_order():
    numbers = [int(example.texts[0].split()[-1]) for example in split_all(made(1000)).train.examples]
    assert numbers != sorted(numbers)


def test_questions_about_one_context_stay_together():
    asked = [Example((f"question {at}", f"context {at // 4}"), (Answer("context", 0),)) for at in range(400)]
    splits = split_all(asked, by_context)
    contexts = [
        {example.texts[1] for example in split.examples} for split in (splits.train, splits.selection, splits.report)
    ]
    assert min(map(len, contexts)) > 1
    assert len(set().union(*contexts)) == sum(map(len, contexts)) == 100
    kept = split_train(asked, report=[Example(("another question", "context 7"), ())], together=by_context)
    assert len(kept.train.examples) + len(kept.selection.examples) == 396


def test_transfer_texts_go_to_train_alone_once_and_without_labels():
    splits = split_all(made(200))
    texts = [(f"text number {index}",) for index in range(250)]
    more = with_transfer(splits, texts * 2)
    assert (more.selection, more.report) == (splits.selection, splits.report)
    assert labelled(more.train) == splits.train
    added = [example.texts for example in more.train.examples if example.label is None]
    assert sorted(added) == sorted(texts[200:])


def test_equal_texts_with_and_without_labels_have_an_order():
    examples = [Example(("same",), 1), Example(("same",), None), Example(("same",), 0), Example(("same",), None)]
    one, other = (split_train(each, report=[]) for each in (examples, examples[::-1]))
    assert one == other
