"""Environment variables that change what a runtime computes, or how fast it does."""

from __future__ import annotations

from collections.abc import Mapping

RUNTIMES_OWN = (
    "ATEN_",
    "CUBLAS",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "CUDA_FORCE_PTX_JIT",
    "CUDA_LAUNCH_BLOCKING",
    "DNNL_",
    "GOMP_",
    "JAX_",
    "KMP_",
    "LIBTPU_INIT_ARGS",
    "MKL_",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
    "ORT_",
    "PYTORCH_",
    "TORCH",
    "TRITON_F32_DEFAULT",
    "VECLIB_",
    "XLA_",
)
"""How the variables begin that never reach a measuring process: two machines of one key compute alike without them.

Some would make float32 less than float32 behind any setting (`TORCH_ALLOW_TF32_CUBLAS_OVERRIDE`,
`ONEDNN_DEFAULT_FPMATH_MODE`), others another program (`XLA_FLAGS`) or slower calls (`CUDA_LAUNCH_BLOCKING`). Where
compilers, devices and their libraries are found is not among them.
"""

LET_THROUGH = ("GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_", "MIMALLOC_", "TCMALLOC_")
"""How those begin that reach it, because programs may need them to start at all; the stamp has them."""


def passed_on(variables: Mapping[str, str]) -> dict[str, str]:
    """What of these variables a measuring process may see."""
    return {name: value for name, value in variables.items() if not name.startswith(RUNTIMES_OWN)}


def stamped(variables: Mapping[str, str]) -> dict[str, str]:
    """Those that are set, reach it, and may change a latency."""
    return {name: value for name, value in variables.items() if value and name.startswith(LET_THROUGH)}
