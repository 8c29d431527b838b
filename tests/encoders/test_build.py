"""Values to modules and back."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
import torch

from encoders.build import architecture_of, build, head_of, labels_of
from encoders.errors import EncoderError
from encoders.modeling_stillhouse import StillhouseConfig
from encoders.values import CLASSIFYING, Head, HeadKind, Pooling
from search_space import Activation


def test_architecture_head_and_labels_come_back_from_the_configuration(architecture):
    shape = dataclasses.replace(architecture, activation=Activation.RELU, token_types=0)
    head = Head(classes=3, pooling=Pooling.CLS)
    config = build(shape, head, ["bad", "fair", "good"]).config
    assert architecture_of(config) == shape
    assert architecture_of(config).key == shape.key
    assert head_of(config) == head
    assert labels_of(config) == ("bad", "fair", "good")


@pytest.mark.parametrize("kind", list(HeadKind))
def test_every_kind_of_head_and_shape_comes_back_from_the_configuration(architecture, kind):
    head = Head(kind=kind, classes=3 if kind in CLASSIFYING else 0)
    sliced = dataclasses.replace(architecture, heads=(4, 0, 1), ffn_size=(40, 7, 0))
    narrow = dataclasses.replace(
        architecture, bottleneck_size=12, attention_input="shared", ffn_stacks=2, embedding_size=8, trigram=True
    )
    for shape in (architecture, sliced, narrow):
        config = StillhouseConfig.from_dict(build(shape, head).config.to_dict())
        assert (architecture_of(config), head_of(config)) == (shape, head)


def test_a_configuration_without_a_model_of_this_family_has_no_head():
    with pytest.raises(EncoderError, match="BertModel"):
        head_of(StillhouseConfig(architectures=["BertModel"]))


@pytest.mark.parametrize("classes", [2, 12])
def test_classes_keep_their_order_with_or_without_names(architecture, classes):
    assert labels_of(build(architecture, Head(classes=classes)).config) == tuple(f"LABEL_{i}" for i in range(classes))
    names = tuple(f"name {index}" for index in range(classes))
    assert labels_of(build(architecture, Head(classes=classes), names).config) == names


def test_seed_decides_the_weights(architecture):
    first, same, other = (build(architecture, Head(classes=3), seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_building_leaves_the_global_random_state_alone(architecture):
    before = torch.get_rng_state()
    build(architecture, Head(classes=3))
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_start_as_berts_do(architecture):
    shape = dataclasses.replace(architecture, hidden_size=96, ffn_size=384, vocabulary_size=500)
    model = build(shape, Head(classes=3))
    for name, parameter in model.named_parameters():
        weights = parameter.detach()
        if "norm.weight" in name:
            assert torch.equal(weights, torch.ones_like(weights)), name
        elif name.endswith("bias"):
            assert torch.equal(weights, torch.zeros_like(weights)), name
        else:
            assert weights.std().item() == pytest.approx(0.02, rel=0.12), name
    assert not model.training


@pytest.mark.parametrize("labels", [["only"], ["same", "same"]])
def test_labels_that_do_not_name_each_class_are_refused(architecture, labels):
    with pytest.raises(EncoderError, match="each of the 2 classes once"):
        build(architecture, Head(classes=2), labels)


def test_importing_the_values_does_not_import_torch():
    code = "import sys, encoders.values, encoders.errors; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
