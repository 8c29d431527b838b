"""Rounds repeated until the machine left them alone, or has shown that it will not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from hardware.quantile import quantile
from hardware.round import Round

RETRIES = 3
"""How often a contended round, and an attempt during which the reference moved, is thrown away and repeated."""

MOST_MOVED = 0.07
"""On a CPU: how far the reference may move, and the processes lie apart, as a logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The rounds of all processes, none of them chosen by its result.

    `shift` is log(after / before) of the reference's median, None without a reference; `voided` counts the rounds and
    attempts that were thrown away on the way here.
    """

    rounds: list[Round]
    shift: float | None = None
    voided: int = 0

    @property
    def moved(self) -> bool:
        return self.shift is not None and abs(self.shift) > MOST_MOVED


def undisturbed(processes: int, target: Callable[[], Round], reference: Callable[[], Round] | None = None) -> Attempt:
    """An attempt during which the reference stayed where it was, or the last of those during which it did not.

    `target` and `reference` time one round each, in a fresh process.
    """
    if reference is None:
        return _attempt(processes, target)
    before, voided = _uncontended(reference)
    for _ in range(1 + RETRIES):
        attempt = _attempt(processes, target)
        after, thrown_away = _uncontended(reference)
        shift = math.log(_median(after) / _median(before))
        voided += attempt.voided + thrown_away
        attempt = replace(attempt, shift=shift, voided=voided)
        # Where even single rounds cannot be had for themselves, more attempts will not be better.
        if not attempt.moved or any(round_.contended for round_ in attempt.rounds):
            break
        before, voided = after, voided + 1
    return attempt


def _attempt(processes: int, target: Callable[[], Round]) -> Attempt:
    taken = [_uncontended(target) for _ in range(processes)]
    return Attempt(rounds=[round_ for round_, _ in taken], voided=sum(voided for _, voided in taken))


def _uncontended(time: Callable[[], Round]) -> tuple[Round, int]:
    """A round that had the cores for itself, or the last of those that had not; and how many were thrown away."""
    round_ = time()
    for voided in range(RETRIES):
        if not round_.contended:
            return round_, voided
        round_ = time()
    return round_, RETRIES


def _median(round_: Round) -> float:
    return quantile(round_.samples_s, 0.5).value_s
