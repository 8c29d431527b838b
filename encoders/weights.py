"""A module's weights on disk: safetensors only, so that loading never runs code."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from encoders.errors import CheckpointError, few


def save_weights(module: nn.Module, path: Path) -> None:
    """Writes the module's state; the file appears whole or not at all, an older one of this name is replaced.

    Raises:
        OSError: the disk's; nothing of the new file is left then.
    """
    save_tensors(module.state_dict(), path)


def save_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    """As `save_weights`, of tensors by name."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    try:
        _write(tensors, temporary)
        Path(temporary).chmod(0o644)  # mkstemp's own mode hides the file from everybody else
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_weights(module: nn.Module, path: Path) -> None:
    """Reads what `save_weights` wrote into a module of the same shape, wherever and in whatever dtype it is.

    Raises:
        CheckpointError: no such file, not safetensors, or tensors that do not fit; nothing is loaded then.
    """
    fit(module, read(path), str(path))


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name, on the CPU.

    Raises:
        CheckpointError: no such file, or not safetensors.
    """
    if not path.is_file():
        raise CheckpointError(f"no weights at {path}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}); pickled weights are not read"
        ) from error


def fit(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Loads tensors whose names and shapes must be exactly the module's.

    Raises:
        CheckpointError: names the tensors that are missing, unknown or misshapen; nothing is loaded then.
    """
    state = module.state_dict()
    common = state.keys() & tensors.keys()
    problems = {
        "missing": sorted(state.keys() - tensors.keys()),
        "unknown": sorted(tensors.keys() - state.keys()),
        "of another shape": [
            f"{name} {list(tensors[name].shape)} instead of {list(state[name].shape)}"
            for name in sorted(common)
            if tensors[name].shape != state[name].shape
        ],
        "of another type": [
            f"{name} {tensors[name].dtype} instead of {state[name].dtype}"
            for name in sorted(common)
            if tensors[name].is_floating_point() != state[name].is_floating_point()
        ],
    }
    found = [f"{what}: {few(names)}" for what, names in problems.items() if names]
    if found:
        raise CheckpointError(f"the weights of {source} do not fit; {'; '.join(found)}")
    module.load_state_dict(dict(tensors))


def _write(tensors: dict[str, Tensor], path: str) -> None:
    try:
        # transformers reads only files that say which framework wrote them.
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        # The library wraps what the disk said, a full one too, into its own error.
        raise OSError(f"cannot write weights: {error}") from error
