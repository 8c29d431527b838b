import json
import random
from dataclasses import replace

import pytest
from transformers import BertConfig, BertModel

from distillation.data import read_data, read_report
from distillation.errors import DataError, Interrupted, TeacherError
from distillation.prepare import fingerprint, prepare
from distillation.recipe import Recipe
from distillation.teacher import read_teacher
from distillation.values import BUILT_IN, Dataset, Metric, Split, Task, Teacher
from distillation.vocabulary import train_tokenizer
from encoders.build import head_of, labels_of
from encoders.huggingface import load_tokenizer
from encoders.modeling_stillhouse import StillhouseForSequenceClassification

RECIPE = Recipe(max_length=12)


@pytest.fixture
def table(tmp_path):
    rng = random.Random(0)
    words = {"wet": ["rain", "snow", "fog", "hail"], "dry": ["sun", "dust", "heat", "sand"]}
    rows = []
    for at in range(240):
        label = ("wet", "dry")[at % 2]
        rows.append(f"{' '.join(rng.choices(words[label], k=3))} on day {at} of the long year\t{label}")
    path = tmp_path / "weather.tsv"
    path.write_text("sentence\tlabel\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def bert(tmp_path, table):
    """A tiny BERT of random weights, as its own library writes it."""
    folder = tmp_path / "bert"
    tokenizer = train_tokenizer(table.read_text().splitlines(), size=150)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=32,
        max_position_embeddings=20,
        hidden_dropout_prob=0.0,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(str(folder))
    return folder


def task(table, **settings):
    return Task(dataset=Dataset(source=str(table)), **settings)


def tuned(bert):
    return Teacher(model=str(bert), epochs=6, batch_size=16, learning_rate=5e-3)


def test_a_local_table_and_a_local_bert_become_data_and_teacher(table, bert, tmp_path, recorder):
    watching = recorder()
    made = prepare(task(table), tuned(bert), RECIPE, tmp_path / "out", seed=0, observer=watching)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["data", "teacher"]
    assert made.classes == ("dry", "wet")
    assert made.splits == {
        Split.TRAIN: len(read_data(tmp_path / "out" / "data").train.examples),
        Split.SELECTION: len(read_data(tmp_path / "out" / "data").selection.examples),
        Split.REPORT: len(read_report(tmp_path / "out" / "data").report.examples),
    }
    assert made.teacher.report.examples == made.splits[Split.REPORT]
    assert made.teacher.report.value > 0.9
    assert made.baselines["TF-IDF + logistic regression"].report.value > 0.9
    assert 0.3 < made.baselines["majority class"].report.value < 0.7
    assert (made.architecture.layers, made.architecture.hidden_size, made.max_positions) == (2, 24, 20)
    assert made.head.classes == 2
    assert watching.stages[-3:] == ["the teacher", "training the teacher", "evaluating the teacher"]
    steps = round(6 * made.splits[Split.TRAIN] / 16)
    assert watching.steps[-1][:2] == (steps, steps)


def test_the_teacher_is_loaded_by_transformers_and_by_us(table, bert, tmp_path):
    made = prepare(task(table), tuned(bert), RECIPE, tmp_path / "out", seed=0)
    ours = read_teacher(tmp_path / "out" / "teacher")
    assert labels_of(ours.config) == made.classes
    assert head_of(ours.config) == made.head
    theirs = StillhouseForSequenceClassification.from_pretrained(tmp_path / "out" / "teacher")
    tokens = load_tokenizer(str(tmp_path / "out" / "teacher"))("rain and sun", return_tensors="pt")
    assert theirs(**tokens).logits.tolist() == ours(**tokens).logits.tolist()


def test_a_teacher_that_has_the_tasks_head_is_taken_as_it_is(table, bert, tmp_path, recorder):
    first = prepare(task(table), tuned(bert), RECIPE, tmp_path / "first", seed=0)
    watching = recorder()
    again = Teacher(model=str(tmp_path / "first" / "teacher"))
    second = prepare(task(table), again, RECIPE, tmp_path / "second", seed=1, observer=watching)
    assert second.teacher == first.teacher
    assert not watching.steps


def test_equal_inputs_give_the_same_data_and_teacher(table, bert, tmp_path):
    made = [prepare(task(table), tuned(bert), RECIPE, tmp_path / name, seed=0) for name in ("a", "b")]
    assert made[0].teacher == made[1].teacher
    for file in ("data/data.json", "data/train.jsonl", "data/tokenizer/tokenizer.json", "teacher/model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def stopped(folder, recorder, *arguments, after=3, **named):
    """An attempt that was stopped after so many steps of the teacher's training."""
    stopping = recorder(stop_after=after)
    with pytest.raises(Interrupted, match="stopped after"):
        prepare(*arguments, folder / "out", observer=stopping, checkpoints=folder / "checkpoints", **named)
    return stopping


def weights(folder):
    return (folder / "teacher" / "model.safetensors").read_bytes()


def test_a_stopped_teacher_goes_on_from_its_checkpoint_and_ends_with_the_same_bits(table, bert, tmp_path, recorder):
    inputs = (task(table), tuned(bert), RECIPE)
    whole = prepare(*inputs, tmp_path / "whole", seed=0)
    for after in (3, 2):
        stopped(tmp_path, recorder, *inputs, after=after, seed=0)
    watching = recorder()
    resumed = prepare(
        *inputs, tmp_path / "out", seed=0, observer=watching, checkpoints=tmp_path / "checkpoints", checkpoint_every_s=0
    )
    assert watching.steps[0][0] == 6
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert replace(resumed, seconds=whole.seconds) == whole
    assert len(watching.checkpoints) == len(watching.steps) - 1


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 7}, {"learning_rate": 1e-3}, {"rows": 1}])
def test_a_checkpoint_of_another_teacher_is_removed_and_not_gone_on_from(table, bert, tmp_path, recorder, change):
    stopped(tmp_path, recorder, task(table), tuned(bert), RECIPE, seed=0)
    seed, teacher = change.pop("seed", 0), tuned(bert)
    if change.pop("rows", 0):
        table.write_text(table.read_text() + "one more day of rain\twet\n")
    else:
        teacher = replace(teacher, **change)
    again = stopped(tmp_path, recorder, task(table), teacher, RECIPE, after=1, seed=seed)
    assert [step for step, *_ in again.steps] == [1]
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-00000001"]


def test_a_damaged_checkpoint_of_a_teacher_is_removed_and_the_one_before_it_taken(table, bert, tmp_path, recorder):
    inputs = (task(table), tuned(bert), RECIPE)
    prepare(*inputs, tmp_path / "whole", seed=0)
    stopped(tmp_path, recorder, *inputs, seed=0, checkpoint_every_s=0)
    older, newest = sorted((tmp_path / "checkpoints").iterdir())
    (newest / "state.safetensors").write_bytes(b"half")
    watching = recorder()
    prepare(*inputs, tmp_path / "out", seed=0, observer=watching, checkpoints=tmp_path / "checkpoints")
    assert watching.steps[0][0] == int(older.name.split("-")[1]) + 1
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


def test_the_tasks_metric_is_the_one_reported(table, bert, tmp_path):
    made = prepare(task(table, metric=Metric.MATTHEWS), tuned(bert), RECIPE, tmp_path / "out", seed=0)
    assert made.baselines["majority class"].report.value == 0


def test_the_built_in_teacher_brings_its_own_tokenizer_and_can_be_stopped(table, tmp_path, recorder):
    stopping = recorder(stop_after=2)
    with pytest.raises(Interrupted):
        prepare(task(table), Teacher(model=BUILT_IN), RECIPE, tmp_path / "out", seed=0, observer=stopping)
    assert stopping.stages[-1] == "training the teacher"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["data"]
    tokenizer = read_data(tmp_path / "out" / "data").tokenizer
    assert tokenizer.tokenize("RAIN") == ["rain"]
    held_out = [*read_report(tmp_path / "out" / "data").report.examples]
    # Their day's number was in no training text, so it cannot have become a word of the vocabulary.
    numbers = [example.texts[0].split()[5] for example in held_out if int(example.texts[0].split()[5]) > 99]
    assert all(len(tokenizer.tokenize(number)) > 1 for number in numbers)


def test_texts_that_are_cut_are_noted(table, bert, tmp_path):
    made = prepare(task(table), tuned(bert), replace(RECIPE, max_length=6), tmp_path / "out", seed=0)
    assert "100.0% of the train texts are longer than 6 tokens and cut there" in made.notes


@pytest.mark.parametrize("text", [lambda at: chr(0x1F600 + at), lambda at: f"word{at}"])
def test_a_baseline_that_finds_no_words_is_left_out_with_a_note(table, bert, tmp_path, text):
    table.write_text("sentence\tlabel\n" + "".join(f"{text(at)}\t{'xy'[at % 2]}\n" for at in range(60)))
    made = prepare(task(table), tuned(bert), RECIPE, tmp_path / "out", seed=0)
    tuned_one = "TF-IDF + logistic regression, tuned"
    assert tuned_one not in made.baselines
    assert "majority class" in made.baselines
    assert any(note.startswith(f"no baseline {tuned_one}: ") for note in made.notes)


def test_a_report_file_that_cannot_be_read_has_a_fingerprint_and_is_named_on_reading(table, tmp_path):
    named = Task(dataset=Dataset(source=str(table), report=str(tmp_path)))
    assert fingerprint(named, Teacher(model=BUILT_IN), RECIPE, 0)
    with pytest.raises(
        DataError, match=r"task\.dataset\.report: .* is a folder; name a \.csv, \.tsv, .* or \.parquet file"
    ):
        prepare(named, Teacher(model=BUILT_IN), RECIPE, tmp_path / "out", seed=0)


def test_bad_input_names_its_key_and_leaves_nothing(table, bert, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(DataError, match=r"task\.dataset: there is no file"):
        prepare(task(tmp_path / "gone.tsv"), Teacher(model=BUILT_IN), RECIPE, out, seed=0)
    with pytest.raises(TeacherError, match=r"teacher: .*gone"):
        prepare(task(table), Teacher(model=str(tmp_path / "gone")), RECIPE, out, seed=0)
    assert not out.exists()
    with pytest.raises(TeacherError, match=r"distillation\.max_length: 21 tokens are more than the 20 positions"):
        prepare(task(table), tuned(bert), Recipe(max_length=21), out, seed=0)
    assert not (out / "teacher").exists()


def test_the_fingerprint_differs_where_the_result_would(table, bert):
    base = fingerprint(task(table), tuned(bert), RECIPE, 0)
    assert base == fingerprint(task(table), tuned(bert), replace(RECIPE, steps=7, learning_rate=0.1), 0)
    others = [
        fingerprint(task(table, label="label"), tuned(bert), RECIPE, 0),
        fingerprint(task(table), replace(tuned(bert), epochs=7), RECIPE, 0),
        fingerprint(task(table), tuned(bert), replace(RECIPE, max_length=13), 0),
        fingerprint(task(table), tuned(bert), RECIPE, 1),
        fingerprint(task("docstrings"), tuned(bert), RECIPE, 0),
    ]
    config = bert / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"comment": "changed"}))
    others.append(fingerprint(task(table), tuned(bert), RECIPE, 0))
    table.write_text(table.read_text().replace("rain", "mist", 1))
    others.append(fingerprint(task(table), tuned(bert), RECIPE, 0))
    assert len({base, *others}) == len(others) + 1
