"""Parameters as arrays, and back."""

from __future__ import annotations

import subprocess
import sys

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import torch

from encoders.build import build
from encoders.conversion import from_numpy, load_numpy, to_numpy
from encoders.errors import CheckpointError
from encoders.jax_encoder import to_jax
from encoders.values import Head


@pytest.fixture
def model(architecture):
    return build(architecture, Head(classes=3), seed=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_a_model_comes_back_to_the_bit(architecture, model, dtype):
    model.to(dtype)
    again = build(architecture, Head(classes=3), seed=2).to(dtype)
    load_numpy(again, to_numpy(model))
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_model_comes_back_from_jax_to_the_bit(architecture, model, dtype):
    model.to(torch.bfloat16)  # which float32 holds as well
    found = to_jax(to_numpy(model), dtype)
    assert {value.dtype for value in found.values()} == {jnp.dtype(dtype)}
    again = build(architecture, Head(classes=3), seed=2).to(torch.bfloat16)
    load_numpy(again, found)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_names_shapes_and_numbers_are_those_of_the_state(model):
    arrays = to_numpy(model)
    state = model.state_dict()
    assert list(arrays) == list(state)
    assert all((arrays[name] == value.numpy()).all() for name, value in state.items())
    assert to_numpy(model.bfloat16())["classifier.weight"].dtype == ml_dtypes.bfloat16


def test_nothing_shares_memory_with_the_model(model):
    arrays = to_numpy(model)
    found, tensors = to_jax(arrays), from_numpy(arrays)
    before = arrays["classifier.weight"].copy()
    with torch.no_grad():
        model.classifier.weight.fill_(9)
    assert (arrays["classifier.weight"] == before).all()
    arrays["classifier.weight"][:] = 8
    assert (np.asarray(found["classifier.weight"]) == before).all()
    assert (tensors["classifier.weight"].numpy() == before).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("classifier.bias"), "missing: classifier.bias"),
        (lambda arrays: arrays.update(more=np.zeros(2)), "unknown: more"),
        (
            lambda arrays: arrays.update({"classifier.bias": np.zeros(2, np.float32)}),
            r"of another shape: classifier.bias \[2\] instead of \[3\]",
        ),
        (lambda arrays: arrays.update({"classifier.bias": np.zeros(3, int)}), "of another type: classifier.bias"),
    ],
)
def test_arrays_that_do_not_fit_are_named_and_nothing_is_loaded(architecture, model, change, message):
    arrays = to_numpy(build(architecture, Head(classes=3), seed=2))
    change(arrays)
    before = to_numpy(model)
    with pytest.raises(CheckpointError, match=message):
        load_numpy(model, arrays)
    assert all((value == before[name]).all() for name, value in to_numpy(model).items())


def test_it_imports_no_jax_and_says_what_bfloat16_needs():
    program = """
import sys
from encoders.conversion import to_numpy
import torch
print("jax" in sys.modules)
sys.modules["ml_dtypes"] = None
try:
    to_numpy(torch.nn.Linear(2, 2, dtype=torch.bfloat16))
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    has_jax, message = run.stdout.splitlines()
    assert has_jax == "False"
    assert message == "numpy has no bfloat16 without the `jax` extra: pip install 'stillhouse[jax]'"
