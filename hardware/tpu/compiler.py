"""The TPU compiler on a machine without a TPU, in a process of its own.

Its program is read from what XLA dumps after code generation. JAX could print it, too, but reads it back from a
serialised form first, which fails where it has work done on the SparseCore (v6e, from some thousand tokens on).
"""

# mypy: allow-untyped-calls
# (some of jax's constructors carry no types)

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from encoders.values import Head
from hardware.values import DeviceProfile, Dtype
from search_space import Architecture

LOG = "log.txt"


def compile_program(request: dict[str, Any]) -> dict[str, Any]:
    """Compile what `request` describes for one device of a topology; plain values in and out.

    The program's text is left in the folder `request["folder"]`, what libraries print in its `LOG`. Returns the
    device's kind and number of cores, the seconds that lowering and compiling took, and the bytes of device memory that
    the program and its data need.

    Once in a process, and before anything else of JAX: sets environment variables that JAX reads when imported.
    """
    folder = Path(request["folder"])
    _redirect(folder / LOG)
    os.environ |= {
        # Else JAX looks for a chip and libtpu asks the cloud's metadata server which machine this is.
        "JAX_PLATFORMS": "cpu",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_LOG_DIR": str(folder),
        "XLA_FLAGS": f"--xla_dump_to={folder} --xla_dump_hlo_as_text",
        # Somebody's own options would make another program, under the same key.
        "LIBTPU_INIT_ARGS": "",
    }
    import jax
    from jax.experimental import topologies
    from jax.sharding import SingleDeviceSharding

    jax.config.update("jax_enable_compilation_cache", False)  # what comes from it leaves no text
    # float32 is float32, by default it is less on a TPU. For bfloat16 it changes the program and no number: as is.
    if request["profile"]["dtype"] == Dtype.FLOAT32:
        jax.config.update("jax_default_matmul_precision", "highest")
    topology = topologies.get_topology_desc(platform="tpu", topology_name=request["topology"])
    device: Any = topology.devices[0]
    encode, shapes = _program(request, SingleDeviceSharding(device))
    start = time.perf_counter()
    compiled = jax.jit(encode).lower(*shapes).compile()
    seconds = time.perf_counter() - start
    memory: Any = compiled.memory_analysis()
    return {
        "kind": device.device_kind,
        "cores": device.num_cores,
        "compile_s": seconds,
        "memory_bytes": memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes,
    }


def dumped_program(folder: Path) -> str | None:
    """The text of the program that `compile_program` left in the folder; None where there is none."""
    found = sorted(folder.glob("module_*.jit_encode.*after_codegen.txt"))
    return found[0].read_text(encoding="utf-8") if len(found) == 1 else None


def _program(request: dict[str, Any], placed: Any) -> tuple[Any, tuple[Any, ...]]:
    """The encoder's JAX twin as a function of weights, ids and mask, and their shapes. Its layers are unrolled."""
    import jax

    from encoders.jax_encoder import apply, parameter_shapes

    architecture = Architecture.from_dict(request["architecture"])
    head, profile = Head(**request["head"]), DeviceProfile(**request["profile"])

    def encode(parameters: Any, input_ids: Any, attention_mask: Any) -> Any:
        outputs = apply(parameters, architecture, head, input_ids, attention_mask)
        return outputs.start_logits if outputs.logits is None else outputs.logits, outputs.end_logits

    def shaped(shape: tuple[int, ...], dtype: str) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=placed)

    parameters = {
        name: shaped(shape, profile.dtype.value) for name, shape in parameter_shapes(architecture, head).items()
    }
    tokens = shaped((profile.batch, profile.length), "int32")
    return encode, (parameters, tokens, tokens)


def _redirect(log: Path) -> None:
    """Send what libraries print to a file; libtpu says on standard error that it found no TPU."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
