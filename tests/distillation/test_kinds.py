"""Every kind of task from its files to a teacher that is judged."""

import json
import math
import random

import pytest
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)

from distillation.data import read_data, read_report
from distillation.errors import TeacherError
from distillation.prepare import prepare
from distillation.recipe import Recipe
from distillation.splits import Answer
from distillation.values import Dataset, Metric, Split, Task, Teacher
from distillation.vocabulary import train_tokenizer
from encoders.values import HeadKind

RECIPE = Recipe(max_length=24)
PEOPLE = ["ann", "bob", "cleo", "dan", "eve"]
PLACES = ["rome", "oslo", "lima", "kyiv", "bonn"]
VERBS = ["sees", "likes", "leaves", "paints"]


def sentences(count):
    rng = random.Random(0)
    return [(rng.choice(PEOPLE), rng.choice(VERBS), rng.choice(PLACES), f"in {1000 + at}") for at in range(count)]


def write_regression(folder, count=200):
    """The more of these people, the higher."""
    rows = [f"{who} {verb} {where} {when}\t{PEOPLE.index(who) + 10:.2f}" for who, verb, where, when in sentences(count)]
    (folder / "all.tsv").write_text("sentence\tscore\n" + "\n".join(rows) + "\n")
    return folder / "all.tsv"


def write_words(folder, count=200):
    lines = []
    for who, verb, where, when in sentences(count):
        tagged = [(who, "B-PER"), (verb, "O"), (where, "B-LOC"), *((word, "O") for word in when.split())]
        lines += [*(f"{word} {tag}" for word, tag in tagged), ""]
    (folder / "all.conll").write_text("\n".join(lines))
    return folder / "all.conll"


def write_questions(folder, count=200):
    paragraphs = []
    for number, (who, verb, where, when) in enumerate(sentences(count)):
        context = f"{who} {verb} {where} {when}"
        asked = [
            {"id": f"{number} who", "question": "who ?", "answers": [{"text": who, "answer_start": 0}]},
            {
                "id": f"{number} where",
                "question": "where ?",
                "answers": [{"text": where, "answer_start": context.index(where)}],
            },
        ]
        paragraphs.append({"context": context, "qas": asked})
    (folder / "all.json").write_text(json.dumps({"data": [{"title": "made", "paragraphs": paragraphs}]}))
    return folder / "all.json"


def write_lines(folder, count=200):
    lines = [f"{who} {verb} {where} {when}" for who, verb, where, when in sentences(count)]
    (folder / "all.txt").write_text("\n\n".join(lines) + "\n")
    return folder / "all.txt"


WRITERS = {
    HeadKind.REGRESSION: write_regression,
    HeadKind.TOKEN_CLASSIFICATION: write_words,
    HeadKind.QUESTION_ANSWERING: write_questions,
    HeadKind.MASKED_LM: write_lines,
}


@pytest.fixture(scope="module")
def tokenizer():
    texts = [" ".join(words) for words in sentences(200)]
    return train_tokenizer([*texts, "who where ?"], size=150)


@pytest.fixture
def bert(tmp_path, tokenizer):
    """A tiny BERT of random weights with the head of a class of its own library."""

    def make(model_class=BertModel, **settings):
        folder = tmp_path / model_class.__name__
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=32,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            **settings,
        )
        model_class(config).save_pretrained(folder)
        tokenizer.save_pretrained(str(folder))
        return folder

    return make


def of(kind, path, **settings):
    return Task(dataset=Dataset(source=str(path)), kind=kind, **settings)


def tuned(folder, **settings):
    return Teacher(model=str(folder), **{"epochs": 12, "batch_size": 16, "learning_rate": 4e-3, **settings})


@pytest.mark.parametrize(
    ("kind", "metric", "better_than"),
    [
        (HeadKind.REGRESSION, None, 0.9),
        (HeadKind.REGRESSION, Metric.SPEARMAN, 0.9),
        (HeadKind.TOKEN_CLASSIFICATION, None, 0.9),
        (HeadKind.TOKEN_CLASSIFICATION, Metric.ACCURACY, 0.9),
        (HeadKind.QUESTION_ANSWERING, None, 0.8),
        (HeadKind.QUESTION_ANSWERING, Metric.EXACT_MATCH, 0.8),
    ],
)
def test_a_kind_of_task_is_prepared_taught_and_judged(kind, metric, better_than, tmp_path, bert):
    given = {} if metric is None else {"metric": metric}
    task = of(kind, WRITERS[kind](tmp_path), **given)
    made = prepare(task, tuned(bert()), RECIPE, tmp_path / "out", seed=0)
    assert made.head.kind is kind
    assert made.teacher.report.value > better_than
    assert made.teacher.report.low <= made.teacher.report.value <= made.teacher.report.high
    assert made.teacher.report.examples == made.splits[Split.REPORT]
    data, report = read_data(tmp_path / "out" / "data"), read_report(tmp_path / "out" / "data")
    assert data.task == task
    assert (len(data.train.examples), len(report.report.examples)) == (
        made.splits[Split.TRAIN],
        made.splits[Split.REPORT],
    )


def test_equal_inputs_of_every_kind_give_equal_bytes(tmp_path, bert):
    folder = bert()
    for kind, write in WRITERS.items():
        path = write(tmp_path)
        for name in ("one", "two"):
            prepare(of(kind, path), tuned(folder, epochs=0.1), RECIPE, tmp_path / kind / name, seed=0)
        one, two = (
            {file.relative_to(place): file.read_bytes() for file in place.rglob("*") if file.is_file()}
            for place in (tmp_path / kind / "one", tmp_path / kind / "two")
        )
        assert one == two


def test_labels_are_what_the_files_say(tmp_path, bert):
    folder = bert()
    found = {}
    for kind, write in WRITERS.items():
        made = prepare(of(kind, write(tmp_path)), tuned(folder, epochs=0.1), RECIPE, tmp_path / "out", seed=0)
        data, report = read_data(tmp_path / "out" / "data"), read_report(tmp_path / "out" / "data")
        every = (*data.train.examples, *data.selection.examples, *report.report.examples)
        found[kind] = (made.classes, next(example for example in every if "1003" in "".join(example.texts)))
    who, verb, where, _ = sentences(4)[3]
    classes, example = found[HeadKind.REGRESSION]
    assert (classes, example.label) == ((), PEOPLE.index(who) + 10.0)
    classes, example = found[HeadKind.TOKEN_CLASSIFICATION]
    assert example.texts == (who, verb, where, "in", "1003")
    assert [classes[tag] for tag in example.tags] == ["B-PER", "O", "B-LOC", "O", "O"]
    classes, example = found[HeadKind.QUESTION_ANSWERING]
    answers = {"who ?": Answer(who, 0), "where ?": Answer(where, len(f"{who} {verb} "))}
    assert (classes, example.answers) == ((), (answers[example.texts[0]],))
    classes, example = found[HeadKind.MASKED_LM]
    assert (classes, example.texts, example.label) == ((), (f"{who} {verb} {where} in 1003",), None)


def test_a_masked_lm_learns_the_words_between_words(tmp_path, bert, recorder):
    task = of(HeadKind.MASKED_LM, write_lines(tmp_path), metric=Metric.PERPLEXITY)
    watching = recorder()
    made = prepare(task, tuned(bert(), epochs=20), RECIPE, tmp_path / "out", seed=0, observer=watching)
    baseline = made.baselines["commonest word"].report.value
    assert 1 < made.teacher.report.value < 0.7 * baseline
    assert watching.curve[-1][1] == made.teacher.selection.value
    assert f"{199} empty texts of {tmp_path / 'all.txt'} were left out" in made.notes
    assert not any("does not beat" in note for note in made.notes)
    untaught = prepare(task, tuned(bert(), epochs=0.1), RECIPE, tmp_path / "out", seed=0)
    assert any(note.startswith("the teacher does not beat commonest word") for note in untaught.notes)


def test_baselines_of_every_kind(tmp_path, bert):
    folder = bert()

    def judged(kind, **settings):
        task = of(kind, WRITERS[kind](tmp_path), **settings)
        return prepare(task, tuned(folder, epochs=0.1), RECIPE, tmp_path / "out", seed=0)

    regression = judged(HeadKind.REGRESSION).baselines
    assert regression["mean"].report.value == 0
    assert regression["TF-IDF + ridge, tuned"].report.value > 0.9
    words = judged(HeadKind.TOKEN_CLASSIFICATION, metric=Metric.ACCURACY).baselines
    assert words["commonest tag"].report.value == pytest.approx(3 / 5)
    assert words["commonest tag of each word"].report.value == 1.0
    assert judged(HeadKind.TOKEN_CLASSIFICATION).baselines["commonest tag"].report.value == 0
    masked = judged(HeadKind.MASKED_LM).baselines["commonest word"]
    assert 0.02 < masked.report.value < 0.5
    questions = judged(HeadKind.QUESTION_ANSWERING)
    assert questions.baselines == {}
    assert "no baseline: none is sensible for a task of question_answering" in questions.notes


@pytest.mark.parametrize("kind", list(WRITERS))
def test_a_teacher_of_every_kind_is_taken_as_it_is_the_next_time(kind, tmp_path, bert, recorder):
    task = of(kind, WRITERS[kind](tmp_path))
    first = prepare(task, tuned(bert(), epochs=0.2), RECIPE, tmp_path / "first", seed=0)
    watching = recorder()
    again = Teacher(model=str(tmp_path / "first" / "teacher"))
    second = prepare(task, again, RECIPE, tmp_path / "second", seed=1, observer=watching)
    assert second.teacher == first.teacher
    assert not watching.steps


TAGS = ("O", "B-LOC", "B-PER")


@pytest.mark.parametrize(
    ("kind", "model_class", "settings"),
    [
        (HeadKind.REGRESSION, BertForSequenceClassification, {"num_labels": 1}),
        (HeadKind.TOKEN_CLASSIFICATION, BertForTokenClassification, {"id2label": dict(enumerate(TAGS))}),
        (HeadKind.QUESTION_ANSWERING, BertForQuestionAnswering, {}),
        (HeadKind.MASKED_LM, BertForMaskedLM, {}),
    ],
)
def test_a_head_of_another_library_is_taken_as_it_is(kind, model_class, settings, tmp_path, bert, recorder):
    watching = recorder()
    task = of(kind, WRITERS[kind](tmp_path))
    made = prepare(task, tuned(bert(model_class, **settings)), RECIPE, tmp_path / "out", seed=0, observer=watching)
    assert not watching.steps
    assert made.head.kind is kind
    assert math.isfinite(made.teacher.report.value)


def test_a_teacher_that_knows_other_labels_is_refused_with_their_names(tmp_path, bert):
    labels = {0: "O", 1: "B-PER", 2: "I-PER"}
    folder = bert(BertForTokenClassification, id2label=labels, label2id={name: at for at, name in labels.items()})
    task = of(HeadKind.TOKEN_CLASSIFICATION, write_words(tmp_path))
    with pytest.raises(
        TeacherError, match=r"does not know the labels B-LOC; it knows O, B-PER, I-PER: name them alike"
    ):
        prepare(task, tuned(folder), RECIPE, tmp_path / "out", seed=0)


def test_a_head_of_another_task_is_replaced(tmp_path, bert, recorder):
    watching = recorder()
    folder = bert(BertForSequenceClassification, num_labels=3)
    task = of(HeadKind.TOKEN_CLASSIFICATION, write_words(tmp_path))
    made = prepare(task, tuned(folder, epochs=0.2), RECIPE, tmp_path / "out", seed=0, observer=watching)
    assert watching.steps
    assert (made.head.kind, made.head.classes) == (HeadKind.TOKEN_CLASSIFICATION, 3)


def test_values_of_any_size_are_learnt(tmp_path, bert):
    rows = [
        f"{who} {verb} {where} {when}\t{5000 + 300 * PEOPLE.index(who)}" for who, verb, where, when in sentences(200)
    ]
    (tmp_path / "all.tsv").write_text("sentence\tscore\n" + "\n".join(rows) + "\n")
    task = of(HeadKind.REGRESSION, tmp_path / "all.tsv")
    made = prepare(task, tuned(bert()), RECIPE, tmp_path / "out", seed=0)
    assert made.teacher.report.value > 0.9


def test_texts_that_are_too_long_are_counted_for_every_split(tmp_path, bert):
    task = of(HeadKind.TOKEN_CLASSIFICATION, write_words(tmp_path))
    made = prepare(task, tuned(bert(), epochs=0.1), Recipe(max_length=5), tmp_path / "out", seed=0)
    for split in Split:
        assert f"100.0% of the {split} texts are longer than 5 tokens and cut there" in made.notes


def test_transfer_texts_stand_in_train_alone_and_teach_no_teacher(tmp_path, bert, recorder):
    path = write_regression(tmp_path)
    more = [f"{who} {verb} {where} {when}" for who, verb, where, when in sentences(300)]
    (tmp_path / "more.txt").write_text("\n".join(more) + "\n\n")
    folder = bert()
    watching = recorder()
    without = prepare(of(HeadKind.REGRESSION, path), tuned(folder, epochs=1), RECIPE, tmp_path / "a", seed=0)
    task = of(HeadKind.REGRESSION, path, transfer=Dataset(source=str(tmp_path / "more.txt")))
    made = prepare(task, tuned(folder, epochs=1), RECIPE, tmp_path / "b", seed=0, observer=watching)
    data, report = read_data(tmp_path / "b" / "data"), read_report(tmp_path / "b" / "data")
    unlabelled = {example.texts for example in data.train.examples if example.label is None}
    assert len(unlabelled) == made.splits[Split.TRAIN] - without.splits[Split.TRAIN] == 100
    held_out = {example.texts for example in (*data.selection.examples, *report.report.examples)}
    assert not unlabelled & held_out
    assert made.teacher == without.teacher
    assert made.baselines == without.baselines
    assert watching.steps[-1][1] == round(without.splits[Split.TRAIN] / 16)
    assert any(note.startswith("transfer: 100 unlabelled texts of") for note in made.notes)


def test_a_classifier_of_texts_keeps_the_names_of_its_classes(tmp_path, bert):
    rows = [f"{who} {verb} {where} {when}\t{who}" for who, verb, where, when in sentences(200)]
    (tmp_path / "all.tsv").write_text("sentence\tlabel\n" + "\n".join(rows) + "\n")
    task = of(HeadKind.CLASSIFICATION, tmp_path / "all.tsv", metric=Metric.MACRO_F1)
    made = prepare(task, tuned(bert()), RECIPE, tmp_path / "out", seed=0)
    assert made.classes == tuple(sorted(PEOPLE))
    assert made.head.classes == 5
    assert made.teacher.report.value > 0.9
