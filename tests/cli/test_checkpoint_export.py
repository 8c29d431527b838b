"""A checkpoint's folder, written for other runtimes by `stillhouse export --format`."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from cli.main import main
from encoders.build import build
from encoders.export import export
from encoders.huggingface import load_pretrained
from encoders.values import Head, Pooling
from search_space import Architecture, Pooler

TEXTS = {
    "input_ids": torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
    "token_type_ids": torch.zeros(2, 4, dtype=torch.long),
}


@pytest.fixture
def tokenizer():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]
    backend = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


@pytest.fixture
def model():
    """Heads that together are wider than the hidden size: none of transformers' classes can say that."""
    architecture = Architecture(
        vocabulary_size=20,
        layers=1,
        hidden_size=12,
        heads=2,
        head_size=7,
        ffn_size=16,
        max_positions=16,
        pooler=Pooler.TANH,
    )
    return build(architecture, Head(classes=2, pooling=Pooling.CLS), ["bad", "good"])


@pytest.fixture
def checkpoint(tmp_path, model, tokenizer):
    """As a finalist's folder is."""
    export(model, tokenizer, tmp_path / "trial-5", "# A card\n")
    return tmp_path / "trial-5"


@pytest.fixture
def stillhouse(capsys, monkeypatch, tmp_path):
    """Runs `stillhouse export` in this process: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["export", *map(str, arguments)])
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return run


def test_a_finalist_becomes_one_onnx_file(stillhouse, checkpoint, tmp_path, model):
    onnxruntime = pytest.importorskip("onnxruntime")
    (tmp_path / "onnx").mkdir()
    code, out, err = stillhouse(checkpoint, "--format", "onnx", "--to", tmp_path / "onnx")
    assert (code, err) == (0, "")
    assert out.startswith("model.onnx, opset ")
    assert f", input_ids, attention_mask, token_type_ids -> logits  {tmp_path / 'onnx'}\n" in out
    assert "largest difference from torch on a sample: " in out
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {name: value.numpy() for name, value in TEXTS.items()})
    np.testing.assert_allclose(logits, model(**TEXTS).logits.detach(), atol=1e-6)


def test_a_finalist_becomes_a_program_of_a_batch_and_length(stillhouse, checkpoint, tmp_path, model):
    pytest.importorskip("jax")
    asked = ["--batch", 2, "--length", 4, "--platform", "cpu"]
    code, out, err = stillhouse(checkpoint, "--format", "stablehlo", "--output", "program", *asked)
    assert (code, err) == (0, "")
    assert f"program for cpu, batch 2 x length 4  {tmp_path / 'program'}" in out
    assert "largest difference" in out
    from encoders.stablehlo import load_stablehlo

    program = load_stablehlo(tmp_path / "program")
    logits = program(**{name: value.numpy() for name, value in TEXTS.items()})["logits"]
    np.testing.assert_allclose(logits, model(**TEXTS).logits.detach(), atol=1e-6)


def test_a_finalist_becomes_a_folder_of_transformers(stillhouse, checkpoint, tmp_path, model):
    code, out, _ = stillhouse(checkpoint, "--format", "huggingface", "--to", "again")
    assert code == 0
    assert "StillhouseForSequenceClassification, loaded with trust_remote_code=True" in out
    assert (tmp_path / "again" / "README.md").read_text() == "# A card\n"
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "again", trust_remote_code=True)
    torch.testing.assert_close(loaded(**TEXTS).logits, model(**TEXTS).logits)


def test_an_encoder_without_a_head_is_exported_with_its_pooler(stillhouse, model, tokenizer, tmp_path):
    export(model.encoder, tokenizer, tmp_path / "encoder")
    code, out, _ = stillhouse("encoder", "--format", "huggingface", "--to", "again")
    assert code == 0
    assert "encoder has no head of a known kind: the encoder alone is exported" in out
    loaded = AutoModel.from_pretrained(tmp_path / "again", trust_remote_code=True)
    torch.testing.assert_close(loaded(**TEXTS).pooler_output, model.encoder(**TEXTS).pooler_output)
    code, _, err = stillhouse("encoder", "--format", "stablehlo", "--to", "program")
    assert code == 2
    assert "has no head of a known kind, and a StableHLO program computes its logits" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--format", "onnx", "--to", "x"], "no checkpoint at nowhere: there is no such folder"),
        (["empty", "--format", "onnx", "--to", "x"], "empty cannot be exported: 'empty' has no config.json"),
        (["trial-5", "--format", "onx", "--to", "x"], "unknown format 'onx' (did you mean 'onnx'?)"),
        (["trial-5", "--format", "onnx"], "name the folder to write to with --to"),
        (["trial-5", "--format", "onnx", "--to", "trial-5"], "trial-5 is not empty; name a new folder"),
        (["trial-5", "--format", "onnx", "--to", "file"], "file is a file; name a new folder"),
        (["trial-5", "--format", "onnx", "--to", "x", "--batch", "2"], "--batch is no option of onnx, only of stableh"),
        (["trial-5", "--format", "onnx", "--to", "x", "--dtype", "int4"], "is one of float32, float16, got 'int4'"),
        (["trial-5", "--format", "stablehlo", "--to", "x", "--length", "99"], "between 1 and the 16 positions"),
        (["trial-5", "--format", "stablehlo", "--to", "x", "--platform", "toaster"], "unknown platforms toaster"),
        (["trial-5", "--batch", "2"], "--batch, --length, --dtype and --platform belong to --format"),
        (["./trial-5"], "to export a checkpoint's folder add --format"),
    ],
)
def test_what_cannot_be_exported_is_said_and_nothing_is_written(stillhouse, checkpoint, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("kept")
    code, out, err = stillhouse(*arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert not (tmp_path / "x").exists()
    assert (checkpoint / "config.json").exists()
    assert (tmp_path / "file").read_text() == "kept"


def test_tensors_that_do_not_fit_are_named(stillhouse, checkpoint, tmp_path):
    path = checkpoint / "model.safetensors"
    tensors = load_file(path)
    tensors["classifier.bias"] = torch.zeros(3)
    save_file(tensors, path, metadata={"format": "pt"})
    code, _, err = stillhouse("trial-5", "--format", "onnx", "--to", "x")
    assert code == 2
    assert "classifier.bias [3] instead of [2]" in err


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_pickled_weights_are_refused(stillhouse, checkpoint, name):
    tensors = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    torch.save(tensors, checkpoint / name)
    code, _, err = stillhouse("trial-5", "--format", "onnx", "--to", "x")
    assert code == 2
    assert "pickled weights" in err


@pytest.mark.parametrize(("form", "package"), [("onnx", "onnxruntime"), ("stablehlo", "jax")])
def test_a_missing_extra_is_named(stillhouse, checkpoint, tmp_path, monkeypatch, form, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "encoders.stablehlo", raising=False)
    code, _, err = stillhouse("trial-5", "--format", form, "--to", "x")
    assert code == 2
    extra = "onnx" if form == "onnx" else "jax"
    assert f"stillhouse[{extra}]" in err
    assert not (tmp_path / "x").exists()


def test_a_model_of_transformers_is_a_checkpoint_too(stillhouse, checkpoint, tmp_path):
    """Another vocabulary of the same family: read as transformers wrote it, exported as its own class."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(vocab_size=20, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    bert = BertForSequenceClassification(config).eval()
    bert.save_pretrained(tmp_path / "bert")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(checkpoint / file, tmp_path / "bert")
    code, out, _ = stillhouse("bert", "--format", "huggingface", "--to", "again")
    assert code == 0
    assert "BertForSequenceClassification  " in out
    assert json.loads((tmp_path / "again" / "config.json").read_text())["model_type"] == "bert"
    logits = load_pretrained(str(tmp_path / "again")).model(**TEXTS).logits
    torch.testing.assert_close(logits, bert(**TEXTS).logits, atol=1e-6, rtol=1e-5)
