"""Exports, loaded where this project is not."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch
from transformers import dynamic_module_utils

from encoders.build import build, labels_of
from encoders.errors import ExportError
from encoders.export import TEXTS, export
from encoders.huggingface import load_pretrained, load_tokenizer
from encoders.values import Head, Pooling

FILES = {
    "config.json",
    "model.safetensors",
    "modeling_stillhouse.py",
    "tokenizer.json",
    "tokenizer_config.json",
    "README.md",
}

ELSEWHERE = """
import json, sys
sys.path.append(sys.argv[2])
import importlib.util
assert importlib.util.find_spec("encoders") is None and importlib.util.find_spec("search_space") is None
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline

folder, texts = sys.argv[1], json.loads(sys.argv[3])
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
encoder = AutoModel.from_pretrained(folder, trust_remote_code=True)
with torch.no_grad():
    logits = model(**encoded).logits
    pooled = model.pool(encoder(**encoded), encoded["attention_mask"])
    from_encoder = model.classifier(pooled)
classify = pipeline("text-classification", folder, trust_remote_code=True)
model.save_pretrained(folder + "-again")
again = AutoModelForSequenceClassification.from_pretrained(folder + "-again", trust_remote_code=True)
print(json.dumps({
    "logits": logits.tolist(),
    "from_encoder": from_encoder.tolist(),
    "again": again(**encoded).logits.tolist(),
    "answers": classify(texts, truncation=True),
    "ours": [name for name in sys.modules if name.split(".")[0] in ("encoders", "search_space")],
}))
"""


@pytest.fixture(autouse=True)
def modules_cache(monkeypatch, tmp_path):
    """Where transformers keeps the code of exports that it has loaded."""
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def model(architecture, scramble):
    built = build(architecture, Head(classes=3), ["bad", "fair", "good"])
    scramble(built)
    return built


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_export_loads_in_a_python_without_this_project(tmp_path, model, tokenizer):
    folder = tmp_path / "exports" / "student"
    export(model, tokenizer, folder, "# A student\n")
    assert names(folder) >= FILES
    assert names(folder.parent) == {"student"}
    assert (folder / "README.md").read_text() == "# A student\n"

    # -I and -S: no environment, no current directory, and none of the .pth files that put this project on the path.
    command = [sys.executable, "-I", "-S", "-c", ELSEWHERE, str(folder), sysconfig.get_path("purelib")]
    environment = {"PATH": os.environ["PATH"], "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [*command, json.dumps(TEXTS)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)

    tokenizer = load_tokenizer(str(folder))
    encoded = tokenizer(list(TEXTS), padding=True, truncation=True, return_tensors="pt")
    expected = model(**encoded).logits.detach()
    for key in ("logits", "from_encoder", "again"):
        torch.testing.assert_close(torch.tensor(found[key]), expected, atol=1e-5, rtol=1e-5)
    labels = [labels_of(model.config)[place] for place in expected.argmax(dim=1).tolist()]
    assert [answer["label"] for answer in found["answers"]] == labels
    assert found["ours"] == []


def test_the_modelling_file_imports_only_torch_and_transformers(tmp_path, model, tokenizer):
    export(model, tokenizer, tmp_path / "student")
    source = (tmp_path / "student" / "modeling_stillhouse.py").read_text()
    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imported - sys.stdlib_module_names == {"torch", "transformers"}


def test_an_export_can_be_imported_again_with_its_head(tmp_path, model, tokenizer):
    export(model, tokenizer, tmp_path / "student")
    assert "README.md" not in names(tmp_path / "student")
    imported = load_pretrained(str(tmp_path / "student"))
    assert imported.has_task_head
    ids = torch.tensor([[2, 7, 8, 3]])
    assert torch.equal(imported.model(ids).logits, model(ids).logits)


def test_the_tokenizer_may_be_a_folder_and_truncates_to_the_models_positions(tmp_path, model, tokenizer):
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    export(model, tmp_path / "tokenizer", tmp_path / "student")
    exported = load_tokenizer(str(tmp_path / "student"))
    assert len(exported(TEXTS[-1], truncation=True)["input_ids"]) == model.config.max_positions
    assert tokenizer.model_max_length > model.config.max_positions


def test_exporting_changes_neither_model_nor_tokenizer(tmp_path, model, tokenizer):
    model.train()
    config, longest = model.config.to_dict(), tokenizer.model_max_length
    export(model, tokenizer, tmp_path / "student")
    assert model.training
    assert model.config.to_dict() == config
    assert tokenizer.model_max_length == longest


def test_half_precision_stays_half_precision(tmp_path, model, tokenizer):
    export(model.bfloat16(), tokenizer, tmp_path / "student")
    assert json.loads((tmp_path / "student" / "config.json").read_text())["dtype"] == "bfloat16"


def test_an_older_export_is_replaced_and_anything_else_is_not(tmp_path, architecture, model, tokenizer):
    export(model, tokenizer, tmp_path / "student")
    second = build(architecture, Head(classes=2, pooling=Pooling.CLS))
    export(second, tokenizer, tmp_path / "student")
    assert load_pretrained(str(tmp_path / "student")).model.num_labels == 2

    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.txt").write_text("precious")
    with pytest.raises(ExportError, match="thesis exists and is not an export"):
        export(model, tokenizer, mine)
    assert names(mine) == {"chapter.txt"}


def test_a_full_disk_leaves_nothing(tmp_path, model, tokenizer, full_disk):
    parent = tmp_path / "exports"
    with full_disk(2_500), pytest.raises(ExportError, match=r"cannot export to .*student"):
        export(model, tokenizer, parent / "student")
    assert names(parent) == set()


def test_a_parent_that_is_a_file_is_one_clear_error(tmp_path, model, tokenizer):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot export to"):
        export(model, tokenizer, tmp_path / "file" / "student")


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path, architecture, tokenizer):
    small = build(dataclasses.replace(architecture, vocabulary_size=30), Head(classes=2))
    with pytest.raises(ExportError, match=r"57 tokens, the model's vocabulary_size is 30"):
        export(small, tokenizer, tmp_path / "student")
    assert not (tmp_path / "student").exists()


def test_a_model_with_too_few_positions_for_the_tokenizer_is_refused(tmp_path, architecture, tokenizer):
    short = build(dataclasses.replace(architecture, max_positions=1), Head(classes=2))
    with pytest.raises(ExportError, match="adds 2 tokens to every text, the model's max_positions is 1"):
        export(short, tokenizer, tmp_path / "student")
    assert not (tmp_path / "student").exists()


def test_a_model_that_is_not_finite_is_not_exported(tmp_path, model, tokenizer):
    with torch.no_grad():
        model.classifier.bias[1] = float("nan")
    with pytest.raises(ExportError, match="not finite"):
        export(model, tokenizer, tmp_path / "student")
    assert not (tmp_path / "student").exists()


def test_an_export_that_computes_something_else_is_refused(tmp_path, model, tokenizer):
    class Doubled(type(model)):
        def forward(self, *inputs, **named):
            output = super().forward(*inputs, **named)
            output.logits = 2 * output.logits
            return output

    doubled = Doubled(model.config)
    doubled.load_state_dict(model.state_dict())
    with pytest.raises(ExportError, match="logits differ"):
        export(doubled, tokenizer, tmp_path / "student")
    assert not (tmp_path / "student").exists()
