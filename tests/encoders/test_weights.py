"""Weights on disk."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from encoders.errors import CheckpointError
from encoders.weights import load_weights, save_weights


def test_saved_weights_come_back_to_the_bit(tmp_path):
    saved, loaded = nn.Linear(4, 3), nn.Linear(4, 3)
    save_weights(saved, tmp_path / "linear.safetensors")
    load_weights(loaded, tmp_path / "linear.safetensors")
    assert torch.equal(saved.weight, loaded.weight)
    assert torch.equal(saved.bias, loaded.bias)
    assert [path.name for path in tmp_path.iterdir()] == ["linear.safetensors"]


def test_saving_again_replaces_the_file(tmp_path):
    path = tmp_path / "linear.safetensors"
    save_weights(nn.Linear(4, 3), path)
    second, loaded = nn.Linear(4, 3), nn.Linear(4, 3)
    save_weights(second, path)
    load_weights(loaded, path)
    assert torch.equal(second.weight, loaded.weight)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, full_disk):
    path = tmp_path / "linear.safetensors"
    old, loaded = nn.Linear(4, 3), nn.Linear(4, 3)
    save_weights(old, path)
    with full_disk(2_000), pytest.raises(OSError, match="cannot write weights"):
        save_weights(nn.Linear(400, 300), path)
    assert [found.name for found in tmp_path.iterdir()] == ["linear.safetensors"]
    load_weights(loaded, path)
    assert torch.equal(old.weight, loaded.weight)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(4, 3, bias=False), "unknown: bias"),
        (nn.BatchNorm1d(3), "missing: num_batches_tracked, running_mean, running_var"),
        (nn.Linear(5, 3), r"weight \[3, 4\] instead of \[3, 5\]"),
    ],
)
def test_tensors_that_do_not_fit_are_named_and_nothing_is_loaded(tmp_path, module, message):
    path = tmp_path / "linear.safetensors"
    save_weights(nn.Linear(4, 3), path)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_weights(module, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_pickles_and_torn_files_are_refused(tmp_path):
    pickled, torn = tmp_path / "weights.bin", tmp_path / "torn.safetensors"
    torch.save(nn.Linear(4, 3).state_dict(), pickled)
    save_weights(nn.Linear(4, 3), torn)
    torn.write_bytes(torn.read_bytes()[:-5])
    for path in (pickled, torn):
        with pytest.raises(CheckpointError, match="not a whole safetensors file"):
            load_weights(nn.Linear(4, 3), path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no weights at .*absent\.safetensors"):
        load_weights(nn.Linear(4, 3), tmp_path / "absent.safetensors")
