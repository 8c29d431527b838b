from dataclasses import replace

import pytest
import torch
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, MobileBertConfig, MobileBertModel

from search_space import KNOWN, Pooler, parameter_count


def bert(layers: int, hidden_size: int, ffn_size: int) -> BertModel:
    config = BertConfig(
        num_hidden_layers=layers, hidden_size=hidden_size, num_attention_heads=12, intermediate_size=ffn_size
    )
    return BertModel(config)


@pytest.mark.parametrize(
    ("name", "make", "millions"),
    [
        ("bert-base", lambda: bert(12, 768, 3072), 109.482),
        ("distilbert", lambda: DistilBertModel(DistilBertConfig()), 66.363),
        ("tinybert-4", lambda: bert(4, 312, 1200), 14.350),
        ("tinybert-6", lambda: bert(6, 768, 3072), 66.955),
        ("minilm-6x384", lambda: bert(6, 384, 1536), 22.713),
        ("minilm-12x384", lambda: bert(12, 384, 1536), 33.360),
        ("mobilebert", lambda: MobileBertModel(MobileBertConfig(), add_pooling_layer=False), 24.582),
    ],
)
def test_known_models_have_the_parameters_of_transformers_to_the_last(name, make, millions):
    with torch.device("meta"):
        model = make()
    assert parameter_count(KNOWN[name]) == sum(parameter.numel() for parameter in model.parameters())
    assert round(parameter_count(KNOWN[name]) / 1e6, 3) == millions


def test_mobilebert_with_its_pooler_is_as_large_as_transformers_has_it():
    with torch.device("meta"):
        model = MobileBertModel(MobileBertConfig(classifier_activation=True))
    pooled = replace(KNOWN["mobilebert"], pooler=Pooler.TANH)
    assert parameter_count(pooled) == sum(parameter.numel() for parameter in model.parameters()) == 24_844_544


def test_ib_bert_large_has_the_size_that_its_block_gives():
    """It was never released, so there is nothing to count."""
    h, b, f, layers, vocabulary = 512, 1024, 4096, 24, 30_522
    embeddings = vocabulary * 128 + (3 * 128 * h + h) + (512 + 2) * h + 2 * h
    linear = (h * b + b) + 3 * (h * b + b) + (b * b + b) + (b * f + f) + (f * b + b) + (b * h + h)
    norms = 2 * (3 * b + h)
    assert parameter_count(KNOWN["ib-bert-large"]) == embeddings + layers * (linear + norms) == 294_205_184
