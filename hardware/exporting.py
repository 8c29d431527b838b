"""Models in the form that a runtime reads which does not run PyTorch.

Each function is called in a process of its own, with a request of plain values, and writes into its `folder`: so the
process that measures has no PyTorch in its memory and no threads of it beside its own.
"""

from __future__ import annotations

import json
import logging
from importlib import import_module
from pathlib import Path
from typing import Any

import encoders.onnx_export as onnx_export
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import Head
from encoders.weights import save_weights
from hardware import exported
from hardware.torch_model import read_or_build
from search_space import Architecture


def arrays(request: dict[str, Any]) -> None:
    """The parameters by name, and the eps of the norms."""
    model, folder = _model(request), Path(request["folder"])
    save_weights(model, folder / exported.WEIGHTS)
    eps = {name: getattr(model.config, name) for name in ("layer_norm_eps", "embedding_norm_eps")}
    (folder / exported.NORMS).write_text(json.dumps(eps))


def onnx(request: dict[str, Any]) -> None:
    """An ONNX file in float32 that was compared with the model."""
    onnx_export.export_onnx(_model(request), Path(request["folder"]) / exported.ONNX)


def onnx_int8(request: dict[str, Any]) -> None:
    """The same with the weights of linear maps and embeddings in 8 bits; what they meet is quantised as it comes."""
    folder = Path(request["folder"])
    whole = folder / "float32.onnx"
    onnx_export.export_onnx(_model(request), whole)
    quantise(whole, folder / exported.ONNX)
    whole.unlink()


def quantise(source: Path, target: Path) -> None:
    """Dynamic quantisation by ONNX Runtime's own tool: signed weights, a scale for each output of a map."""
    quantisation = import_module("onnxruntime.quantization")
    program = import_module("onnx").load(str(source))
    # The tool transposes weights, and then trips over the shapes that torch wrote down for them; it infers them anew.
    del program.graph.value_info[:]
    logging.getLogger().setLevel(logging.ERROR)
    quantisation.quantize_dynamic(program, str(target), weight_type=quantisation.QuantType.QInt8, per_channel=True)


def _model(request: dict[str, Any]) -> StillhouseTaskModel:
    checkpoint = request["checkpoint"]
    return read_or_build(
        Architecture.from_dict(request["architecture"]),
        Head(**request["head"]),
        request["seed"],
        None if checkpoint is None else Path(checkpoint),
    )
