"""ONNX files, run by onnxruntime."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from encoders import onnx_export
from encoders.build import build
from encoders.errors import ExportError
from encoders.onnx_export import export_onnx
from encoders.values import Head, HeadKind, Pooling
from search_space import Architecture

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")

SIZES = {"vocabulary_size": 60, "layers": 2, "hidden_size": 24, "heads": 4, "head_size": 5, "ffn_size": 40}
MOBILE = {
    **SIZES,
    "bottleneck_size": 16,
    "embedding_size": 10,
    "trigram": True,
    "norm": "no_norm",
    "activation": "relu",
    "ffn_stacks": 2,
}
CASES = {
    "pooler": ({**SIZES, "pooler": "tanh"}, Head(classes=3, pooling=Pooling.CLS)),
    "trigram": ({**MOBILE, "attention_input": "shared"}, Head(kind=HeadKind.TOKEN_CLASSIFICATION, classes=3)),
    "no types": ({**MOBILE, "token_types": 0}, Head(kind=HeadKind.QUESTION_ANSWERING)),
    "sliced": ({**SIZES, "heads": (0, 3), "ffn_size": (0, 7)}, Head(kind=HeadKind.REGRESSION)),
    "masked lm": ({**SIZES, "embedding_size": 10}, Head(kind=HeadKind.MASKED_LM)),
}


def model_of(case: str, scramble):
    shape, head = CASES[case]
    model = build(Architecture(**shape, max_positions=20), head)
    scramble(model)
    return model


def run(path, named: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["max_positions"] == "20"
    found = session.run(None, {name: tensor.numpy() for name, tensor in named.items()})
    return dict(zip([output.name for output in session.get_outputs()], found, strict=True))


def texts(*lengths: int, types: bool) -> dict[str, torch.Tensor]:
    shape = (len(lengths), max(lengths))
    ids = torch.randint(60, shape, generator=torch.Generator().manual_seed(3))
    mask = (torch.arange(shape[1])[None, :] < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask} | ({"token_type_ids": ids % 2} if types else {})


@pytest.mark.parametrize("case", list(CASES))
def test_any_batch_and_length_gives_what_the_model_gives(tmp_path, scramble, case):
    model = model_of(case, scramble)
    exported = export_onnx(model, tmp_path / "models" / "student.onnx")
    assert [file.name for file in (tmp_path / "models").iterdir()] == ["student.onnx"]
    assert exported.inputs == ("input_ids", "attention_mask", "token_type_ids")[: 2 if case == "no types" else 3]
    assert exported.outputs == (("start_logits", "end_logits") if case == "no types" else ("logits",))
    assert exported.difference < 1e-5
    for lengths in ((1,), (2, 1), (20, 3, 11)):
        named = texts(*lengths, types=case != "no types")
        found = run(tmp_path / "models" / "student.onnx", named)
        with torch.no_grad():
            expected = model(**named)
        for name in exported.outputs:
            theirs, ours = torch.from_numpy(found[name]), expected[name]
            if ours.shape[:2] == named["attention_mask"].shape:
                real = named["attention_mask"].bool()
                theirs, ours = theirs[real], ours[real]
            torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-5)


def test_an_encoder_gives_its_hidden_states_and_pooler_in_half_precision_too(tmp_path, scramble):
    encoder = model_of("pooler", scramble).encoder
    exported = export_onnx(encoder, tmp_path / "encoder.onnx", half=True)
    assert exported.outputs == ("last_hidden_state", "pooler_output")
    named = texts(5, 2, types=True)
    found = run(tmp_path / "encoder.onnx", named)["pooler_output"]
    assert found.dtype == np.float16
    torch.testing.assert_close(torch.from_numpy(found).float(), encoder(**named).pooler_output, atol=1e-2, rtol=1e-2)


def test_the_model_is_left_as_it_was_and_an_older_file_is_replaced(tmp_path):
    model = build(Architecture(**SIZES), Head(classes=3), ["bad", "fair", "good"]).bfloat16().train()
    (tmp_path / "student.onnx").write_text("old")
    export_onnx(model, tmp_path / "student.onnx")
    assert model.training
    assert model.dtype == torch.bfloat16
    session = onnxruntime.InferenceSession(tmp_path / "student.onnx")
    assert session.get_outputs()[0].type == "tensor(float)"
    labels = json.loads(session.get_modelmeta().custom_metadata_map["id2label"])
    assert labels == {"0": "bad", "1": "fair", "2": "good"}


def test_a_missing_package_is_one_message_that_names_the_extra(tmp_path, scramble, monkeypatch):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(ExportError, match=r"needs onnxscript; install them with pip install stillhouse\[onnx\]"):
        export_onnx(model_of("pooler", scramble), tmp_path / "student.onnx")


def test_a_model_too_large_for_one_file_is_refused(tmp_path, scramble, monkeypatch):
    monkeypatch.setattr(onnx_export, "LARGEST_BYTES", 1_000)
    with pytest.raises(ExportError, match="bytes of weights"):
        export_onnx(model_of("pooler", scramble), tmp_path / "student.onnx")


def test_what_cannot_be_written_or_is_wrong_leaves_nothing(tmp_path, scramble, full_disk, monkeypatch):
    model = model_of("pooler", scramble)
    traced = onnx_export._traced(model_of("pooler", scramble))  # once: it takes seconds
    monkeypatch.setattr(onnx_export, "_traced", lambda model: traced)
    with full_disk(2_500), pytest.raises(ExportError, match=r"cannot export to .*student\.onnx"):
        export_onnx(model, tmp_path / "student.onnx")
    scramble(model)
    with pytest.raises(ExportError, match="the file's logits are off by"):
        export_onnx(model, tmp_path / "student.onnx")
    with torch.no_grad():
        model.classifier.bias[1] = float("nan")
    with pytest.raises(ExportError, match="logits are not finite"):
        export_onnx(model, tmp_path / "student.onnx")
    assert list(tmp_path.iterdir()) == []
