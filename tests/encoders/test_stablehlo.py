"""Exports by jax.export."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from encoders import stablehlo
from encoders.build import build
from encoders.errors import CheckpointError, ExportError
from encoders.stablehlo import METADATA, PROGRAM, WEIGHTS, Precision, export_stablehlo, load_stablehlo
from encoders.values import Head, HeadKind, Pooling
from search_space import Architecture, Pooler

IDS = np.array([[5, 6, 7, 8, 9], [10, 11, 12, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@pytest.fixture
def architecture(architecture) -> Architecture:
    return dataclasses.replace(architecture, layers=1)


@pytest.fixture
def model(architecture, scramble):
    built = build(architecture, Head(classes=3), ["bad", "fair", "good"])
    scramble(built)
    return built


def in_torch(model, **inputs):
    with torch.no_grad():
        return model(**{name: torch.tensor(value) for name, value in inputs.items()})


def test_an_export_computes_what_the_model_computes(tmp_path, model):
    folder = tmp_path / "exports" / "student"
    export_stablehlo(model, folder, batch=2, length=5)
    assert {path.name for path in folder.iterdir()} == {PROGRAM, WEIGHTS, METADATA}
    assert [path.name for path in folder.parent.iterdir()] == ["student"]
    program = load_stablehlo(folder)
    for inputs in (
        {"input_ids": IDS},
        {"input_ids": IDS, "attention_mask": MASK},
        {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": np.ones_like(IDS)},
    ):
        np.testing.assert_allclose(program(**inputs)["logits"], in_torch(model, **inputs).logits, atol=1e-6)


def test_the_metadata_names_the_arguments_in_order(tmp_path, model):
    export_stablehlo(model, tmp_path / "student", batch=2, length=5)
    metadata = json.loads((tmp_path / "student" / METADATA).read_text())
    state = {name: list(value.shape) for name, value in model.state_dict().items()}
    expected = [(name, state[name], "float32") for name in sorted(state)]
    expected += [(name, [2, 5], "int32") for name in ("input_ids", "attention_mask", "token_type_ids")]
    assert [(each["name"], each["shape"], each["dtype"]) for each in metadata["arguments"]] == expected
    assert metadata["results"] == [{"name": "logits", "shape": [2, 3], "dtype": "float32"}]
    assert metadata["platforms"] == ["cpu", "cuda", "tpu"]
    assert metadata["first_argument_is_platform_index"] is True
    assert (metadata["batch"], metadata["length"], metadata["dtype"]) == (2, 5, "float32")
    assert metadata["labels"] == ["bad", "fair", "good"]
    assert metadata["versions"].keys() == {"jax", "jaxlib"}


def test_it_runs_without_this_project_and_without_torch(tmp_path, model):
    export_stablehlo(model, tmp_path / "student", batch=2, length=5)
    program = f"""
import json, sys
from pathlib import Path
import jax.export, numpy, safetensors.flax
program = jax.export.deserialize(bytearray(Path("{PROGRAM}").read_bytes()))
weights = safetensors.flax.load_file("{WEIGHTS}")
ids, mask = (numpy.array(value, numpy.int32) for value in json.loads(sys.argv[1]))
logits = program.call(weights, ids, mask, numpy.zeros_like(ids))["logits"]
ours = [name for name in sys.modules if name.split(".")[0] in ("encoders", "search_space", "torch")]
print(json.dumps([logits.tolist(), ours]))
"""
    command = [sys.executable, "-I", "-c", program, json.dumps([IDS.tolist(), MASK.tolist()])]
    run = subprocess.run(command, cwd=tmp_path / "student", capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    logits, ours = json.loads(run.stdout)
    np.testing.assert_allclose(logits, in_torch(model, input_ids=IDS, attention_mask=MASK).logits, atol=1e-6)
    assert ours == []


def test_a_program_for_any_batch_takes_any_batch(tmp_path, model):
    export_stablehlo(model, tmp_path / "student", batch=None, length=5, platforms=["cpu"])
    program = load_stablehlo(tmp_path / "student")
    for texts in (1, 2):
        inputs = {"input_ids": IDS[:texts], "attention_mask": MASK[:texts]}
        np.testing.assert_allclose(program(**inputs)["logits"], in_torch(model, **inputs).logits, atol=1e-6)
    assert program.metadata["batch"] is None
    assert program.metadata["results"][0]["shape"] == ["batch", 3]
    assert program.metadata["first_argument_is_platform_index"] is False


def test_bfloat16_is_bfloat16_throughout(tmp_path, model):
    export_stablehlo(model, tmp_path / "student", batch=2, length=5, dtype="bfloat16")
    program = load_stablehlo(tmp_path / "student")
    assert {str(value.dtype) for value in program.parameters.values()} == {"bfloat16"}
    logits = program(IDS, MASK)["logits"]
    assert str(logits.dtype) == "bfloat16"
    expected = in_torch(model, input_ids=IDS, attention_mask=MASK).logits
    np.testing.assert_allclose(np.asarray(logits, np.float32), expected, atol=0.05)
    assert model.dtype is torch.float32


@pytest.mark.parametrize(
    ("head", "results"),
    [
        (Head(kind=HeadKind.QUESTION_ANSWERING), {"start_logits": (2, 5), "end_logits": (2, 5)}),
        (Head(kind=HeadKind.MASKED_LM), {"logits": (2, 5, 60)}),
    ],
    ids=["question_answering", "masked_lm"],
)
def test_every_head_has_its_results(tmp_path, architecture, head, results):
    bare = dataclasses.replace(architecture, token_types=0)
    export_stablehlo(build(bare, head), tmp_path / "student", batch=2, length=5)
    found = load_stablehlo(tmp_path / "student")(IDS, MASK, np.ones_like(IDS))
    assert {name: value.shape for name, value in found.items()} == results


def test_a_pooler_that_nothing_reads_stays_an_argument(tmp_path, architecture):
    head = Head(classes=3, pooling=Pooling.MEAN)
    model = build(dataclasses.replace(architecture, pooler=Pooler.RELU), head)
    export_stablehlo(model, tmp_path / "student", batch=1, length=2)
    metadata = json.loads((tmp_path / "student" / METADATA).read_text())
    assert "encoder.pooler.weight" in {each["name"] for each in metadata["arguments"]}


def test_no_path_of_this_machine_is_in_the_program(tmp_path, model):
    export_stablehlo(model, tmp_path / "student", batch=1, length=2)
    assert b".py" not in (tmp_path / "student" / PROGRAM).read_bytes()


def test_exporting_leaves_the_model_as_it_was(tmp_path, model):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_stablehlo(model, tmp_path / "student", batch=1, length=2, dtype=Precision.BFLOAT16)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_older_export_is_replaced_and_anything_else_is_not(tmp_path, architecture, model):
    export_stablehlo(model, tmp_path / "student", batch=1, length=2)
    export_stablehlo(build(architecture, Head(classes=2)), tmp_path / "student", batch=1, length=3)
    assert load_stablehlo(tmp_path / "student").metadata["length"] == 3
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.txt").write_text("precious")
    with pytest.raises(ExportError, match="thesis exists and is not a StableHLO export"):
        export_stablehlo(model, mine, batch=1, length=2)
    assert [path.name for path in mine.iterdir()] == ["chapter.txt"]
    assert {path.name for path in tmp_path.iterdir()} == {"student", "thesis"}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"length": 21}, "between 1 and the 20 positions of this model, got 21"),
        ({"batch": 0}, "batch must be at least 1, or None for any, got 0"),
        ({"platforms": ["cpu", "gpu"]}, "unknown platforms gpu; known are cpu, cuda, rocm, tpu"),
        ({"platforms": ["tpu"]}, "cpu among them"),
        ({"dtype": "float16"}, "dtype must be one of float32, bfloat16, got 'float16'"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, model, argument, message):
    with pytest.raises(ExportError, match=message):
        export_stablehlo(model, tmp_path / "student", **{"batch": 1, "length": 2, **argument})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path, model, full_disk):
    with full_disk(2_500), pytest.raises(ExportError, match=r"cannot export to .*student"):
        export_stablehlo(model, tmp_path / "exports" / "student", batch=1, length=2)
    assert list((tmp_path / "exports").iterdir()) == []


def test_a_model_that_is_not_finite_is_not_exported(tmp_path, model):
    with torch.no_grad():
        model.classifier.bias[1] = float("nan")
    with pytest.raises(ExportError, match="not finite"):
        export_stablehlo(model, tmp_path / "student", batch=1, length=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", list(Precision))
def test_an_export_that_computes_something_else_is_refused(tmp_path, model, monkeypatch, dtype):
    def biased(*arguments, **named):
        outputs = stablehlo_apply(*arguments, **named)
        return outputs._replace(logits=outputs.logits * 1.1)

    stablehlo_apply = stablehlo.apply
    monkeypatch.setattr(stablehlo, "apply", biased)
    with pytest.raises(ExportError, match="logits are off by"):
        export_stablehlo(model, tmp_path / "student", batch=2, length=5, dtype=dtype)
    assert list(tmp_path.iterdir()) == []


def test_a_torn_export_is_refused(tmp_path, model):
    folder = tmp_path / "student"
    export_stablehlo(model, folder, batch=1, length=2)
    whole = (folder / PROGRAM).read_bytes()
    (folder / PROGRAM).write_bytes(whole[:-9])
    with pytest.raises(ExportError, match="torn or was replaced"):
        load_stablehlo(folder)
    (folder / PROGRAM).unlink()
    with pytest.raises(ExportError, match=r"cannot read .*program\.jax_export"):
        load_stablehlo(folder)
    (folder / PROGRAM).write_bytes(whole)
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=r"no weights at .*model\.safetensors"):
        load_stablehlo(folder)
    with pytest.raises(ExportError, match="no StableHLO export at"):
        load_stablehlo(tmp_path / "absent")


def test_without_flatbuffers_one_error_says_what_to_install(tmp_path, model, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("jax._src.export.serialization")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == "flatbuffers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(ExportError, match=r"flatbuffers: pip install 'stillhouse\[jax\]'"):
        export_stablehlo(model, tmp_path / "student", batch=1, length=2)
