"""What machines can measure, and what a measurement needs of its machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hardware.values import MOST, Device, DeviceProfile, Dtype, Runtime

HardwareKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
ATTACHED = ""
"""Among a target's chips: what is timed on the device itself, for no chip is named."""

_PAIR = re.compile(r"([a-z0-9_-]{1,31})/([a-z0-9_-]{1,31})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a machine must have to measure a profile, whatever its batch and length. As text, it is a key."""

    device: Device
    runtime: Runtime
    dtype: Dtype
    threads: int
    chip: str = ATTACHED

    @classmethod
    def of(cls, profile: DeviceProfile) -> Need:
        return cls(
            device=profile.device,
            runtime=profile.runtime,
            dtype=profile.dtype,
            threads=profile.threads,
            chip=profile.chip,
        )

    @classmethod
    def parse(cls, text: str) -> Need:
        """The need that this text is the key of."""
        place, runtime, dtype, threads = text.split("/")
        device, _, chip = place.partition(":")
        return cls(device=Device(device), runtime=Runtime(runtime), dtype=Dtype(dtype), threads=int(threads), chip=chip)

    def __str__(self) -> str:
        place = f"{self.device}:{self.chip}" if self.chip else str(self.device)
        return f"{place}/{self.runtime}/{self.dtype}/{self.threads}"

    @property
    def label(self) -> str:
        """In words."""
        device = f"{self.device} {self.chip}".rstrip()
        return f"{device} {self.runtime} {self.dtype} with {self.threads} thread{'s' if self.threads > 1 else ''}"


class Target(BaseModel):
    """What one runtime on one device of a machine can measure: these dtypes, with at most so many threads.

    `chips` are those that it estimates for, `ATTACHED` among them where it times the device itself. `hardware_key` is
    that of what it measures; None where nobody tells, as older workers, whose target is the text `device/runtime`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Device
    runtime: Runtime
    dtypes: Annotated[tuple[Dtype, ...], Field(min_length=1, max_length=20)] = tuple(Dtype)
    threads: Annotated[int, Field(ge=1, le=MOST["threads"])] = MOST["threads"]
    chips: Annotated[tuple[Annotated[str, Field(max_length=31)], ...], Field(min_length=1, max_length=100)] = (
        ATTACHED,
    )
    hardware_key: HardwareKey | None = None

    def has(self, need: Need) -> bool:
        """Whether it can measure that at all."""
        return (
            (self.device, self.runtime) == (need.device, need.runtime)
            and need.dtype in self.dtypes
            and need.threads <= self.threads
            and need.chip in self.chips
        )

    def serves(self, need: Need, hardware_key: str | None) -> bool:
        """Whether it can measure that, on this hardware if one is named."""
        return self.has(need) and (hardware_key is None or self.hardware_key in (None, hardware_key))

    @property
    def label(self) -> str:
        return f"{self.device}/{self.runtime}"


def _spelled_out(value: Any) -> Any:
    pair = _PAIR.fullmatch(value) if isinstance(value, str) else None
    return value if pair is None else {"device": pair[1], "runtime": pair[2]}


AnyTarget = Annotated[Target, BeforeValidator(_spelled_out)]
