"""The JAX encoder computes what the PyTorch encoder computes."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from itertools import cycle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from encoders.build import build, build_from, config_of
from encoders.conversion import to_numpy
from encoders.errors import CheckpointError, EncoderError
from encoders.jax_encoder import STATIC, apply, parameter_shapes, to_jax
from encoders.values import Head, HeadKind, Pooling
from search_space import Activation, Architecture, AttentionInput, Norm, Pooler

LENGTHS = (7, 3, 1)
PADDED = 9
PLACES = ("logits", "start_logits", "end_logits", "last_hidden_state", "pooler_output")
HEADS = (
    Head(classes=3),
    Head(classes=2, pooling=Pooling.CLS),
    Head(kind=HeadKind.REGRESSION),
    Head(kind=HeadKind.TOKEN_CLASSIFICATION, classes=4),
    Head(kind=HeadKind.QUESTION_ANSWERING),
    Head(kind=HeadKind.MASKED_LM),
)
ONE_ROUNDING = float(np.finfo(np.float32).eps)
"""Allowed, in units of the largest number, in any case: where torch happens to be exact, JAX may still round once."""

QUICK = {"xla_backend_optimization_level": 0}
"""Unoptimised code computes the same, and compiles in half the time."""

run = jax.jit(apply, static_argnames=STATIC, compiler_options=QUICK)


def random_architecture(seed: int) -> Architecture:
    """Every option and every size drawn on its own."""
    generator = np.random.default_rng(seed)

    def one(*values):
        return values[generator.integers(len(values))]

    def sizes(*values):
        return one(one(*values), tuple(one(*values) for _ in range(layers)))

    layers = one(1, 2)
    bottleneck = one(0, 6, 10)
    return Architecture(
        vocabulary_size=23,
        layers=layers,
        hidden_size=one(8, 12),
        heads=sizes(0, 1, 3),
        head_size=one(2, 5),
        ffn_size=sizes(0, 4, 9),
        ffn_stacks=one(1, 2),
        bottleneck_size=bottleneck,
        attention_input=one(*AttentionInput) if bottleneck else AttentionInput.INPUT,
        embedding_size=one(0, 5),
        trigram=one(False, True),
        norm=one(*Norm),
        activation=one(*Activation),
        pooler=one(*Pooler),
        max_positions=11,
        token_types=one(0, 1, 2),
    )


def batch(architecture: Architecture) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    shape = (len(LENGTHS), PADDED)
    return {
        "input_ids": generator.integers(architecture.vocabulary_size, size=shape),
        "attention_mask": (np.arange(PADDED)[None, :] < np.array(LENGTHS)[:, None]).astype(np.int64),
        "token_type_ids": generator.integers(max(1, architecture.token_types), size=shape),
    }


def torch_outputs(model, inputs, **wanted) -> dict[str, torch.Tensor]:
    """What JAX's one call gives, in torch."""
    tensors = {name: torch.tensor(value) for name, value in inputs.items()}
    with torch.no_grad():
        output, encoded = model(**tensors, **wanted), model.encoder(**tensors, **wanted)
    return {**encoded, **output}


def real(value, mask) -> np.ndarray:
    """The numbers of a tensor that belong to real tokens, in float64."""
    if isinstance(value, torch.Tensor):
        value = value.double().numpy()
    value = np.asarray(value, dtype=np.float64)
    return (value[mask.astype(bool)] if value.shape[:2] == mask.shape else value).ravel()


@pytest.mark.parametrize(("seed", "head"), list(zip(range(30), cycle(HEADS), strict=False)))
def test_random_architectures_are_as_exact_as_in_torch(seed, head, scramble):
    architecture = random_architecture(seed)
    model = build(architecture, head, seed=seed)
    scramble(model)
    inputs = batch(architecture)
    if seed % 3 == 0:
        del inputs["token_type_ids"]
    found = run(to_jax(to_numpy(model)), architecture, head, **inputs)._asdict()
    single, double = torch_outputs(model, inputs), torch_outputs(copy.deepcopy(model).double(), inputs)
    compared = [place for place in PLACES if double.get(place) is not None]
    assert compared == [place for place in PLACES if found[place] is not None]
    for place in compared:
        exact, own, ours = (real(each[place], inputs["attention_mask"]) for each in (double, single, found))
        allowed = max(4 * abs(own - exact).max(), ONE_ROUNDING * abs(exact).max())
        assert abs(ours - exact).max() <= allowed, place


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind.value)
def test_shapes_are_those_of_the_torch_model(head):
    for seed in range(40):
        architecture = random_architecture(seed)
        state = build(architecture, head).state_dict()
        assert parameter_shapes(architecture, head) == {name: tuple(value.shape) for name, value in state.items()}


@pytest.fixture
def every_part(architecture) -> Architecture:
    """All parts that an encoder of this family can have, and a layer without heads and one without neurons."""
    return dataclasses.replace(
        architecture,
        layers=2,
        heads=(3, 0),
        ffn_size=(0, 9),
        bottleneck_size=10,
        attention_input=AttentionInput.SHARED,
        embedding_size=6,
        trigram=True,
        pooler=Pooler.TANH,
    )


@pytest.mark.parametrize("pooling", list(Pooling))
def test_a_text_that_is_all_padding_is_as_in_torch_and_leaves_the_others_alone(architecture, pooling, scramble):
    head = Head(classes=3, pooling=pooling)
    model = build(architecture, head)
    scramble(model)
    inputs = batch(architecture)
    parameters = to_jax(to_numpy(model))
    others = run(parameters, architecture, head, **inputs).logits
    inputs["attention_mask"][1] = 0
    found = run(parameters, architecture, head, **inputs, output_attentions=True)
    np.testing.assert_allclose(found.logits, torch_outputs(model, inputs)["logits"], atol=1e-6)
    np.testing.assert_allclose(found.logits[jnp.array([0, 2])], others[jnp.array([0, 2])], atol=1e-6)
    assert all((each[1] == 0).all() for each in found.attentions)


def test_what_is_asked_for_is_what_torch_gives(every_part, scramble):
    head = Head(kind=HeadKind.TOKEN_CLASSIFICATION, classes=3)
    model = build(every_part, head)
    scramble(model)
    inputs = batch(every_part)
    wanted = {"output_hidden_states": True, "output_attentions": True, "output_projections": True}
    found = run(to_jax(to_numpy(model)), every_part, head, **inputs, **wanted)
    expected = torch_outputs(model, inputs, **wanted)
    for place in ("hidden_states", "attentions", "projections"):
        ours, theirs = getattr(found, place), expected[place]
        assert [each is None for each in ours] == [each is None for each in theirs]
        for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(one[0], other[0], atol=2e-6)  # the first text has the most real tokens


def test_only_what_is_asked_for_is_returned(architecture):
    head = Head(classes=3)
    found = jax.eval_shape(
        lambda parameters, ids: apply(parameters, architecture, head, ids),
        to_jax(to_numpy(build(architecture, head))),
        jnp.zeros((2, 5), jnp.int32),
    )
    given = {name for name, value in found._asdict().items() if value is not None}
    assert given == {"logits", "last_hidden_state"}


def test_bfloat16_is_about_as_exact_as_in_torch(every_part, scramble):
    head = Head(kind=HeadKind.TOKEN_CLASSIFICATION, classes=3)
    model = build(every_part, head)
    scramble(model)
    inputs = batch(every_part)
    exact = torch_outputs(copy.deepcopy(model).double(), inputs)
    found = run(to_jax(to_numpy(model.bfloat16()), jnp.bfloat16), every_part, head, **inputs)
    assert found.logits.dtype == found.last_hidden_state.dtype == jnp.bfloat16
    own = torch_outputs(model, inputs)
    for place in ("logits", "last_hidden_state"):
        errors = [
            abs(real(each, inputs["attention_mask"]) - real(exact[place], inputs["attention_mask"])).max()
            for each in (getattr(found, place), own[place])
        ]
        assert errors[0] <= 4 * errors[1]


def test_gradients_are_those_of_torch(every_part, scramble):
    head = Head(classes=3, pooling=Pooling.CLS)
    model = build(every_part, head)
    scramble(model)
    inputs, labels = batch(every_part), np.array([0, 2, 1])
    inputs["attention_mask"][1] = 0
    tensors = {name: torch.tensor(value) for name, value in inputs.items()}
    model(**tensors, labels=torch.tensor(labels)).loss.backward()

    def loss(parameters):
        logits = apply(parameters, every_part, head, **inputs).logits
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean()

    found = jax.jit(jax.grad(loss), compiler_options=QUICK)(to_jax(to_numpy(model)))
    for name, parameter in model.named_parameters():
        # torch has none for what no logit depends on: the queries' bottleneck of a layer without heads.
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-4, err_msg=name)


def test_the_norms_take_the_eps_of_the_configuration(architecture):
    head = Head(classes=3)
    eps = {"layer_norm_eps": 0.1, "embedding_norm_eps": 0.01}
    model = build_from(config_of(architecture, head, **eps), head.kind)
    inputs = batch(architecture)
    parameters = to_jax(to_numpy(model))
    found = run(parameters, architecture, head, **inputs, **eps)
    np.testing.assert_allclose(found.logits, torch_outputs(model, inputs)["logits"], atol=1e-6)
    assert abs(found.logits - run(parameters, architecture, head, **inputs).logits).max() > 1e-3


def test_no_texts_at_all_have_no_logits(architecture):
    head = Head(classes=3)
    nothing = np.zeros((0, 4), np.int64)
    found = apply(to_jax(to_numpy(build(architecture, head))), architecture, head, nothing, nothing)
    assert found.logits is not None
    assert found.logits.shape == (0, 3)


def test_a_token_that_is_not_in_the_vocabulary_shows(architecture):
    head = Head(classes=3)
    ids = np.array([[5, 6], [5, architecture.vocabulary_size]])
    logits = run(to_jax(to_numpy(build(architecture, head))), architecture, head, ids).logits
    assert jnp.isfinite(logits[0]).all()
    assert jnp.isnan(logits[1]).all()


def test_a_text_longer_than_the_positions_is_refused_with_both_numbers(architecture):
    head = Head(classes=3)
    with pytest.raises(EncoderError, match=r"21 tokens.*20 positions"):
        apply(to_jax(to_numpy(build(architecture, head))), architecture, head, np.ones((1, 21), int))


def test_parameters_of_another_model_are_refused_by_name(architecture):
    head = Head(classes=3)
    parameters = to_jax(to_numpy(build(architecture, head)))
    for other, message in (
        ({"layers": 2}, r"unknown: encoder\.layers\.2\..* and 11 more"),
        ({"pooler": Pooler.TANH}, r"missing: encoder\.pooler\.bias"),
        ({"ffn_size": 41}, r"layers\.0\.feed_forward\.0\.down\.weight \[24, 40\] instead of \[24, 41\]"),
    ):
        with pytest.raises(CheckpointError, match=message):
            apply(parameters, dataclasses.replace(architecture, **other), head, np.ones((1, 2), int))


def test_it_needs_no_torch_and_says_what_to_install_without_jax():
    program = """
import sys
sys.modules["jax"] = None
try:
    import encoders.jax_encoder
except ImportError as error:
    print(error)
del sys.modules["jax"]
import encoders.jax_encoder
print("torch" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    message, has_torch = run.stdout.splitlines()
    assert message == "the JAX encoder needs the `jax` extra: pip install 'stillhouse[jax]'"
    assert has_torch == "False"
