"""A training on disk: weights, optimiser, random state and step, as safetensors and JSON.

Nothing is pickled. On the CPU a resumed training ends with bit-equal weights (with as many threads as before).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from distillation.errors import CheckpointError
from distillation.files import whole_folder, write_json
from distillation.values import CurvePoint

SCHEMA_VERSION = 1
TENSORS = "state.safetensors"
DESCRIPTION = "state.json"
KEPT = 2
"""The newest, and the one before it, which somebody may still be reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a training is. `training` names it: only the same training may be resumed."""

    training: str
    step: int
    seconds: float
    curve: tuple[CurvePoint, ...]


def save_checkpoint(folder: Path, modules: Mapping[str, nn.Module], optimiser: Optimizer, progress: Progress) -> Path:
    """Writes `folder/checkpoint-STEP`, whole or not at all, and removes all but the newest two.

    Raises:
        SaveError: nothing of this checkpoint is left then; older ones are.
    """
    target = folder / f"checkpoint-{progress.step:08d}"
    with whole_folder(target) as place:
        save_file(_tensors(modules, optimiser), place / TENSORS)
        write_json(place / DESCRIPTION, {"schema_version": SCHEMA_VERSION, **asdict(progress)})
    for old in checkpoints_in(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def checkpoints_in(folder: Path) -> list[Path]:
    """What `save_checkpoint` has left there, the newest first."""
    return sorted(folder.glob("checkpoint-*"), reverse=True)


def training_name(module: nn.Module, *parts: object) -> str:
    """A name for a training: differs where the module's weights or the parts (values of JSON) differ."""
    return hashlib.sha256(json.dumps([weights_hash(module), *parts], sort_keys=True).encode()).hexdigest()


def weights_hash(module: nn.Module) -> str:
    """SHA-256 of the names and bits of all weights."""
    weights = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        weights.update(name.encode())
        weights.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return weights.hexdigest()


def read_progress(folder: Path, *, training: str) -> Progress:
    """Raises: CheckpointError: not a whole checkpoint, of another version, or of another training."""
    path = folder / DESCRIPTION
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is not a whole checkpoint: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} must hold an object")
    if values.get("schema_version") != SCHEMA_VERSION:
        raise CheckpointError(
            f"{path} is of version {values.get('schema_version')}, this program reads {SCHEMA_VERSION}"
        )
    if values.get("training") != training:
        raise CheckpointError(
            f"{folder} is of another training: data, teacher, architecture, recipe, steps or seed differ"
        )
    return Progress(
        training=training,
        step=values["step"],
        seconds=values["seconds"],
        curve=tuple(CurvePoint(**point) for point in values["curve"]),
    )


def load_checkpoint(folder: Path, modules: Mapping[str, nn.Module], optimiser: Optimizer) -> None:
    """Puts the state into modules and optimiser, and torch's generators where they were.

    Raises:
        CheckpointError: not a whole checkpoint of such modules.
    """
    try:
        tensors = load_file(folder / TENSORS)
        for name, module in modules.items():
            module.load_state_dict(_below(tensors, f"{name}."))
        _restore_optimiser(optimiser, _below(tensors, "optimiser."))
        torch.set_rng_state(tensors["random.cpu"])
    except (OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{folder} is not a whole checkpoint of this training: {error}") from error
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])


def _tensors(modules: Mapping[str, nn.Module], optimiser: Optimizer) -> dict[str, Tensor]:
    tensors = {"random.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    for name, module in modules.items():
        tensors |= {f"{name}.{key}": tensor for key, tensor in module.state_dict().items()}
    for index, values in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": tensor for key, tensor in values.items()}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _restore_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", maxsplit=1)
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
