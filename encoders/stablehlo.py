"""A model as a portable program: StableHLO by `jax.export`, and its weights beside it.

A folder holds

    program.jax_export   the program; the weights are its arguments, so that it stays small
    model.safetensors    the weights, in the program's dtype
    metadata.json        the arguments in order, the results, the platforms, and what it was made from and with

and needs neither this project nor torch to run:

    program = jax.export.deserialize(bytearray(Path("program.jax_export").read_bytes()))
    weights = safetensors.flax.load_file("model.safetensors")
    logits = program.call(weights, input_ids, attention_mask, token_type_ids)["logits"]   # int32, (batch, length)

A program for several platforms takes, before these arguments, the place of the platform in their list as a scalar
int32; `call` adds it by itself. JAX promises that a newer version reads an export for at least six months.
"""

# mypy: allow-untyped-calls
# (jax's configuration and some of its constructors carry no types)

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from encoders.build import architecture_of, head_of, labels_of
from encoders.conversion import to_numpy
from encoders.errors import ExportError
from encoders.folder import whole_folder
from encoders.jax_encoder import apply, parameter_shapes, to_jax
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.weights import read, save_weights

try:
    import jax
    import jax.export
    import jax.numpy as jnp
    from jax import Array, ShapeDtypeStruct
except ImportError as error:
    raise ImportError("a StableHLO export needs the `jax` extra: pip install 'stillhouse[jax]'") from error

PROGRAM, WEIGHTS, METADATA = "program.jax_export", "model.safetensors", "metadata.json"

FORMAT = "stillhouse-stablehlo"

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""The arguments behind the weights; a model without token types has only the first two."""

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


class Precision(StrEnum):
    """The dtype of weights, computation and results.

    Products of float32 are as exact as a platform's default, which on a TPU and on newer GPUs is less than float32;
    `with jax.default_matmul_precision("highest")` around the export makes them float32 there too.
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


ROUNDINGS = 8
"""How many roundings of the largest number an export may be off in any case, where torch itself is almost exact."""

CHECKED_TEXTS = 3
"""Texts in the comparison of a program for any batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StableHloExport:
    """What was written.

    Args:
        difference: the largest found between an output and torch's in the program's dtype, relative to the largest
            output.
    """

    difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An export in memory, on JAX's default device.

    Args:
        call: parameters, ids, mask and (of a model with token types) types, to results by name; compiled when first
            called.
    """

    call: Callable[..., dict[str, Array]]
    parameters: Mapping[str, Array]
    metadata: Mapping[str, Any]

    def __call__(
        self,
        input_ids: npt.ArrayLike | Array,
        attention_mask: npt.ArrayLike | Array | None = None,
        token_type_ids: npt.ArrayLike | Array | None = None,
    ) -> dict[str, Array]:
        """`logits`, or `start_logits` and `end_logits`, of integers (B, L); as in `encoders.jax_encoder.apply`."""
        ids = jnp.asarray(input_ids, jnp.int32)
        mask = jnp.ones_like(ids) if attention_mask is None else jnp.asarray(attention_mask, jnp.int32)
        types = jnp.zeros_like(ids) if token_type_ids is None else jnp.asarray(token_type_ids, jnp.int32)
        takes_types = any(each["name"] == "token_type_ids" for each in self.metadata["arguments"])
        return self.call(dict(self.parameters), ids, mask, *([types] if takes_types else []))


def export_stablehlo(
    model: StillhouseTaskModel,
    folder: Path,
    *,
    batch: int | None,
    length: int,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
    dtype: Precision | str = Precision.FLOAT32,
) -> StableHloExport:
    """Writes program, weights and metadata, and proves on the CPU that they compute what the model computes.

    The proof runs what was written on random texts with padding: its error against a float64 run of the same weights
    is at most four times that of torch in this dtype. The folder appears whole or not at all; an older export of this
    name is replaced. The model is left as it was.

    Args:
        batch: texts in a call; None for any number, which only some compilers take as well as a fixed one.
        length: tokens of a text, padding included.
        platforms: any of cpu, cuda, rocm and tpu; cpu must be among them.

    Raises:
        ExportError: an argument out of its range, the folder exists and is no such export, the disk refused, or what
            was written does not compute what the model computes.
    """
    precision = _check_arguments(model, batch, length, platforms, dtype)
    folder = folder.expanduser().absolute()
    _check_replaceable(folder)
    # Its own copy: in evaluation mode, on the CPU, and with the weights rounded to the program's dtype.
    rounded = copy.deepcopy(model).cpu().to(getattr(torch, precision.value))
    rounded.train(False)
    exported = _lower(rounded, precision, batch, length, platforms)
    program = _serialized(exported)
    described = _metadata(rounded, exported, program, precision) | {"batch": batch, "length": length}
    with whole_folder(folder) as written:
        (written / PROGRAM).write_bytes(program)
        save_weights(rounded, written / WEIGHTS)
        (written / METADATA).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        difference = _verify(rounded, written, batch or CHECKED_TEXTS, length)
    return StableHloExport(difference=difference)


def load_stablehlo(folder: Path) -> Program:
    """What `export_stablehlo` wrote, on JAX's default device.

    Raises:
        ExportError: no such export, or not a whole one.
        CheckpointError: its weights are missing or torn.
    """
    metadata = _read_metadata(folder)
    if metadata is None:
        raise ExportError(f"no StableHLO export at {folder}")
    program = _program(folder)
    if hashlib.sha256(program).hexdigest() != metadata["sha256"]:
        raise ExportError(f"{folder / PROGRAM} is not the program that was exported; it is torn or was replaced")
    try:
        exported = jax.export.deserialize(bytearray(program))
    except ValueError as error:
        raise ExportError(f"{folder / PROGRAM} is not a program for jax {jax.__version__} ({error})") from error
    parameters = to_jax(to_numpy(read(folder / WEIGHTS)), metadata["dtype"])
    return Program(call=jax.jit(exported.call), parameters=parameters, metadata=metadata)


def _check_arguments(
    model: StillhouseTaskModel, batch: int | None, length: int, platforms: Sequence[str], dtype: Precision | str
) -> Precision:
    most = model.config.max_positions
    if not 1 <= length <= most:
        raise ExportError(f"length must be between 1 and the {most} positions of this model, got {length}")
    if batch is not None and batch < 1:
        raise ExportError(f"batch must be at least 1, or None for any, got {batch}")
    unknown = sorted(set(platforms) - set(PLATFORMS))
    if unknown:
        raise ExportError(f"unknown platforms {', '.join(unknown)}; known are {', '.join(PLATFORMS)}")
    if "cpu" not in platforms:
        raise ExportError(f"platforms must have cpu among them, where the export is checked, got {list(platforms)}")
    try:
        return Precision(dtype)
    except ValueError:
        raise ExportError(f"dtype must be one of {', '.join(Precision)}, got {dtype!r}") from None


def _lower(
    model: StillhouseTaskModel, precision: Precision, batch: int | None, length: int, platforms: Sequence[str]
) -> jax.export.Exported:
    config, architecture, head = model.config, architecture_of(model.config), head_of(model.config)

    def forward(
        parameters: dict[str, Array], input_ids: Array, attention_mask: Array, token_type_ids: Array | None = None
    ) -> dict[str, Array]:
        outputs = apply(
            parameters,
            architecture,
            head,
            input_ids,
            attention_mask,
            token_type_ids,
            layer_norm_eps=config.layer_norm_eps,
            embedding_norm_eps=config.embedding_norm_eps,
        )
        return {
            name: value for name, value in outputs._asdict().items() if name.endswith("logits") and value is not None
        }

    rows = jax.export.symbolic_shape("batch")[0] if batch is None else batch
    integers = ShapeDtypeStruct((rows, length), jnp.int32)
    shapes = parameter_shapes(architecture, head).items()
    parameters = {name: ShapeDtypeStruct(shape, jnp.dtype(precision.value)) for name, shape in shapes}
    # Unused arguments (a pooler that no logit depends on) stay arguments, so that they are always the same.
    program = jax.jit(forward, keep_unused=True)
    inputs = [integers] * (3 if architecture.token_types else 2)
    with _without_source_lines():
        return jax.export.export(program, platforms=tuple(platforms))(parameters, *inputs)


@contextmanager
def _without_source_lines() -> Iterator[None]:
    """JAX would write the paths of this machine's files into the program."""
    limit = jax.config.values["jax_traceback_in_locations_limit"]
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", limit)


def _serialized(exported: jax.export.Exported) -> bytes:
    try:
        return bytes(exported.serialize())
    except ImportError as error:  # JAX does not install what it needs for this
        raise ExportError("a StableHLO export needs the package flatbuffers: pip install 'stillhouse[jax]'") from error


def _metadata(
    model: StillhouseTaskModel, exported: jax.export.Exported, program: bytes, precision: Precision
) -> dict[str, Any]:
    architecture, head = architecture_of(model.config), head_of(model.config)
    (parameters, *inputs), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
    arguments = {**parameters, **dict(zip(INPUTS, inputs, strict=False))}
    return {
        "format": FORMAT,
        "program": PROGRAM,
        "weights": WEIGHTS,
        "sha256": hashlib.sha256(program).hexdigest(),
        "arguments": [_described(name, aval) for name, aval in arguments.items()],
        "results": [
            _described(name, aval) for name, aval in jax.tree.unflatten(exported.out_tree, exported.out_avals).items()
        ],
        "platforms": list(exported.platforms),
        "first_argument_is_platform_index": len(exported.platforms) > 1,
        "dtype": precision.value,
        "architecture": architecture.to_dict(),
        "head": asdict(head),
        "labels": list(labels_of(model.config)),
        "layer_norm_eps": model.config.layer_norm_eps,
        "embedding_norm_eps": model.config.embedding_norm_eps,
        "calling_convention_version": exported.calling_convention_version,
        "versions": {name: version(name) for name in ("jax", "jaxlib")},
    }


def _described(name: str, aval: jax.core.ShapedArray) -> dict[str, Any]:
    """JSON of an array; a size that may be anything is its name."""
    shape = [size if isinstance(size, int) else str(size) for size in aval.shape]
    return {"name": name, "shape": shape, "dtype": str(aval.dtype)}


def _verify(model: StillhouseTaskModel, folder: Path, batch: int, length: int) -> float:
    inputs = _texts(model, batch, length)
    try:
        with jax.default_device(jax.devices("cpu")[0]):
            found = {name: np.asarray(value, np.float64) for name, value in load_stablehlo(folder)(**inputs).items()}
    except (RuntimeError, TypeError, ValueError) as error:
        raise ExportError(f"the export does not run: {error}") from error
    own, exact = _torch_results(model, inputs), _torch_results(copy.deepcopy(model).double(), inputs)
    largest = 0.0
    for name, expected in exact.items():
        if not np.isfinite(expected).all():
            raise ExportError("the model's logits are not finite; it was not exported")
        real = inputs["attention_mask"] > 0 if expected.shape[:2] == (batch, length) else slice(None)
        error_here = np.abs(found[name] - expected)[real].max()
        error_of_torch = np.abs(own[name] - expected)[real].max()
        rounding = torch.finfo(model.dtype).eps * np.abs(expected)[real].max()
        if not error_here <= max(4 * error_of_torch, ROUNDINGS * rounding):
            raise ExportError(
                f"the exported program's {name} are off by {error_here:.1e}, torch's in {model.dtype} by"
                f" {error_of_torch:.1e}"
            )
        scale = max(1.0, float(np.abs(expected)[real].max()))
        largest = max(largest, float(np.abs(found[name] - own[name])[real].max()) / scale)
    return largest


def _texts(model: StillhouseTaskModel, batch: int, length: int) -> dict[str, npt.NDArray[np.int64]]:
    """Random texts of which every second is half padding."""
    generator = np.random.default_rng(0)
    lengths = np.where(np.arange(batch) % 2, length, (length + 1) // 2)
    return {
        "input_ids": generator.integers(model.config.vocabulary_size, size=(batch, length)),
        "attention_mask": (np.arange(length)[None, :] < lengths[:, None]).astype(np.int64),
        "token_type_ids": generator.integers(max(1, model.config.token_types), size=(batch, length)),
    }


def _torch_results(
    model: StillhouseTaskModel, inputs: Mapping[str, npt.NDArray[np.int64]]
) -> dict[str, npt.NDArray[np.float64]]:
    with torch.no_grad():
        output = model(**{name: torch.tensor(value) for name, value in inputs.items()})
    return {name: value.double().numpy() for name, value in output.items() if name.endswith("logits")}


def _program(folder: Path) -> bytes:
    try:
        return (folder / PROGRAM).read_bytes()
    except OSError as error:
        raise ExportError(f"cannot read {folder / PROGRAM}: {error}") from error


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and _read_metadata(folder) is None:
        raise ExportError(f"{folder} exists and is not a StableHLO export; choose another folder or remove it")


def _read_metadata(folder: Path) -> dict[str, Any] | None:
    """None where there is no such export."""
    try:
        found = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None
