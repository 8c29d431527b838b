"""The chips that the TPU compiler estimates for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from hardware.chips import CHIPS, Chip
from hardware.values import Device, DeviceProfile, Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The smallest machine of a chip that the compiler knows, and what JAX says of its first device."""

    topology: str
    kind: str
    cores: int
    chip: Chip


TARGETS = {
    "v4": Target(topology="v4:2x2x1", kind="TPU v4", cores=1, chip=CHIPS["v4"]),
    "v5e": Target(topology="v5e:2x2", kind="TPU v5 lite", cores=1, chip=CHIPS["v5e"]),
    "v5p": Target(topology="v5p:2x2x1", kind="TPU v5", cores=2, chip=CHIPS["v5p"]),
    "v6e": Target(topology="v6e:2x2", kind="TPU v6 lite", cores=1, chip=CHIPS["v6e"]),
}
"""The chips that the compiler estimates for, by our names."""


def not_estimable(profile: DeviceProfile) -> str | None:
    """None if this machine can estimate that profile, else the reason why it cannot. Imports no runtime."""
    known = ", ".join(TARGETS)
    if profile.device is not Device.TPU:
        return f"a chip is named for TPUs alone ({known}), and the device is {profile.device}"
    if profile.chip not in TARGETS:
        return f"the compiler knows no chip {profile.chip!r}; known are {known}"
    if profile.runtime is not Runtime.JAX:
        return f"the compiler estimates what JAX runs: the runtime must be jax, not {profile.runtime}"
    missing = [name for name in ("jax", "libtpu") if find_spec(name) is None]
    if missing:
        return f"the TPU compiler needs {' and '.join(missing)}; install stillhouse[tpu]"
    return None
