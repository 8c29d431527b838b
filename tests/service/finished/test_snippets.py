"""The Python of README.md and docs/, and the commands that ask a service, run against a finished study.

A page's blocks share a namespace and a folder, from the first to the last.
"""

import json
import random
import shutil
import subprocess
import threading
from contextlib import contextmanager, nullcontext
from itertools import groupby

import numpy as np
import pytest
from typer.main import get_command

from cli.main import app, main
from client import Client
from protocol.study_file import _Document, parse_study
from protocol.views import StudyState
from service.suggester import Suggester
from tests.snippets import ROOT, blocks, commands

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


LEFT_OUT = {
    ("README.md", "from dataclasses import replace"): "distils; tests/test_readme.py runs it in fewer steps",
    (
        "docs/guides/latency.md",
        "from encoders.values import Head",
    ): "times the machine; tests/test_docs.py imports its names",
}
"""Blocks of Python that are not run here, and why."""


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
            client.studies.create({**words, "strategy": "sobol", "budget": {"trials": 3, "parallel": 2}})


def ours(text):
    for theirs, own in OURS.items():
        text = text.replace(theirs, own)
    return text


def can_be_run(words):
    return words[0] == "stillhouse" and named(words) in RUN


def is_run(block):
    """Whether there is something of it to be run here."""
    if block.language == "python":
        return (block.page, block.head) not in LEFT_OUT
    return block.language == "sh" and any(can_be_run(words) or words[0] == "curl" for words in commands(block.text))


PAGES = {page: list(shown) for page, shown in groupby(blocks(), key=lambda block: block.page)}


@pytest.mark.parametrize("page", [page for page, shown in PAGES.items() if any(map(is_run, shown))])
def test_a_page_does_what_it_says_from_its_first_block_to_its_last(
    page, study, client, connected, http, store, place, loadable, monkeypatch, capsys
):
    monkeypatch.setenv("STILLHOUSE_URL", "http://testserver")
    monkeypatch.setattr("client.Client", lambda url: Client(url, wire=connected))
    for module in MODULES:
        monkeypatch.setattr(f"cli.{module}.Client", lambda url, **options: Client(url, wire=connected, **options))
    shutil.copytree(loadable, place / ".stillhouse" / "exports" / "demo" / "trial-14")
    outside(client, page)
    found = dict(PROVIDED.get(page, {}))
    printed = ""
    with suggesting(store):
        for block in PAGES[page]:
            if block.language == "python" and is_run(block):
                exec(compile(ours(block.text), str(block), "exec"), found)
                printed += capsys.readouterr().out
            elif block.language == "sh":
                for words in commands(block.text):
                    carry_out(words, http, capsys)
    if page == "docs/guides/client.md":
        assert found["study"].state is StudyState.COMPLETED
        assert found["study"].name == "outside"
        assert found["folder"] == place / "student"
        assert (found["folder"] / "config.json").is_file()
        assert f"{len(study.trials())} " in printed
    if page == "docs/guides/external-trials.md":
        told = client.studies.get("on-the-chip")
        assert told.state is StudyState.COMPLETED
        assert told.trials()[0].metrics["accuracy"] == 0.91  # what curl told
    if page == "docs/tutorial.md":
        assert "'label': " in printed


def carry_out(words, http, capsys):
    """What can be: on files, by the command, over HTTP."""
    if words[0] in ("cp", "sed"):
        subprocess.run(words, check=True)
    elif words[0] == "curl":
        (url,) = [word for word in words if "/v1/" in word]
        answer = http.post(url[url.index("/v1/") :], json=json.loads(words[words.index("-d") + 1]))
        assert answer.status_code == 200, answer.text
    elif can_be_run(words):
        asks = named(words) not in ("preview", "study create")
        with pytest.raises(SystemExit) as caught:
            main([WORDS.get(word, word) if asks else word for word in words[1:]])
        out, err = capsys.readouterr()
        assert caught.value.code == 0, f"{' '.join(words)}: {err}"
        assert out, " ".join(words)


def test_a_command_is_run_or_has_its_reason():
    group = get_command(app)
    shown = {named(words) for block in blocks("sh") for words in commands(block.text) if words[0] == "stillhouse"}
    assert not set(RUN) & ONLY_PARSED.keys()
    assert shown <= {*RUN, *ONLY_PARSED}
    for name in (*RUN, *ONLY_PARSED):
        command = group
        for word in name.split():
            assert word in command.commands, name
            command = command.commands[word]
    assert ONLY_PARSED.keys() <= shown, "a reason that nothing needs"


def test_every_block_that_is_left_out_is_there():
    assert LEFT_OUT.keys() <= {(block.page, block.head) for block in blocks("python")}
