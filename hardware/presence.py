"""What devices and builds are there, told by files alone: asking a runtime would start it in the process that asks."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import assert_never

from hardware.values import Device

DEV = Path("/dev")
PCI = Path("/sys/bus/pci/devices")

GOOGLE = "0x1ae0"
"""The PCI vendor of TPUs."""


def no_device(device: Device, dev: Path = DEV, pci: Path = PCI) -> str | None:
    """None where this machine has such a device and its driver, else what is missing."""
    match device:
        case Device.CPU:
            return None
        case Device.CUDA:
            return _no_gpu(dev)
        case Device.TPU:
            return _no_tpu(dev, pci)
        case _:
            assert_never(device)


def tpu_chips(pci: Path = PCI) -> tuple[str, ...]:
    """The PCI device ids of the TPU chips, one for each; they tell the chip's kind."""
    try:
        found = [slot for slot in sorted(pci.iterdir()) if (slot / "vendor").read_text().strip() == GOOGLE]
        # Google's network cards have its vendor id too; a processing accelerator is of PCI class 0x12.
        return tuple(
            (slot / "device").read_text().strip()
            for slot in found
            if (slot / "class").read_text().strip().startswith(("0x12", "0xff"))
        )
    except OSError:
        return ()


def torch_without_cuda() -> str | None:
    """None where the installed PyTorch was built for CUDA."""
    return _without("torch", "lib/libtorch_cuda.so", "the installed PyTorch is built without CUDA")


def onnx_without_cuda() -> str | None:
    """None where the installed ONNX Runtime was built for CUDA."""
    return _without(
        "onnxruntime",
        "capi/libonnxruntime_providers_cuda.so",
        "the installed ONNX Runtime is built without CUDA; install onnxruntime-gpu in its place",
    )


def jax_without_cuda() -> str | None:
    """None where JAX has a plugin for CUDA."""
    if any(find_spec(name) is not None for name in ("jax_cuda12_plugin", "jax_cuda13_plugin")):
        return None
    return "JAX has no plugin for CUDA; install jax[cuda12] or jax[cuda13]"


def no_compiler() -> str | None:
    """None where there is a C++ compiler, which torch.compile needs on a CPU."""
    return None if compiler() else "torch.compile needs a C++ compiler on a CPU: none of $CXX, g++, clang++ is found"


def compiler() -> str | None:
    """The path of the C++ compiler that torch.compile takes, in its order."""
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        if name and (found := shutil.which(name)):
            return found
    return None


def _no_gpu(dev: Path) -> str | None:
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return "there is no GPU: CUDA_VISIBLE_DEVICES hides all of them"
    # /dev/dxg: a GPU of the host, seen from Windows' Linux.
    if any(dev.glob("nvidia[0-9]*")) or (dev / "dxg").exists():
        return None
    return f"there is no NVIDIA GPU, or its driver is not loaded: no {dev}/nvidia0"


def _no_tpu(dev: Path, pci: Path) -> str | None:
    if any(dev.glob("accel[0-9]*")) or (any(dev.glob("vfio/[0-9]*")) and tpu_chips(pci)):
        return None
    return f"there is no TPU: no {dev}/accel0, and no chip of its maker under {dev}/vfio"


def _without(package: str, file: str, reason: str) -> str | None:
    spec = find_spec(package)
    folders = () if spec is None else spec.submodule_search_locations or ()
    return None if any((Path(folder) / file).exists() for folder in folders) else reason
