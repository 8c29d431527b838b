"""The Python of README.md and docs/, and the commands that ask a service, run against a finished study.

A page's blocks share a namespace and a folder, from the first to the last.
"""

import json
import random
import shutil
import subprocess
import threading
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
from typer.main import get_command

from cli.main import app, main
from client import Client
from protocol.study_file import _Document, parse_study
from protocol.views import StudyState
from service.suggester import Suggester
from tests.snippets import ROOT, blocks, commands
from tests.test_docs import NOT_RUN

MODULES = ("reading", "reporting", "steering", "trial")
OURS = {'"reviews"': '"demo"', '"1 ms"': '"4 ms"', '"2 ms"': '"4 ms"'}
"""The finished study is called demo, and has one latency for all machines."""
WORDS = {"reviews": "demo", "matthews": "accuracy", "latency_p50 <= 1 ms": "latency_p50 <= 4 ms"}
"""The same in commands."""

RUN = (
    "preview",
    "front",
    "study create",
    "study list",
    "study show",
    "study report",
    "study export",
    "token create",
    "token list",
    "token revoke",
)
"""Commands that are run wherever they are shown."""

ONLY_PARSED = {
    "run": "trains; tests/end_to_end runs it",
    "serve": "does not end; tests/end_to_end",
    "suggest": "does not end; tests/end_to_end",
    "worker": "does not end; tests/end_to_end",
    "distill": "trains; tests/cli/test_distill.py",
    "reproduce": "trains; tests/cli/test_distill.py",
    "calibrate": "times the machine; tests/cli/test_calibrate.py",
    "measure": "times the machine; tests/cli/test_measure.py",
    "export": "needs a checkpoint, or writes into a home; tests/cli/test_checkpoint_export.py and test_exports.py",
    "study watch": "follows a stream, which needs a socket; tests/cli/test_watching.py, tests/client/test_events.py",
    "doctor": "asks the machine; tests/cli/test_doctor.py",
    "backup": "needs a store of its own; tests/cli/test_backup.py",
    "restore": "needs a backup; tests/cli/test_backup.py",
    "migrate": "needs a store of its own; tests/service/test_store.py",
}
"""Commands of which tests/test_docs.py checks that there is such a one, and where they are run."""


def train_and_measure(shape):
    return 0.5 + shape.layers / 20, float(shape.hidden_size) / 100


PROVIDED = {
    "docs/guides/client.md": {
        "evaluate": lambda shape: {"accuracy": 0.5 + shape.layers / 10, "energy": float(shape.hidden_size)}
    },
    "docs/guides/external-trials.md": {"train_and_measure": train_and_measure},
    "docs/guides/calibration.md": {
        "layers": np.array([1, 2, 3, 4] * 6),
        "widths": np.repeat([32, 64, 96, 128, 192, 256], 4),
        "latencies_s": 1e-4 * np.array([1, 2, 3, 4] * 6) * np.repeat([32, 64, 96, 128, 192, 256], 4) / 32,
    },
}
"""What the pages say that their readers have."""

PYTHON_PAGES = sorted({block.page for block in blocks("python") if (block.page, block.head) not in NOT_RUN})
SHELL = [block for block in blocks("sh") if any(words[0] == "stillhouse" for words in commands(block.text))]


def named(words):
    """The command's whole name: `study show`."""
    return " ".join(words[1:3]) if " ".join(words[1:3]) in {*RUN, *ONLY_PARSED} else words[1]


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    """Another finished study than the other tests': its finalists can be loaded."""
    return tmp_path_factory.mktemp("loadable") / "home"


@pytest.fixture(scope="session")
def loadable(tmp_path_factory):
    """An export as a worker leaves it, of a model with random weights."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from encoders.build import build
    from encoders.export import export
    from encoders.values import Head
    from search_space import Architecture

    torch.set_num_threads(1)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), words, strict=False))
    shape = Architecture(
        vocabulary_size=len(words), layers=1, hidden_size=16, heads=1, head_size=16, ffn_size=16, max_positions=32
    )
    folder = tmp_path_factory.mktemp("export") / "trial"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=32, **special)
    export(build(shape, Head(classes=2), ["no", "yes"]), tokenizer, folder)
    (folder / "README.md").write_text("# demo\n")
    return folder


@pytest.fixture
def export(client, loadable):
    return client.artefacts.upload_folder(loadable)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that has what the pages speak of: data, a teacher, the study files of the README and of examples/."""
    folder = tmp_path / "reader"
    (folder / "data").mkdir(parents=True)
    generator, rows = random.Random(0), []
    for at in range(300):
        label = ("bad", "good")[at % 2]
        rows.append(f"{' '.join(generator.choices(['tea', 'cup', label, 'spoon'], k=6))} number {at}\t{label}")
    (folder / "data" / "reviews.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    (folder / "data" / "more.txt").write_text("another cup of tea\n")
    (folder / "models" / "bert-fine-tuned").mkdir(parents=True)
    shutil.copytree(ROOT / "examples", folder / "examples")
    (readme,) = [block for block in blocks("yaml") if block.page == "README.md" and block.head == "name: reviews"]
    (folder / "reviews.yaml").write_text(readme.text)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("STILLHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return folder


@contextmanager
def suggesting(store):
    """Suggests trials meanwhile."""
    over, suggester = threading.Event(), Suggester(store, nullcontext)

    def suggest():
        while not over.wait(0.02):
            suggester.step()

    thread = threading.Thread(target=suggest)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def outside(client, page):
    """The external studies of a page, begun; their trials come without a model."""
    for block in blocks("yaml"):
        words = _Document(block.text, page, "study").values
        if block.page == page and "external" in words:
            parse_study(block.text, origin=page, default_name="outside")
            client.studies.create({**words, "strategy": "sobol", "budget": {"trials": 5, "parallel": 2}})


def ours(text):
    for theirs, own in OURS.items():
        text = text.replace(theirs, own)
    return text


@pytest.mark.parametrize("page", PYTHON_PAGES)
def test_the_python_of_a_page_runs_from_its_first_line_to_its_last(
    page, study, client, connected, store, place, loadable, monkeypatch, capsys
):
    monkeypatch.setattr("client.Client", lambda url: Client(url, wire=connected))
    shutil.copytree(loadable, place / ".stillhouse" / "exports" / "demo" / "trial-13")
    outside(client, page)
    found = dict(PROVIDED.get(page, {}))
    with suggesting(store):
        for block in blocks("python"):
            if block.page == page and (block.page, block.head) not in NOT_RUN:
                exec(compile(ours(block.text), str(block), "exec"), found)
    if page == "docs/guides/client.md":
        assert found["study"].state is StudyState.COMPLETED
        assert found["study"].name == "outside"
        assert found["folder"] == place / "student"
        assert (found["folder"] / "config.json").is_file()
        assert f"{len(study.trials())} " in capsys.readouterr().out
    if page == "docs/guides/external-trials.md":
        assert client.studies.get("on-the-chip").state is StudyState.COMPLETED
    if page == "docs/tutorial.md":
        assert "'label': " in capsys.readouterr().out


def test_a_command_is_run_or_has_its_reason():
    group = get_command(app)
    shown = {named(words) for block in SHELL for words in commands(block.text) if words[0] == "stillhouse"}
    assert not set(RUN) & ONLY_PARSED.keys()
    assert shown <= {*RUN, *ONLY_PARSED}
    for name in (*RUN, *ONLY_PARSED):
        command = group
        for word in name.split():
            assert word in command.commands, name
            command = command.commands[word]
    assert ONLY_PARSED.keys() <= shown, "a reason that nothing needs"


def can_be_run(words):
    return words[0] == "stillhouse" and named(words) in RUN


@pytest.mark.parametrize("block", [one for one in SHELL if any(map(can_be_run, commands(one.text)))], ids=str)
def test_the_commands_of_a_block_that_can_be_run_are(block, study, connected, place, monkeypatch, capsys):
    monkeypatch.setenv("STILLHOUSE_URL", "http://testserver")
    for module in MODULES:
        monkeypatch.setattr(f"cli.{module}.Client", lambda url, **options: Client(url, wire=connected, **options))
    for words in commands(block.text):
        if words[0] in ("cp", "sed"):
            subprocess.run(words, check=True)
        if not can_be_run(words):
            continue
        asks = named(words) not in ("preview", "study create")
        arguments = [WORDS.get(word, word) if asks else word for word in words[1:]]
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        out, err = capsys.readouterr()
        assert caught.value.code == 0, f"{' '.join(words)}: {err}"
        assert out, " ".join(words)


def test_what_curl_sends_is_answered(client, http, store):
    page = "docs/guides/external-trials.md"
    outside(client, page)
    suggester = Suggester(store, nullcontext)
    while suggester.step():
        pass
    (block,) = [block for block in blocks("sh") if block.page == page]
    for words in commands(block.text):
        (url,) = [word for word in words if "/v1/" in word]
        answer = http.post(url[url.index("/v1/") :], json=json.loads(words[words.index("-d") + 1]))
        assert answer.status_code == 200, answer.text
    assert client.studies.get("on-the-chip").trials()[0].metrics["accuracy"] == 0.91
