"""`stillhouse distill`, for real and small: sentences of two classes, a tiny BERT, a student of half its depth."""

import json
import os
import random
import re
import signal
import subprocess
import sys

import psutil
import pytest
import torch
from safetensors.torch import load_file

from distillation.provenance import read_provenance
from distillation.vocabulary import train_tokenizer
from worker.workplace import prepared_folder

RECIPE = """\
name: tiny
teacher: {{model: {teacher}, epochs: 3, batch_size: 16, learning_rate: 5e-3}}
task: {{dataset: {dataset}}}
distillation: {{steps: {steps}, batch_size: 16, max_length: 12, learning_rate: 5e-3, embedding_learning_rate: 5e-3}}
{more}
"""
WORDS = {"wet": ["rain", "snow", "fog", "hail"], "dry": ["sun", "dust", "heat", "sand"]}


@pytest.fixture(scope="module")
def materials(tmp_path_factory):
    """A folder with `weather.tsv` and a BERT of random weights."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("materials")
    generator, rows = random.Random(0), ["sentence\tlabel"]
    for at in range(240):
        label = ("wet", "dry")[at % 2]
        rows.append(f"{' '.join(generator.choices(WORDS[label], k=3))} on day {at} of the long year\t{label}")
    (folder / "weather.tsv").write_text("\n".join(rows) + "\n")
    tokenizer = train_tokenizer(rows, size=150)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=32,
        max_position_embeddings=20,
        hidden_dropout_prob=0.0,
    )
    BertModel(config).save_pretrained(folder / "bert")
    tokenizer.save_pretrained(str(folder / "bert"))
    return folder


@pytest.fixture
def recipe_file(tmp_path, materials):
    def write(more="", steps=40, teacher=None, dataset=None):
        path = tmp_path / "tiny.yaml"
        teacher, dataset = teacher or materials / "bert", dataset or materials / "weather.tsv"
        path.write_text(RECIPE.format(teacher=teacher, dataset=dataset, steps=steps, more=more))
        return path

    return write


@pytest.fixture(autouse=True)
def own_locks(tmp_path, monkeypatch):
    monkeypatch.setenv("STILLHOUSE_LOCK_DIR", str(tmp_path / "locks"))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "README.md"}


def test_a_file_becomes_a_checkpoint_that_its_three_lines_load(stillhouse, recipe_file, tmp_path):
    code, out, err = stillhouse("distill", recipe_file(), "--threads", "1")
    assert (code, err) == (0, "")
    folder = tmp_path / "home" / "distilled" / "tiny"
    assert "distilling  step 10/40  accuracy" in out
    for name in ("student", "teacher", "majority class", "TF-IDF + logistic regression"):
        assert re.search(rf"│ {re.escape(name)} .*\[\d\.\d{{3}}, \d\.\d{{3}}\]", out), name
    lines = out[out.index(f"\n{folder}\n") :].splitlines()[2:5]
    loaded = {}
    exec("\n".join(line.strip() for line in lines), loaded)
    assert loaded["classify"]("rain and snow")[0]["label"] in WORDS

    provenance = read_provenance(folder)
    assert (provenance.name, provenance.steps, provenance.fidelity) == ("tiny", 40, "full")
    assert (provenance.architecture.layers, provenance.architecture.hidden_size) == (1, 24)
    assert provenance.surroundings.threads == 1
    card = (folder / "README.md").read_text()
    assert f"{provenance.report.value:.3f} [{provenance.report.low:.3f}" in card
    assert "latency" not in card
    assert not [path for path in folder.parent.iterdir() if path != folder]

    # What ended is not trained again, and what is there is not overwritten.
    again, _, err = stillhouse("distill", recipe_file())
    assert again == 2
    assert f"{folder} is not empty" in err
    code, out, _ = stillhouse("distill", recipe_file(), "--threads", "1", "--output", tmp_path / "other")
    assert code == 0
    assert "step 10/40" not in out
    assert contents(tmp_path / "other") == contents(folder)


def test_equal_recipes_in_new_homes_give_equal_bytes(stillhouse, recipe_file, tmp_path):
    for name in ("a", "b"):
        done = stillhouse("distill", recipe_file(), "--threads", "1", "--home", tmp_path / name)
        assert done[0] == 0, done
    assert contents(tmp_path / "a" / "distilled" / "tiny") == contents(tmp_path / "b" / "distilled" / "tiny")


def test_json_is_all_that_stdout_gets(stillhouse, recipe_file, tmp_path):
    code, out, err = stillhouse("distill", recipe_file("student: {layers: 1, ffn_size: 8}"), "--flash", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["folder"] == str(tmp_path / "home" / "distilled" / "tiny")
    assert (told["metric"], told["fidelity"], told["steps"]) == ("accuracy", "flash", 40)
    assert told["report"]["low"] <= told["report"]["value"] <= told["report"]["high"]
    assert told["parameters"] < told["teacher"]["parameters"]
    assert "TF-IDF + logistic regression" in told["baselines"]
    assert "distilling" in err


def test_an_assistant_teaches_a_slice_of_the_teacher_and_both_are_found_again(stillhouse, recipe_file, tmp_path):
    path = recipe_file("sparsity: 0.75", steps=8)
    schedule = "schedule: {kind: minidisc, lambda: 0.1, sparsities: [0.25, 0.5, 0.75]}"
    path.write_text(path.read_text().replace("{steps: 8,", f"{{steps: 8, {schedule},"))
    first = tmp_path / "first"
    code, out, err = stillhouse("distill", path, "--threads", "1", "--output", first)
    assert (code, err) == (0, "")
    assert "looking for an assistant among 3 slices  step 2/8  accuracy" in out
    assert "Candidates for assistant" in out
    provenance = read_provenance(first)
    (found,) = provenance.assistance.rounds
    assert [point.sparsity for point in found.points] == [0.25, 0.5, 0.75]
    assert found.points[2].architecture == provenance.architecture
    assert sum(provenance.architecture.heads_by_layer) == 2
    assert sum(provenance.architecture.ffn_sizes_by_layer) == 16
    assert "| assistant |" in (first / "README.md").read_text()
    code, out, err = stillhouse("reproduce", first, "--home", tmp_path / "elsewhere")
    assert (code, err) == (0, "")
    assert "reproduced: the weights are equal bit for bit, and so are the metrics" in out


def test_what_a_teachers_units_count_is_computed_once_in_a_home(stillhouse, recipe_file, tmp_path):
    counting = "importance of the teacher's units"
    for sparsity, at_work in ((0.5, True), (0.75, False)):
        done = stillhouse(
            "distill", recipe_file(f"sparsity: {sparsity}", steps=4), "--output", tmp_path / str(sparsity)
        )
        assert done[0] == 0, done
        assert (counting in done[1]) == at_work


def test_a_student_starts_from_a_previous_one(stillhouse, recipe_file, tmp_path):
    first = tmp_path / "first"
    assert stillhouse("distill", recipe_file(), "--threads", "1", "--output", first)[0] == 0
    path = recipe_file(f"previous: {first}")
    path.write_text(path.read_text().replace("{steps: 40,", "{steps: 5, initialisation: previous,"))
    code, _, err = stillhouse("distill", path, "--threads", "1", "--output", tmp_path / "second")
    assert code == 0, err
    before, after = read_provenance(first), read_provenance(tmp_path / "second")
    assert after.hashes.previous == after.hashes.initial == before.hashes.final
    assert after.previous == str(first)


def test_another_kind_of_task_is_distilled_and_reproduced(stillhouse, recipe_file, materials, tmp_path):
    """How many of the words are wet: a number for each text."""
    table, lines = tmp_path / "wetness.tsv", (materials / "weather.tsv").read_text().splitlines()[1:]
    rows = [f"{line.split(chr(9))[0]}\t{sum(word in WORDS['wet'] for word in line.split())}" for line in lines]
    table.write_text("\n".join(["sentence\tscore", *rows]) + "\n")
    path = recipe_file(dataset=table)
    path.write_text(
        path.read_text().replace(f"dataset: {table}", f"dataset: {table}, kind: regression, metric: pearson")
    )
    code, out, err = stillhouse("distill", path, "--threads", "1", "--output", tmp_path / "out")
    assert code == 0, err
    assert "pearson, report split" in out
    assert read_provenance(tmp_path / "out").task.kind == "regression"
    code, out, err = stillhouse("reproduce", tmp_path / "out")
    assert code == 0, err
    assert "equal bit for bit" in out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("student: {layers: 3}", "tiny.yaml:5: student: its layers 3 is beyond the teacher's 2"),
        ("student: {hidden_size: 48}", "tiny.yaml:5: student: its hidden_size 48 is beyond the teacher's 24"),
        ("student: {heads: -1}", "tiny.yaml:5: student.heads"),
        ("budget: {trials: 3}", "tiny.yaml:5: budget: unknown key 'budget'"),
        ("previous: nowhere", "tiny.yaml:5: previous: needs `initialisation: previous`"),
        ("distillation: minidsc", "tiny.yaml:5: key 'distillation' is given twice"),
        ("seed: one", "tiny.yaml:5: seed: must be a whole number"),
    ],
)
def test_what_cannot_be_done_is_one_message_before_anything_is_written(
    stillhouse, recipe_file, tmp_path, more, message
):
    code, out, err = stillhouse("distill", recipe_file(more), "--output", tmp_path / "out")
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("replaced", "by", "message"),
    [
        ("steps: 40", "preset: tinyber, steps: 40", "no preset is named 'tinyber'; did you mean 'tinybert'?"),
        ("steps: 40", "initialisation: previous", "previous: is missing"),
        ("max_length: 12", "max_length: 90", "90 tokens are more than the 20 positions"),
        ("max_length: 12", "max_length: 2", "2 tokens leave no room for text"),
        ("weather.tsv", "nowhere.tsv", "there is no file or folder"),
    ],
)
def test_a_recipe_that_fits_nothing_is_one_message(stillhouse, recipe_file, tmp_path, replaced, by, message):
    path = recipe_file()
    path.write_text(path.read_text().replace(replaced, by))
    code, _, err = stillhouse("distill", path, "--output", tmp_path / "out")
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_taken_is_named(stillhouse, recipe_file, tmp_path):
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path, tmp_path / "file" / "below"):
        code, _, err = stillhouse("distill", recipe_file(), "--output", output)
        assert code == 2
        assert str(output) in err
        assert "--output" in err
    assert not (tmp_path / "home").exists()


def test_a_home_that_is_a_file_is_one_message(stillhouse, recipe_file, tmp_path):
    (tmp_path / "home").write_text("")
    code, _, err = stillhouse("distill", recipe_file(), "--output", tmp_path / "out")
    assert code == 2
    assert err.startswith(f"stillhouse: the home {tmp_path / 'home'} cannot be used")
    assert err.count("\n") == 1


def test_a_device_that_is_not_there_is_bad_input(stillhouse, recipe_file, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = stillhouse("distill", recipe_file(), "--device", "cuda")
    assert code == 2
    assert "finds no CUDA device here; use --device cpu" in err
    assert stillhouse("distill", recipe_file(), "--device", "abacus")[0] == 2


def test_a_checkpoint_that_is_reproduced(stillhouse, recipe_file, tmp_path):
    first = tmp_path / "first"
    assert stillhouse("distill", recipe_file(), "--threads", "1", "--output", first)[0] == 0
    code, out, err = stillhouse("reproduce", first)
    assert (code, err) == (0, "")
    assert "versions and hardware are those of then" in out
    assert "distilling  step 10/40" in out
    assert "reproduced: the weights are equal bit for bit, and so are the metrics" in out
    code, out, _ = stillhouse("reproduce", first, "--home", tmp_path / "elsewhere", "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["reproduced"], told["weights_equal"], told["differences"]) == (True, True, [])
    assert told["metrics"]["report"]["now"] == read_provenance(first).report.value


def test_reproduction_tells_what_differs_and_judges_by_the_intervals(stillhouse, recipe_file, tmp_path):
    first = tmp_path / "first"
    assert stillhouse("distill", recipe_file(), "--threads", "1", "--output", first)[0] == 0
    path, true = first / "provenance.json", json.loads((first / "provenance.json").read_text())

    def reproduced(change):
        values = json.loads(json.dumps(true))
        change(values)
        path.write_text(json.dumps(values))
        return stillhouse("reproduce", first)

    code, out, _ = reproduced(lambda values: values["surroundings"]["versions"].update(torch="1.0"))
    assert code == 0
    assert "different  torch: 1.0 then, " in out

    def widened(values):
        values["seed"] = 1
        for split in ("selection", "report"):
            values[split].update(low=0.0, high=1.0, value=0.123)

    code, out, _ = reproduced(widened)
    assert code == 0
    assert "the metrics lie within the 95 % intervals; the weights differ" in out
    code, out, _ = reproduced(lambda values: values["report"].update(low=0.1, high=0.2, value=0.15))
    assert code == 1
    assert "not reproduced" in out

    code, _, err = reproduced(lambda values: values["recipe"].update(steps=-1))
    assert code == 2
    assert f"{path}: recipe: steps must be at least 1, got -1" in err
    code, _, err = reproduced(lambda values: values["hashes"].update(export="0" * 64))
    assert code == 2
    assert "model.safetensors was changed" in err
    code, _, err = reproduced(lambda values: values["hashes"].update(teacher="0" * 64))
    assert code == 2
    assert f"is not what it was: hashes.teacher is {'0' * 64}" in err


def test_other_data_is_not_trained_on(stillhouse, recipe_file, materials, tmp_path):
    table = tmp_path / "weather.tsv"
    table.write_text((materials / "weather.tsv").read_text())
    first = tmp_path / "first"
    assert stillhouse("distill", recipe_file(dataset=table), "--threads", "1", "--output", first)[0] == 0
    table.write_text(table.read_text().replace("day 7 ", "day seven "))
    code, out, err = stillhouse("reproduce", first)
    assert code == 2
    assert f"the data of {table} is not what it was: hashes.data is {read_provenance(first).hashes.data}" in err
    assert "distilling" not in out
    table.unlink()
    assert stillhouse("reproduce", first)[0] == 2


def test_what_has_no_provenance_cannot_be_reproduced(stillhouse, materials, tmp_path):
    code, _, err = stillhouse("reproduce", materials / "bert")
    assert code == 2
    assert f"{materials / 'bert' / 'provenance.json'}: cannot be read: No such file or directory" in err
    assert stillhouse("reproduce", tmp_path / "nowhere")[0] == 2


class Process:
    """The command in a process of its own, whose output is read line by line."""

    def __init__(self, home, *arguments):
        command = [sys.executable, "-m", "cli.main", "distill", *map(str, arguments), "--threads", "1"]
        environment = os.environ | {"STILLHOUSE_HOME": str(home), "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def until(self, text):
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if text in line:
                return
        raise AssertionError("".join(lines))

    def signalled(self, number):
        self._process.send_signal(number)
        return self.ended()

    def children(self):
        return psutil.Process(self._process.pid).children(recursive=True)

    def ended(self):
        output, _ = self._process.communicate(timeout=120)
        return self._process.returncode, output


@pytest.mark.chaos
def test_an_interrupted_distillation_goes_on_to_the_same_bits(stillhouse, recipe_file, tmp_path):
    path = recipe_file(steps=1600)
    process = Process(tmp_path / "home", path)
    process.until("step 400/1600")
    code, output = process.signalled(signal.SIGINT)
    assert code == 130, output
    assert f"stillhouse distill {path} --home {tmp_path / 'home'} --threads 1" in output
    assert not (tmp_path / "home" / "distilled").exists()
    checkpoints = list((tmp_path / "home" / "distillations").rglob("checkpoint-*"))
    assert len(checkpoints) == 1

    second = Process(tmp_path / "home", path)
    second.until("step 800/1600")
    code, output = second.signalled(signal.SIGKILL)
    assert code == -signal.SIGKILL
    code, out, err = stillhouse("distill", path, "--threads", "1")
    assert (code, err) == (0, "")
    assert "step 400/1600" not in out
    assert stillhouse("distill", path, "--threads", "1", "--home", tmp_path / "whole")[0] == 0
    assert contents(tmp_path / "home" / "distilled" / "tiny") == contents(tmp_path / "whole" / "distilled" / "tiny")


def test_what_a_study_prepared_is_not_prepared_again(stillhouse, recipe_file, tmp_path):
    assert stillhouse("distill", recipe_file(), "--threads", "1", "--output", tmp_path / "a")[0] == 0
    kept = prepared_folder(tmp_path / "home", "x").parent
    assert [path.name for path in kept.iterdir() if (path / "prepared.json").is_file()]
    code, out, _ = stillhouse("distill", recipe_file("seed: 0\nstudent: {ffn_size: 8}"), "--output", tmp_path / "b")
    assert code == 0
    assert "training the teacher" not in out


def test_a_launcher_that_is_not_ours_is_refused(stillhouse, recipe_file, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    code, _, err = stillhouse("distill", recipe_file())
    assert code == 2
    assert "use --processes" in err


@pytest.mark.chaos
def test_two_processes_train_nearly_the_student_of_one(stillhouse, recipe_file, tmp_path):
    """The gradients of halves of a batch have its mean; their sums round otherwise."""
    path = recipe_file(steps=8)
    one = stillhouse("distill", path, "--threads", "1", "--output", tmp_path / "one")
    process = Process(tmp_path / "home", path, "--processes", "2", "--output", tmp_path / "two")
    code, output = process.ended()
    assert (one[0], code) == (0, 0), output
    assert output.count("distilling  step 2/8  accuracy") == 1
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    alone, together = read_provenance(tmp_path / "one"), read_provenance(tmp_path / "two")
    assert (alone.surroundings.processes, together.surroundings.processes) == (1, 2)
    assert alone.hashes.initial == together.hashes.initial
    assert alone.hashes.final != together.hashes.final
    assert all(torch.allclose(first[name], second[name], atol=1e-3) for name in first)
    code, out, err = stillhouse("reproduce", tmp_path / "two")
    assert code == 0, err
    assert "different  processes: 2 then, 1 now" in out


@pytest.mark.chaos
def test_two_processes_stop_together_and_go_on(stillhouse, recipe_file, tmp_path):
    arguments = [recipe_file(steps=1600), "--processes", "2"]
    process = Process(tmp_path / "home", *arguments)
    process.until("step 400/1600")
    code, output = process.signalled(signal.SIGINT)
    assert code == 130, output
    assert "--processes 2" in output
    code, output = Process(tmp_path / "home", *arguments).ended()
    assert code == 0, output
    assert "step 400/1600" not in output
    assert read_provenance(tmp_path / "home" / "distilled" / "tiny").steps == 1600


@pytest.mark.chaos
def test_losing_a_process_ends_the_others_and_loses_nothing(stillhouse, recipe_file, tmp_path):
    arguments = [recipe_file(steps=1600), "--processes", "2"]
    process = Process(tmp_path / "home", *arguments)
    process.until("step 400/1600")
    ranks = sorted(process.children(), key=lambda child: child.environ()["RANK"])
    assert [child.environ()["RANK"] for child in ranks] == ["0", "1"]
    ranks[1].kill()
    code, output = process.ended()
    assert code == 1
    assert "the processes of the distillation lost each other, the same command goes on" in output
    assert "Traceback" not in output
    assert not psutil.wait_procs(ranks, timeout=10)[1]
    assert not (tmp_path / "home" / "distilled").exists()
