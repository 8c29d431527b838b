"""Many profiles of one architecture in one call: what a report shows of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from encoders.values import Head
from hardware.backend import supports
from hardware.errors import BusyError, MeasurementError, UnsupportedProfileError
from hardware.procedure import measure
from hardware.values import DeviceProfile, Effort, Measurement, QuantileName
from search_space import Architecture

BATCHES = (1, 8, 32)
LENGTHS = (32, 128, 384)


class MeasureOne(Protocol):
    """`hardware.procedure.measure`, or what stands in for it."""

    def __call__(
        self,
        architecture: Architecture,
        head: Head,
        profile: DeviceProfile,
        effort: Effort,
        *,
        quantiles: tuple[QuantileName, ...],
        checkpoint: Path | None,
        seed: int,
    ) -> Measurement: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One profile and its measurement, or the `reason` why there is none.

    `left_out` says that it was not tried, because nobody can: the length is beyond the model's positions.
    """

    profile: DeviceProfile
    measurement: Measurement | None = None
    reason: str | None = None
    left_out: bool = False


def grid(
    profile: DeviceProfile, batches: Iterable[int] = BATCHES, lengths: Iterable[int] = LENGTHS
) -> tuple[DeviceProfile, ...]:
    """The profile at every batch and length, each once, the smallest first.

    Raises:
        ValueError: a batch or length that no profile has.
    """
    return tuple(
        replace(profile, batch=batch, length=length)
        for batch in sorted(set(batches))
        for length in sorted(set(lengths))
    )


def measure_grid(
    architecture: Architecture,
    head: Head,
    profiles: Iterable[DeviceProfile],
    effort: Effort,
    *,
    quantiles: tuple[QuantileName, ...] = (QuantileName.P50,),
    checkpoint: Path | None = None,
    seed: int = 0,
    measure_one: MeasureOne = measure,
    before: Callable[[DeviceProfile], None] | None = None,
) -> tuple[Cell, ...]:
    """One cell for each profile, in their order; `before` hears of each that is about to be measured.

    A cell that fails (out of memory, a hang, a compiler in use) has its reason, and costs none of the others. The other
    arguments are those of `measure`.

    Raises:
        UnsupportedProfileError: this machine cannot measure one of the profiles; nothing was measured then.
    """
    wanted = tuple(profiles)
    check_supported(wanted)
    cells = []
    for profile in wanted:
        if profile.length > architecture.max_positions:
            reason = f"length {profile.length} is beyond the model's {architecture.max_positions} positions"
            cells.append(Cell(profile=profile, reason=reason, left_out=True))
            continue
        if before is not None:
            before(profile)
        try:
            measurement = measure_one(
                architecture, head, profile, effort, quantiles=quantiles, checkpoint=checkpoint, seed=seed
            )
        except (MeasurementError, BusyError) as error:
            cells.append(Cell(profile=profile, reason=" ".join(str(error).split())))
        else:
            cells.append(Cell(profile=profile, measurement=measurement))
    return tuple(cells)


def check_supported(profiles: Iterable[DeviceProfile]) -> None:
    """Raises: UnsupportedProfileError: this machine cannot measure one of them; names it and says why."""
    for profile in profiles:
        reason = supports(profile)
        if reason is not None:
            raise UnsupportedProfileError(f"cannot measure on {profile.label}: {reason}")
