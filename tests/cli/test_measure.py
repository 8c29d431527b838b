"""`stillhouse measure`: real measurements of tiny models, and what it answers to bad input."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

import hardware.isolation
from cli.measurements import Result, as_csv, grid_table, lengths_table
from hardware.errors import OutOfMemoryError
from hardware.grid import Cell
from hardware.histogram import histogram
from hardware.lock import measuring
from hardware.values import Device, DeviceProfile, Effort, Measurement, Quantile, Source, Verdict

SHAPE = "{layers: 1, hidden_size: 32, heads: 2, head_size: 16, ffn_size: 64, vocabulary_size: 99, max_positions: 64}"
WORDS = ("rain", "cloud", "storm", "wind", "snow")


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("STILLHOUSE_LOCK_DIR", str(tmp_path_factory.mktemp("locks")))
    monkeypatch.setattr("hardware.attempt.RETRIES", 0)
    monkeypatch.setattr("encoders.huggingface._hub_answers", lambda: False)


@pytest.fixture(autouse=True, scope="module")
def no_server_left():
    yield
    hardware.isolation.close()


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A checkpoint with head and tokenizer, as transformers saves it."""
    folder = tmp_path_factory.mktemp("model") / "bert"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=10, max_position_embeddings=24, num_labels=3, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def measured(profile, **known):
    quantile = Quantile(value_s=2e-3, low_s=1e-3, high_s=3e-3)
    values = {
        "effort": Effort.QUICK,
        "source": Source.MEASURED,
        "verdict": Verdict.PROVISIONAL,
        "throughput_per_s": 500.0,
        "load_s": 0.1,
        "first_call_s": 0.1,
        "compile_s": 0.0,
        "peak_memory_bytes": 1,
        "log_variance": 1e-4,
        "hardware_key": "here",
        "environment": {},
        "samples_s": [[2e-3]],
        "measured_at": "2030-01-01T00:00:00+00:00",
    }
    return Measurement(profile=profile, p50=quantile, p90=quantile, p99=quantile, **values | known)


def test_a_checkpoint_is_measured_on_every_target_that_is_named(stillhouse, bert, tmp_path):
    (tmp_path / "study.yaml").write_text("teacher: nobody\ntarget: {length: 8, batch: 2}\n")
    code, out, err = stillhouse(
        "measure", bert, "--effort", "quick", "--target", "length=16", "--target", "study.yaml", "--json",
        "--output", "raw.json",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    assert found["model"]["architecture"]["layers"] == 1
    assert found["model"]["head"]["classes"] == 3
    assert found["model"]["checkpoint"] == str(bert)
    cells = [target["cells"][0] for target in found["targets"]]
    assert [(cell["profile"]["batch"], cell["profile"]["length"]) for cell in cells] == [(1, 16), (2, 8)]
    for cell in cells:
        measured = cell["measurement"]
        assert measured["p50"]["low_s"] <= measured["p50"]["value_s"] <= measured["p99"]["value_s"]
        assert (measured["source"], measured["verdict"]) == ("measured", "provisional")
        assert "samples_s" not in measured
    raw = json.loads((tmp_path / "raw.json").read_text())
    samples = raw["targets"][0]["cells"][0]["measurement"]["samples_s"][0]
    assert cells[0]["measurement"]["p50"]["value_s"] in samples
    assert "measuring" in err


def test_without_a_target_a_short_model_is_measured_at_its_longest(stillhouse, monkeypatch):
    asked = []

    def measure(architecture, head, profile, effort, **options):
        asked.append(profile)
        raise OutOfMemoryError("no room")

    monkeypatch.setattr("cli.measuring.measure_profile", measure)
    assert stillhouse("measure", "--architecture", SHAPE)[0] == 1
    assert stillhouse("measure", "distilbert")[0] == 1
    assert asked == [DeviceProfile(length=64), DeviceProfile(length=128)]


def test_a_table_says_all_that_is_known(stillhouse):
    code, out, _ = stillhouse("measure", "--architecture", SHAPE, "--effort", "quick", "--target", "length=16")
    assert code == 0
    for words in ("p50", "p90", "p99", "throughput", "load", "compile", "first call", "peak memory", "provisional"):
        assert words in out
    assert "measured, effort quick" in out
    assert "its weights are random" in out
    assert "hardware " in out


def test_a_grid_is_a_table_and_csv_and_leaves_out_what_is_too_long(stillhouse, tmp_path, monkeypatch):
    from cli import measuring as command

    real = command.measure_profile

    def measure(architecture, head, profile, effort, **options):
        if profile.batch == 2:
            raise OutOfMemoryError("no room")
        return real(architecture, head, profile, effort, **options)

    monkeypatch.setattr(command, "measure_profile", measure)
    code, out, _ = stillhouse(
        "measure", "--architecture", SHAPE, "--effort", "quick", "--grid-batches", "1,2",
        "--grid-lengths", "16,128", "--output", "cells.csv",
    )  # fmt: skip
    assert code == 1
    assert "length 128 is beyond the model's 64 positions" in out
    assert "no room" in out
    rows = list(csv.DictReader((tmp_path / "cells.csv").read_text().splitlines()))
    assert [(row["batch"], row["length"]) for row in rows] == [("1", "16"), ("1", "128"), ("2", "16"), ("2", "128")]
    assert float(rows[0]["p50_low_s"]) <= float(rows[0]["p50_value_s"])
    assert [row["p50_value_s"] == "" for row in rows] == [False, True, True, True]
    assert rows[2]["reason"] == "no room"
    assert int(rows[0]["calls"]) > 0


def test_a_grid_fails_where_what_was_tried_was_not_measured(stillhouse, monkeypatch):
    def measure(architecture, head, profile, effort, **options):
        if profile.batch == 2:
            raise OutOfMemoryError("no room")
        return measured(profile)

    monkeypatch.setattr("cli.measuring.measure_profile", measure)
    grid = ("measure", "--architecture", SHAPE, "--grid-lengths", "16,128", "--grid-batches")
    assert stillhouse(*grid, "1")[0] == 0  # what no model of its positions can do is left out
    assert stillhouse(*grid, "1,2")[0] == 1
    assert stillhouse("measure", "--architecture", SHAPE, "--grid-lengths", "128")[0] == 1


def test_a_chips_lower_bound_stands_beside_every_measurement_of_a_grid_and_of_lengths():
    short, middle, long = (DeviceProfile(length=length) for length in (8, 16, 32))
    cells = (
        Cell(profile=short, measurement=measured(short, bound_s=7.5e-4)),
        Cell(profile=middle, measurement=measured(middle)),
        Cell(profile=long, reason="no room"),
    )
    seen = histogram([8, 16, 32], (8, 16, 32), 32)
    tables = grid_table(cells), lengths_table(Result(target=short, cells=cells, lengths=seen))
    for table in tables:
        told = {str(column.header): list(map(str, column.cells)) for column in table.columns}
        assert told["lower bound"] == ["0.75 ms", "–", "–"]
        assert told["verdict"][2] == "no room"
    assert "lower bound" not in [column.header for column in grid_table(cells[1:]).columns]


def test_a_csv_has_all_that_is_known_of_a_measurement_but_its_samples():
    known = {
        "bound_s": 7.5e-4,
        "copy_s": 1e-5,
        "event_share": 0.8,
        "device_peak_memory_bytes": 9,
        "energy_j": 0.2,
        "reference_shift": -0.01,
        "voided": 2,
    }
    profile = DeviceProfile()
    found = measured(profile, calls=20, **known), measured(profile)
    cells = tuple(Cell(profile=profile, measurement=one) for one in found)
    first, second = csv.DictReader(as_csv([Result(target=profile, cells=cells)]).splitlines())
    assert {name: float(first[name]) for name in known} == known
    assert [row["calls"] for row in (first, second)] == ["20", "1"]
    told_otherwise = {"profile", "p50", "p90", "p99", "environment", "samples_s"}
    assert set(Measurement.__slots__) - told_otherwise <= first.keys()


def test_a_target_that_fails_is_told_and_the_command_fails(stillhouse, monkeypatch):
    def measure(*arguments, **options):
        raise OutOfMemoryError("no room")

    monkeypatch.setattr("cli.measuring.measure_profile", measure)
    code, out, _ = stillhouse("measure", "--architecture", SHAPE, "--target", "length=16")
    assert code == 1
    assert "no room" in out


def test_what_was_measured_is_told_even_where_its_file_cannot_be_written(stillhouse, tmp_path):
    (tmp_path / "x.json").symlink_to(tmp_path / "gone" / "x.json")
    options = ["--target", "length=16", "--effort", "quick", "--output", "x.json"]
    code, out, err = stillhouse("measure", "--architecture", SHAPE, *options)
    assert (code, "p50" in out) == (2, True)
    assert err.splitlines()[-1].startswith("stillhouse: --output x.json cannot be written")


def test_locks_that_nobody_can_have_are_one_message(tmp_path, monkeypatch, stillhouse):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("STILLHOUSE_LOCK_DIR", str(file))
    code, out, err = stillhouse("measure", "--architecture", SHAPE, "--target", "length=16", "--effort", "quick")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith(f"stillhouse: no lock of the device can be had in {file}: ")


@pytest.mark.parametrize("form", ["lines.txt", "table.csv"])
def test_real_lengths_are_bucketed_and_their_buckets_measured(stillhouse, bert, tmp_path, form):
    texts = ["rain"] * 6 + ["wind snow " * 3] * 3 + ["storm " * 40]  # 3, 8 and 42 tokens
    if form == "lines.txt":
        (tmp_path / form).write_text("\n".join(texts))
    else:
        (tmp_path / form).write_text("".join(f"{number},{text.strip()}\n" for number, text in enumerate(texts)))
    options = ["--lengths", form, "--buckets", "4,12,16", "--effort", "quick"]
    code, out, err = stillhouse("measure", bert, *options, "--json")
    assert code == 0, err
    [target] = json.loads(out)["targets"]
    buckets = target["lengths"]["buckets"]
    assert [(each["length"], each["texts"], each["tokens"]) for each in buckets] == [
        (4, 6, 18),
        (12, 3, 24),
        (16, 0, 0),
        (24, 1, 24),
    ]
    assert target["lengths"]["cut"] == 1
    assert [cell["profile"]["length"] for cell in target["cells"]] == [4, 12, 24]
    means = [1 / cell["measurement"]["throughput_per_s"] for cell in target["cells"]]
    assert target["expected"]["mean_s"] == pytest.approx((6 * means[0] + 3 * means[1] + means[2]) / 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one model: MODEL"),
        (["bert-base", "--architecture", SHAPE], "name one model: MODEL"),
        (["bert-bse"], "did you mean 'bert-base'?"),
        (["./nowhere"], "'./nowhere' is not a local folder"),
        (["bert-base", "--target", "device=cuda,threads=64"], "cannot measure on cuda torch float32"),
        (["bert-base", "--target", "threads=1024"], "1024 threads"),
        (["bert-base", "--target", "runtime=tf"], "--target: runtime: must be 'torch'"),
        (["bert-base", "--target", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["bert-base", "--target", "length=513"], "length 513 is beyond the 512 positions of bert-base"),
        (["bert-base", "--effort", "fats"], "--effort: unknown effort 'fats'"),
        (["bert-base", "--quantile", "p95"], "--quantile: unknown quantile 'p95'"),
        (["bert-base", "--grid-batches", "1,x"], "--grid-batches: write whole numbers"),
        (["bert-base", "--grid-lengths", "0"], "--grid: length must be an integer in 1"),
        (["bert-base", "--grid", "--lengths", "a.txt"], "--grid and --lengths"),
        (["bert-base", "--lengths", "a.txt"], "bert-base has no tokenizer"),
        (["bert-base", "--column", "text"], "--column belongs to --lengths"),
        (["bert-base", "--output", "x.pdf"], "--output x.pdf: name a .json file"),
        (["bert-base", "--output", "nowhere/x.json"], "there is no folder nowhere"),
        (["--architecture", "{layer: 3}"], "--architecture:1: layer: unknown key 'layer'"),
        (["--architecture", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
    ],
)
def test_bad_input_is_one_message_and_nothing_is_measured(stillhouse, monkeypatch, arguments, message):
    monkeypatch.setattr("cli.measuring.measure_profile", None)
    code, out, err = stillhouse("measure", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lengths", "nowhere.txt"], "--lengths: there is no file nowhere.txt"),
        (["--lengths", "two.csv"], "--column: which column of two.csv is the text is not clear"),
        (["--lengths", "two.csv", "--column", "z"], "--column: two.csv has no column 'z'"),
        (["--lengths", "two.csv", "--column", "x", "--buckets", "8,8"], "--lengths: buckets must be different"),
    ],
)
def test_texts_that_cannot_be_read_are_one_message(stillhouse, bert, tmp_path, monkeypatch, options, message):
    monkeypatch.setattr("cli.measuring.measure_profile", None)
    (tmp_path / "two.csv").write_text("x,y\nsome rain,more wind\nsome snow,more storm\n")
    code, _, err = stillhouse("measure", bert, *options)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


HOLD = """\
import sys
from hardware.lock import measuring
from hardware.values import Device
with measuring(Device.CPU):
    print("in", flush=True)
    sys.stdin.readline()
"""


def test_it_says_that_it_waits_for_the_device(tmp_path):
    command = [sys.executable, "-m", "cli.main", "measure", "--architecture", SHAPE, "--effort", "quick"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLD], **pipes) as holder:
        try:
            assert holder.stdout.readline() == "in\n"
            with subprocess.Popen([*command, "--target", "length=16"], **pipes) as waiting:
                lines = [waiting.stderr.readline() for _ in range(2)]
                holder.communicate("\n", timeout=20)
                out, _ = waiting.communicate(timeout=120)
        finally:
            holder.kill()
    assert "waiting for the cpu: something of ours computes or measures on cpu" in lines[1]
    assert "p50" in out
    assert waiting.returncode == 0


def test_ctrl_c_ends_it_with_everything_that_it_started(tmp_path):
    command = [sys.executable, "-m", "cli.main", "measure", "--architecture", SHAPE, "--effort", "report"]
    process = subprocess.Popen(
        [*command, "--target", "length=16"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert "measuring" in process.stderr.readline()
    family = psutil.Process(process.pid)
    end_s = time.monotonic() + 60
    while not (children := family.children(recursive=True)) and time.monotonic() < end_s:
        os.sched_yield()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert err.rstrip().endswith("stopped; nothing of it is kept")
    _, alive = psutil.wait_procs(children, timeout=20)
    assert children
    assert not alive
    with measuring(Device.CPU, wait=False):
        pass
