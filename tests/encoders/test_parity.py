"""Models of transformers, imported: what they compute is what their own classes compute."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    BertForPreTraining,
    CamembertConfig,
    DistilBertConfig,
    MobileBertConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from encoders.build import architecture_of, head_of
from encoders.errors import CheckpointError
from encoders.huggingface import load_pretrained
from encoders.values import Head, HeadKind, Pooling
from search_space import AttentionInput, Pooler

LENGTHS = (12, 5, 1)
SIZES = {"vocab_size": 60, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}
POSITIONS = {"max_position_embeddings": 20}
DISTILBERT = {"vocab_size": 60, "dim": 24, "n_layers": 3, "n_heads": 4, "hidden_dim": 40, **POSITIONS}
MOBILEBERT = {
    **SIZES,
    **POSITIONS,
    "embedding_size": 10,
    "intra_bottleneck_size": 16,
    "num_feedforward_networks": 3,
}
LAYER_NORM = {"normalization_type": "layer_norm", "layer_norm_eps": 1e-5}
PLAIN = {"use_bottleneck": False, "trigram_input": False, "embedding_size": 24}

CONFIGS = {
    "bert": BertConfig(**SIZES, **POSITIONS),
    "bert, relu and another eps": BertConfig(**SIZES, **POSITIONS, hidden_act="relu", layer_norm_eps=1e-3),
    "tinybert": BertConfig(
        **{**SIZES, **POSITIONS, "hidden_size": 36, "num_attention_heads": 12, "intermediate_size": 120}
    ),
    "bert, one type": BertConfig(**SIZES, **POSITIONS, type_vocab_size=1),
    "roberta": RobertaConfig(**SIZES, max_position_embeddings=22, type_vocab_size=1, layer_norm_eps=1e-5),
    "xlm-roberta": XLMRobertaConfig(**SIZES, max_position_embeddings=22, type_vocab_size=1),
    "camembert": CamembertConfig(**SIZES, max_position_embeddings=22, type_vocab_size=1),
    "distilbert": DistilBertConfig(**DISTILBERT),
    "distilbert, relu": DistilBertConfig(**DISTILBERT, activation="relu", sinusoidal_pos_embds=True),
    "mobilebert, shared": MobileBertConfig(**MOBILEBERT),
    "mobilebert, bottleneck": MobileBertConfig(**MOBILEBERT, use_bottleneck_attention=True),
    "mobilebert, layer norm": MobileBertConfig(**MOBILEBERT, **LAYER_NORM, hidden_act="gelu"),
    "mobilebert, from its input": MobileBertConfig(
        **{**MOBILEBERT, "intra_bottleneck_size": 24}, key_query_shared_bottleneck=False
    ),
    "mobilebert, one ffn": MobileBertConfig(**{**MOBILEBERT, "num_feedforward_networks": 1}),
    "mobilebert, no bottleneck": MobileBertConfig(**{**MOBILEBERT, **PLAIN}),
    "mobilebert, no pooler": MobileBertConfig(**MOBILEBERT, classifier_activation=False),
}

AUTO = {
    HeadKind.CLASSIFICATION: AutoModelForSequenceClassification,
    HeadKind.REGRESSION: AutoModelForSequenceClassification,
    HeadKind.TOKEN_CLASSIFICATION: AutoModelForTokenClassification,
    HeadKind.QUESTION_ANSWERING: AutoModelForQuestionAnswering,
    HeadKind.MASKED_LM: AutoModelForMaskedLM,
}
LABELS = {
    HeadKind.CLASSIFICATION: ("bad", "fair", "good"),
    HeadKind.REGRESSION: ("score",),
    HeadKind.TOKEN_CLASSIFICATION: ("O", "B", "I"),
}
MAIN_TYPES = ("bert", "roberta", "distilbert", "mobilebert, shared", "mobilebert, no pooler")
FINE_TUNED = [
    (name, kind)
    for name in MAIN_TYPES
    for kind in HeadKind
    if not (name.startswith("mobilebert") and kind is HeadKind.MASKED_LM)
]


def theirs(name: str, auto=AutoModel, scramble=None, labels: tuple[str, ...] = ()):
    config = CONFIGS[name].__class__.from_dict(CONFIGS[name].to_dict())
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: place for place, label in enumerate(labels)}
    model = auto.from_config(config).eval()
    if scramble is not None:
        scramble(model)
        with torch.no_grad():  # as they are trained: their own class never learns the padding's embedding
            model.get_input_embeddings().weight[config.pad_token_id] = 0
    return model


def batch(config) -> dict[str, torch.Tensor]:
    """Three texts of which two are padded, on the right and with the padding token."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 60, (len(LENGTHS), max(LENGTHS)), generator=generator)
    mask = (torch.arange(max(LENGTHS))[None, :] < torch.tensor(LENGTHS)[:, None]).long()
    named = {"input_ids": torch.where(mask.bool(), ids, config.pad_token_id), "attention_mask": mask}
    types = getattr(config, "type_vocab_size", 0)
    if types:
        named["token_type_ids"] = (torch.arange(max(LENGTHS))[None, :] >= 4).long().expand_as(ids) % types
    return named


def outputs(output) -> list[torch.Tensor]:
    return [output[name] for name in ("logits", "start_logits", "end_logits") if output.get(name) is not None]


def assert_equal(found, expected, mask=None) -> None:
    for mine, other in zip(found, expected, strict=True):
        if mask is not None and mine.shape[:2] == mask.shape:
            mine, other = mine[mask.bool()], other[mask.bool()]
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_hidden_states_of_every_layer_are_transformers_own(tmp_path, scramble, name):
    other = theirs(name, scramble=scramble)
    other.save_pretrained(tmp_path)
    imported = load_pretrained(str(tmp_path))
    assert not imported.has_task_head
    assert not imported.model.training
    assert imported.notes == ()
    named = batch(other.config)
    with torch.no_grad():
        expected = other(**named, output_hidden_states=True).hidden_states
        found = imported.model.encoder(**named, output_hidden_states=True).hidden_states
    assert len(found) == 4
    assert_equal(found, expected, named["attention_mask"])


@pytest.mark.parametrize(("name", "kind"), FINE_TUNED)
def test_a_fine_tuned_head_comes_along(tmp_path, scramble, name, kind):
    other = theirs(name, AUTO[kind], scramble, LABELS.get(kind, ()))
    other.save_pretrained(tmp_path)
    imported = load_pretrained(str(tmp_path))
    assert imported.has_task_head
    head = head_of(imported.model.config)
    assert head.kind is kind
    named = batch(other.config)
    with torch.no_grad():
        assert_equal(outputs(imported.model(**named)), outputs(other(**named)), named["attention_mask"])
    again = load_pretrained(str(tmp_path), head=head)
    assert again.has_task_head


def test_the_masked_lm_head_of_a_pre_trained_bert_comes_along(tmp_path, scramble):
    other = BertForPreTraining(CONFIGS["bert"]).eval()
    scramble(other)
    other.save_pretrained(tmp_path)
    imported = load_pretrained(str(tmp_path))
    assert head_of(imported.model.config).kind is HeadKind.MASKED_LM
    named = batch(other.config)
    with torch.no_grad():
        expected = other(**named).prediction_logits
        assert_equal([imported.model(**named).logits], [expected], named["attention_mask"])


POOLERS = {"bert": Pooler.TANH, "roberta": Pooler.TANH, "distilbert": Pooler.NONE, "mobilebert, shared": Pooler.TANH}


@pytest.mark.parametrize("name", list(POOLERS))
def test_a_new_head_on_the_first_token_stands_on_the_sources_pooler(tmp_path, scramble, name):
    other = theirs(name, scramble=scramble)
    other.save_pretrained(tmp_path)
    for pooling, pooler in ((Pooling.MEAN, Pooler.NONE), (Pooling.CLS, POOLERS[name])):
        imported = load_pretrained(str(tmp_path), head=Head(classes=2, pooling=pooling))
        assert not imported.has_task_head
        assert architecture_of(imported.model.config).pooler is pooler
        if pooler is not Pooler.NONE:
            named = batch(other.config)
            found = imported.model.encoder(**named).pooler_output
            torch.testing.assert_close(found, other(**named).pooler_output, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["roberta", "distilbert"])
def test_a_new_head_may_stand_on_the_pooler_of_another_task(tmp_path, scramble, name):
    other = theirs(name, AutoModelForSequenceClassification, scramble)
    other.save_pretrained(tmp_path)
    imported = load_pretrained(str(tmp_path), head=Head(classes=5, pooling=Pooling.CLS))
    assert not imported.has_task_head
    own = load_pretrained(str(tmp_path)).model.encoder
    named = batch(other.config)
    assert torch.equal(imported.model.encoder(**named).pooler_output, own(**named).pooler_output)


def test_mobileberts_conventions_are_told_apart(tmp_path):
    inputs = {
        "mobilebert, shared": AttentionInput.SHARED,
        "mobilebert, bottleneck": AttentionInput.BOTTLENECK,
        "mobilebert, from its input": AttentionInput.INPUT,
        "mobilebert, no bottleneck": AttentionInput.INPUT,
    }
    for name, expected in inputs.items():
        theirs(name).save_pretrained(tmp_path / name)
        shape = architecture_of(load_pretrained(str(tmp_path / name)).model.config)
        assert shape.attention_input is expected
        assert bool(shape.bottleneck_size) == ("no bottleneck" not in name)


def test_a_trigram_model_that_embeds_its_padding_is_read_with_a_note(tmp_path, scramble):
    other = theirs("mobilebert, shared", scramble=scramble)
    scramble(other)
    other.save_pretrained(tmp_path)
    imported = load_pretrained(str(tmp_path))
    assert "padding" in imported.notes[0]
    named = batch(other.config)
    alone = {key: each[:1] for key, each in named.items()}
    with torch.no_grad():
        expected = other(**alone).last_hidden_state
        assert_equal([imported.model.encoder(**alone).last_hidden_state], [expected])


def test_robertas_positions_begin_behind_its_padding(tmp_path):
    other = theirs("roberta")
    other.save_pretrained(tmp_path)
    imported = load_pretrained(str(tmp_path)).model
    assert architecture_of(imported.config).max_positions == 20
    ids = torch.full((1, 20), 7)
    assert_equal([imported.encoder(ids).last_hidden_state], [other(ids).last_hidden_state])


@pytest.mark.skipif("STILLHOUSE_TEST_BERT" not in os.environ, reason="STILLHOUSE_TEST_BERT names no folder of a BERT")
def test_a_pre_trained_bert_is_transformers_own():
    folder = Path(os.environ["STILLHOUSE_TEST_BERT"])
    other = AutoModel.from_pretrained(folder).eval()
    texts = ["Oak.", "The whisky rests in oak for twelve years.", "It is not the same, " * 40]
    named = dict(AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt"))
    imported = load_pretrained(str(folder), head=Head(classes=2, pooling=Pooling.CLS)).model
    with torch.no_grad():
        expected = other(**named, output_hidden_states=True)
        found = imported.encoder(**named, output_hidden_states=True)
    assert_equal(found.hidden_states, expected.hidden_states, named["attention_mask"])
    torch.testing.assert_close(found.pooler_output, expected.pooler_output, atol=1e-5, rtol=1e-5)


def test_an_output_layer_that_is_not_the_word_embeddings_is_refused(tmp_path, scramble):
    theirs("bert", AutoModelForMaskedLM, scramble).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"cls.predictions.decoder.weight": torch.ones(60, 24)}, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="an output layer of its own"):
        load_pretrained(str(tmp_path))
    assert not load_pretrained(str(tmp_path), head=Head(classes=2)).has_task_head
