"""A model as one ONNX file, for runtimes without Python."""

from __future__ import annotations

import copy
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from encoders.build import labels_of
from encoders.errors import ExportError, first_line
from encoders.modeling_stillhouse import StillhouseConfig, StillhouseEncoder, StillhouseModel, StillhouseTaskModel

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What the extra `onnx` installs."""

OUTPUTS = ("logits", "start_logits", "end_logits", "last_hidden_state", "pooler_output")
"""What a file gives, of these what the model has."""

LARGEST_BYTES = 2**31 - 2**20
"""One file holds no more."""

SLACK = 4
"""How many times farther from the exact outputs than torch's the file's may be."""

ROUNDINGS = 32
"""How far they may be in any case, in roundings of the largest output: torch's may be exact by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxExport:
    """What was written.

    Args:
        inputs, outputs: their names; the inputs are int64 (batch, length), both free, length up to `max_positions`.
        opset: of the default domain.
        difference: the largest found between an output and torch's, relative to the largest output.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int
    difference: float


def export_onnx(model: StillhouseTaskModel | StillhouseEncoder, path: Path, *, half: bool = False) -> OnnxExport:
    """Writes the model as an ONNX file for any batch and length, and proves that onnxruntime computes the same.

    The file appears whole or not at all; an older one of this name is replaced. It is in float32, whatever the model
    is in. Its metadata hold `id2label` and `max_positions`. The check runs several batches and lengths, with padding;
    the file's error against float64 may be `SLACK` times torch's own.

    Args:
        half: in float16, inputs aside. Smaller, and on most CPUs not faster.

    Raises:
        ExportError: a package is missing, the model is too large for one file, the disk refused, or the file does not
            compute what the model computes.
    """
    _check_packages()
    path = path.expanduser().absolute()
    dtype = torch.float16 if half else torch.float32
    whole = _copy(model, dtype)
    size = sum(tensor.numel() * tensor.element_size() for tensor in whole.state_dict().values())
    if size > LARGEST_BYTES:
        raise ExportError(f"the model has {size} bytes of weights; an ONNX file holds {LARGEST_BYTES}")
    program = _traced(whole)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        os.close(handle)
        with _quiet():
            program.save(temporary, external_data=False)
        difference = _verify(whole, temporary)
        Path(temporary).chmod(0o644)  # mkstemp's own mode hides the file from everybody else
        Path(temporary).replace(path)
    except OSError as error:
        raise ExportError(f"cannot export to {path}: {error}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return OnnxExport(
        inputs=_inputs(model.config),
        outputs=tuple(output.name for output in program.model.graph.outputs),
        opset=program.model.opset_imports[""],
        difference=difference,
    )


def _copy(model: StillhouseModel, dtype: torch.dtype) -> StillhouseModel:
    copied = copy.deepcopy(model).cpu()
    nn.Module.to(copied, dtype)
    copied.train(False)
    return copied


def _check_packages() -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ExportError(f"an ONNX export needs {', '.join(missing)}; install them with pip install stillhouse[onnx]")


class _Positional(nn.Module):
    """The model as a function of tensors alone, which is what can be traced."""

    def __init__(self, model: StillhouseModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        output = self.model(input_ids, attention_mask, token_type_ids, return_dict=True)
        return tuple(output[name] for name in OUTPUTS if output.get(name) is not None)


def _traced(model: StillhouseModel) -> Any:
    """A torch.onnx.ONNXProgram."""
    config = model.config
    named = _texts(config, 2, min(7, config.max_positions))
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=config.max_positions)}
    with torch.no_grad():
        output = model(**named, return_dict=True)
    try:
        with _quiet():
            program = torch.onnx.export(
                _Positional(model),
                tuple(named.values()),
                input_names=list(named),
                output_names=[name for name in OUTPUTS if output.get(name) is not None],
                dynamic_shapes=(axes,) * len(named),
                dynamo=True,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError, ValueError) as error:
        raise ExportError(f"the model cannot be traced for ONNX: {first_line(error)}") from error
    if program is None:
        raise ExportError("torch gave no ONNX program")
    program.model.metadata_props["id2label"] = json.dumps(dict(enumerate(labels_of(config))))
    program.model.metadata_props["max_positions"] = str(config.max_positions)
    return program


def _verify(model: StillhouseModel, file: str) -> float:
    onnxruntime = import_module("onnxruntime")
    exact = _copy(model, torch.float64)
    longest = model.config.max_positions
    largest = 0.0
    try:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        for batch, length in ((1, 1), (3, min(9, longest)), (2, longest)):
            named = _texts(model.config, batch, length)
            found = session.run(None, {name: tensor.numpy() for name, tensor in named.items()})
            names = [output.name for output in session.get_outputs()]
            computed = dict(zip(names, map(torch.from_numpy, found), strict=True))
            largest = max(largest, _difference(computed, _outputs(model, named), _outputs(exact, named), named))
    except (ExportError, OSError):
        raise
    except Exception as error:  # onnxruntime's errors share no base
        raise ExportError(f"onnxruntime does not run the export: {first_line(error)}") from error
    return largest


def _difference(
    found: Mapping[str, Tensor], torchs: Mapping[str, Tensor], exact: Mapping[str, Tensor], named: Mapping[str, Tensor]
) -> float:
    """The largest, relative to the largest output; padding aside."""
    largest = 0.0
    for name, expected in exact.items():
        real = named["attention_mask"].bool() if expected.shape[:2] == named["input_ids"].shape else ...
        own, ours, target = torchs[name][real].double(), found[name][real].double(), expected[real]
        if not torch.isfinite(own).all():
            raise ExportError(f"the model's {name} are not finite; it was not exported")
        scale = max(1.0, float(target.abs().max()))
        rounding = torch.finfo(torchs[name].dtype).eps * scale
        allowed = max(SLACK * float((own - target).abs().max()), ROUNDINGS * rounding)
        error = float((ours - target).abs().max())
        if not error <= allowed:
            raise ExportError(f"the file's {name} are off by {error:.1e}, more than {allowed:.1e}")
        largest = max(largest, float((ours - own).abs().max()) / scale)
    return largest


def _outputs(model: StillhouseModel, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    with torch.no_grad():
        output = model(**named, return_dict=True)
    return {name: output[name] for name in OUTPUTS if output.get(name) is not None}


def _inputs(config: StillhouseConfig) -> tuple[str, ...]:
    return ("input_ids", "attention_mask", *(("token_type_ids",) if config.token_types else ()))


def _texts(config: StillhouseConfig, batch: int, length: int) -> dict[str, Tensor]:
    """Random texts of which each is shorter than the one before, as far as there is room."""
    generator = torch.Generator().manual_seed(batch * length)
    shape = (batch, length)
    lengths = torch.tensor([max(1, length - 3 * row) for row in range(batch)])
    tensors = (
        torch.randint(config.vocabulary_size, shape, generator=generator),
        (torch.arange(length)[None, :] < lengths[:, None]).long(),
        torch.randint(max(1, config.token_types), shape, generator=generator),
    )
    return dict(zip(_inputs(config), tensors, strict=False))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says of itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
