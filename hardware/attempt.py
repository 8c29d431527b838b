"""Rounds repeated until the machine left them alone, or has shown that it will not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hardware.quantile import quantile
from hardware.round import Round

RETRIES = 3
"""How many disturbed rounds, and attempts during which the reference moved, one measurement may throw away."""

MOST_MOVED = 0.07
"""On a CPU: how far the reference may move, and the processes lie apart, as a logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The rounds of all processes, none of them chosen by its result.

    `reference_s` is the reference's median, in the geometric mean of before and after, and `shift` log(after / before);
    both are None without a reference. `is_blind` says that one of the two was disturbed itself, and cannot tell whether
    the machine moved; `voided` counts the rounds and attempts that were thrown away on the way here. `most_moved` is
    how far the device's reference may move.
    """

    rounds: list[Round]
    reference_s: float | None = None
    shift: float | None = None
    voided: int = 0
    most_moved: float = MOST_MOVED
    is_blind: bool = False

    @property
    def moved(self) -> bool:
        return self.shift is not None and abs(self.shift) > self.most_moved


def undisturbed(
    processes: int,
    target: Callable[[], Round],
    reference: Callable[[], Round] | None = None,
    *,
    most_moved: float = MOST_MOVED,
) -> Attempt:
    """An attempt during which no other work took the cores, nothing slowed the device and the reference stayed.

    Or, once `RETRIES` rounds and attempts have been thrown away, the next one as it comes: a machine that is never
    quiet ends in a verdict, not in waiting. `target` and `reference` time one round each, in a fresh process.
    """
    patience = _Patience()
    if reference is None:
        rounds = [patience.undisturbed(target) for _ in range(processes)]
        return Attempt(rounds=rounds, voided=patience.voided, most_moved=most_moved)
    before = patience.undisturbed(reference)
    while True:
        rounds = [patience.undisturbed(target) for _ in range(processes)]
        after = patience.undisturbed(reference)
        first_s, last_s = _median(before), _median(after)
        attempt = Attempt(
            rounds=rounds,
            reference_s=math.sqrt(first_s * last_s),
            shift=math.log(last_s / first_s),
            voided=patience.voided,
            most_moved=most_moved,
            is_blind=before.disturbed or after.disturbed,
        )
        if not attempt.moved or not patience.void():
            return attempt
        before = after


class _Patience:
    """Counts what is thrown away, and ends."""

    def __init__(self) -> None:
        self.voided = 0

    def void(self) -> bool:
        """Throw away what was just taken; False if nothing more may be."""
        if self.voided == RETRIES:
            return False
        self.voided += 1
        return True

    def undisturbed(self, time: Callable[[], Round]) -> Round:
        """A round that had the device and the cores for itself, or the one at which patience ended."""
        round_ = time()
        while round_.disturbed and self.void():
            round_ = time()
        return round_


def _median(round_: Round) -> float:
    return quantile(round_.samples_s, 0.5).value_s
