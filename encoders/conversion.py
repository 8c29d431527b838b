"""Between a PyTorch model and plain arrays: the same names, shapes and layouts, so that nothing is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from encoders.weights import fit

Arrays = dict[str, npt.NDArray[Any]]


def to_numpy(model: nn.Module | Mapping[str, Tensor]) -> Arrays:
    """The parameters of a model, or tensors by name: copies, in their own dtypes.

    Raises:
        ImportError: one is in bfloat16, and ml_dtypes, which teaches it to numpy, is not installed.
    """
    tensors = model.state_dict() if isinstance(model, nn.Module) else model
    return {name: _array(tensor) for name, tensor in tensors.items()}


def from_numpy(parameters: Mapping[str, npt.ArrayLike]) -> dict[str, Tensor]:
    """The arrays, numpy's or JAX's, as tensors on the CPU: copies, in the arrays' own dtypes."""
    return {name: _tensor(np.asarray(value)) for name, value in parameters.items()}


def load_numpy(model: nn.Module, parameters: Mapping[str, npt.ArrayLike], source: str = "the arrays") -> None:
    """Loads arrays whose names and shapes must be exactly the model's, wherever and in whatever dtype it is.

    Args:
        source: what an error says the arrays are of.

    Raises:
        CheckpointError: names the arrays that are missing, unknown or misshapen; nothing is loaded then.
    """
    fit(model, from_numpy(parameters), source)


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    found = tensor.detach().cpu()
    if found.dtype is torch.bfloat16:
        # Neither library knows the other's bfloat16; the bits are the same.
        return found.view(torch.int16).numpy().view(_bfloat16()).copy()
    return found.numpy().copy()


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    if array.dtype.name == "bfloat16":
        return torch.tensor(array.view(np.int16)).view(torch.bfloat16)
    return torch.tensor(array)


def _bfloat16() -> np.dtype[Any]:
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError("numpy has no bfloat16 without the `jax` extra: pip install 'stillhouse[jax]'") from error
    found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return found
