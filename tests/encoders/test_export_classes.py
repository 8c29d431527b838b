"""Which class an export becomes, and that it computes what the model computes."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    dynamic_module_utils,
)

from encoders.build import architecture_of, build, build_from, config_of, labels_of
from encoders.export import Export, export
from encoders.huggingface import load_pretrained, load_tokenizer
from encoders.values import Head, HeadKind, Pooling
from search_space import Architecture

CLASSIFY = Head(classes=3, pooling=Pooling.CLS)
REGRESS = Head(kind=HeadKind.REGRESSION, pooling=Pooling.CLS)
TOKENS = Head(kind=HeadKind.TOKEN_CLASSIFICATION, classes=3)
QA = Head(kind=HeadKind.QUESTION_ANSWERING)
MASKED_LM = Head(kind=HeadKind.MASKED_LM)
HEADS = {"classify": CLASSIFY, "regress": REGRESS, "tokens": TOKENS, "qa": QA, "masked lm": MASKED_LM}

AUTO = {
    "classify": AutoModelForSequenceClassification,
    "regress": AutoModelForSequenceClassification,
    "tokens": AutoModelForTokenClassification,
    "qa": AutoModelForQuestionAnswering,
    "masked lm": AutoModelForMaskedLM,
}

SIZES = {"vocabulary_size": 60, "layers": 2, "hidden_size": 24, "heads": 4, "head_size": 6, "ffn_size": 40}
MOBILE = {**SIZES, "head_size": 4, "bottleneck_size": 16, "norm": "no_norm", "activation": "relu", "ffn_stacks": 2}
SHAPES = {
    "bert": {**SIZES, "pooler": "tanh"},
    "no types": {**SIZES, "pooler": "tanh", "token_types": 0},
    "distilbert": {**SIZES, "pooler": "relu", "token_types": 0},
    "shared": {**MOBILE, "attention_input": "shared", "embedding_size": 10, "trigram": True, "pooler": "tanh"},
    "bottleneck": {**MOBILE, "attention_input": "bottleneck", "token_types": 0},
    "stacked": {**SIZES, "ffn_stacks": 3, "norm": "no_norm"},
    "from its input": {**MOBILE, "attention_input": "input"},
    "narrow heads": {**SIZES, "head_size": 5, "pooler": "tanh"},
    "sliced": {**SIZES, "heads": (4, 2), "ffn_size": (40, 0), "pooler": "tanh"},
}

THEIRS = [
    ("bert", "classify", "BertForSequenceClassification"),
    ("bert", "regress", "BertForSequenceClassification"),
    ("bert", "tokens", "BertForTokenClassification"),
    ("bert", "qa", "BertForQuestionAnswering"),
    ("bert", "masked lm", "BertForMaskedLM"),
    ("no types", "classify", "BertForSequenceClassification"),
    ("no types", "masked lm", "DistilBertForMaskedLM"),
    ("distilbert", "classify", "DistilBertForSequenceClassification"),
    ("distilbert", "regress", "DistilBertForSequenceClassification"),
    ("distilbert", "tokens", "DistilBertForTokenClassification"),
    ("distilbert", "qa", "DistilBertForQuestionAnswering"),
    ("shared", "classify", "MobileBertForSequenceClassification"),
    ("shared", "regress", "MobileBertForSequenceClassification"),
    ("shared", "tokens", "MobileBertForTokenClassification"),
    ("shared", "qa", "MobileBertForQuestionAnswering"),
    ("bottleneck", "classify", "MobileBertForSequenceClassification"),
    ("stacked", "classify", "MobileBertForSequenceClassification"),
]
OURS = [
    ("shared", "masked lm", "StillhouseForMaskedLM", "mobilebert", "masked-LM head"),
    ("from its input", "qa", "StillhouseForQuestionAnswering", "mobilebert", "narrower bottleneck"),
    ("from its input", "regress", "StillhouseForSequenceClassification", "bert", "bottlenecks"),
    ("narrow heads", "tokens", "StillhouseForTokenClassification", "bert", "20 wide together"),
    ("sliced", "classify", "StillhouseForSequenceClassification", "bert", "different sizes"),
]


@pytest.fixture(autouse=True)
def modules_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])


def model_of(shape: str, head: Head, scramble):
    labels = ("bad", "fair", "good") if head.classes else None
    model = build(Architecture(**SHAPES[shape], max_positions=20), head, labels)
    scramble(model)
    return model


def outputs(output) -> list[torch.Tensor]:
    return [output[name] for name in ("logits", "start_logits", "end_logits") if output.get(name) is not None]


def encoded(folder, *texts: str) -> dict[str, torch.Tensor]:
    texts = texts or ("a b c d", "e", "padded on its right")
    return dict(load_tokenizer(str(folder))(list(texts), padding=True, return_tensors="pt"))


def assert_computes_alike(mine, other, named) -> None:
    mask = named["attention_mask"].bool()
    with torch.no_grad():
        for expected, found in zip(outputs(mine(**named)), outputs(other(**named)), strict=True):
            if expected.shape[:2] == mask.shape:
                expected, found = expected[mask], found[mask]
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("shape", "head", "class_name"), THEIRS)
def test_a_shape_that_transformers_knows_becomes_its_class(tmp_path, scramble, tokenizer, shape, head, class_name):
    model = model_of(shape, HEADS[head], scramble)
    exported = export(model, tokenizer, tmp_path / "student")
    assert exported.class_name == class_name
    assert not exported.needs_remote_code
    assert not list((tmp_path / "student").glob("*.py"))
    config = json.loads((tmp_path / "student" / "config.json").read_text())
    assert (config["architectures"], config["exported_by"]) == ([class_name], "stillhouse")

    other = AUTO[head].from_pretrained(tmp_path / "student")
    assert type(other).__name__ == class_name
    if HEADS[head].classes:
        assert tuple(other.config.id2label.values()) == labels_of(model.config)
    named = encoded(tmp_path / "student")
    assert_computes_alike(model, other.eval(), named)
    imported = load_pretrained(str(tmp_path / "student"))
    assert imported.has_task_head
    assert imported.notes == ()
    assert_computes_alike(model, imported.model, named)


@pytest.mark.parametrize(("shape", "head", "class_name", "asked", "obstacle"), OURS)
def test_any_other_shape_becomes_our_class(tmp_path, scramble, tokenizer, shape, head, class_name, asked, obstacle):
    model = model_of(shape, HEADS[head], scramble)
    exported = export(model, tokenizer, tmp_path / "student")
    assert exported.class_name == class_name
    assert exported.needs_remote_code
    assert obstacle in exported.obstacles[asked]
    imported = load_pretrained(str(tmp_path / "student"))
    assert imported.has_task_head
    assert architecture_of(imported.model.config) == architecture_of(model.config)
    assert_computes_alike(model, imported.model, encoded(tmp_path / "student"))


def test_mean_pooling_is_in_no_class_of_transformers(tmp_path, scramble, tokenizer):
    exported = export(model_of("bert", Head(classes=3), scramble), tokenizer, tmp_path / "student")
    assert exported.needs_remote_code
    assert exported.obstacles["bert"] == "its pooling is 'mean'"


def test_our_own_class_can_be_asked_for(tmp_path, scramble, tokenizer):
    model = model_of("bert", CLASSIFY, scramble)
    exported = export(model, tokenizer, tmp_path / "student", own_class=True)
    assert exported == Export(
        model_type="stillhouse",
        class_name="StillhouseForSequenceClassification",
        obstacles={},
        difference=exported.difference,
    )
    assert 0 <= exported.difference < 1e-5
    assert (tmp_path / "student" / "modeling_stillhouse.py").is_file()


def test_an_export_may_replace_one_of_another_class(tmp_path, scramble, tokenizer):
    for own in (False, True, False):
        export(model_of("bert", QA, scramble), tokenizer, tmp_path / "student", own_class=own)
        assert (tmp_path / "student" / "modeling_stillhouse.py").is_file() == own


@pytest.mark.parametrize(
    ("shape", "class_name"),
    [
        ("bert", "BertModel"),
        ("shared", "MobileBertModel"),
        ("stacked", "MobileBertModel"),
        ("sliced", "StillhouseEncoder"),
    ],
)
def test_an_encoder_is_exported_alone(tmp_path, scramble, tokenizer, shape, class_name):
    encoder = model_of(shape, QA, scramble).encoder
    exported = export(encoder, tokenizer, tmp_path / "student")
    assert exported.class_name == class_name
    other = AutoModel.from_pretrained(tmp_path / "student", trust_remote_code=exported.needs_remote_code).eval()
    named = encoded(tmp_path / "student")
    mask = named["attention_mask"].bool()
    found, expected = other(**named).last_hidden_state, encoder(**named).last_hidden_state
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-5, rtol=1e-5)


def test_layer_norms_of_mobileberts_fixed_eps_become_its_class(tmp_path, scramble, tokenizer):
    shape = Architecture(**{**SHAPES["shared"], "norm": "layer_norm"}, max_positions=20)
    for eps, model_type in ((1e-5, "mobilebert"), (1e-12, "stillhouse")):
        model = build_from(config_of(shape, QA, layer_norm_eps=eps), QA.kind)
        scramble(model)
        assert export(model, tokenizer, tmp_path / model_type).model_type == model_type


def test_half_precision_is_compared_in_full(tmp_path, scramble, tokenizer):
    model = model_of("shared", CLASSIFY, scramble).bfloat16()
    assert not export(model, tokenizer, tmp_path / "student").needs_remote_code
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "student").dtype == torch.bfloat16
    assert model.dtype == torch.bfloat16


def test_the_padding_row_is_zero_only_in_the_export(tmp_path, scramble, tokenizer):
    model = model_of("shared", CLASSIFY, scramble)
    export(model, tokenizer, tmp_path / "student")
    other = AutoModel.from_pretrained(tmp_path / "student")
    assert not other.embeddings.word_embeddings.weight[tokenizer.pad_token_id].any()
    assert model.encoder.embeddings.word.weight[tokenizer.pad_token_id].any()


def test_a_roberta_is_exported_as_a_bert(tmp_path, scramble, tokenizer):
    theirs = RobertaForSequenceClassification(
        RobertaConfig(
            vocab_size=60,
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=40,
            max_position_embeddings=22,
            type_vocab_size=1,
            layer_norm_eps=1e-5,
            num_labels=3,
        )
    ).eval()
    scramble(theirs)
    theirs.save_pretrained(tmp_path / "roberta")
    exported = export(load_pretrained(str(tmp_path / "roberta")).model, tokenizer, tmp_path / "bert")
    assert exported.class_name == "BertForSequenceClassification"
    bert = AutoModelForSequenceClassification.from_pretrained(tmp_path / "bert").eval()
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    torch.testing.assert_close(bert(ids).logits, theirs(ids).logits, atol=1e-5, rtol=1e-5)
