"""How fast the machine was at each of several measurements, as the reference architecture beside each tells.

A machine that is shared is slower in one quarter of an hour than in the next, by more than two architectures differ.
Each measurement times the reference architecture before and after. Its logarithm is the machine's pace p plus the noise
of a reading; the noise is known from how far the two lie apart. Of the spread of all references

    k = 1 - var(noise) / var(reference)

is pace, and of one reference r the best guess (the reliability of a measurement; a regression towards the mean) is
p = k (r - median r). k is 0 unless the references vary by more than their noise would make them (an F test at 5 %), so
that on a machine whose pace is steady nothing is made of noise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from hardware.values import Measurement

FEWEST = 6
"""References from which their spread is known well enough."""

MOST_SHIFT = 0.25
"""Of a reference, between before and after, as a logarithm: beyond that one of the two was disturbed itself."""

Reading = tuple[float, float]
"""What the reference architecture took, in seconds: the geometric mean of before and after, and log(after / before)."""


def reading(measurement: Measurement) -> Reading | None:
    """What the reference architecture took beside this measurement; None where it was not measured."""
    if measurement.reference_s is None or measurement.reference_shift is None:
        return None
    return measurement.reference_s, measurement.reference_shift


def paces(readings: Sequence[Reading | None]) -> list[float]:
    """Of each measurement the logarithm of how much slower the machine was than at half of them.

    0 for one without a reference or with one that was disturbed, and for all where there are fewer than `FEWEST`. All
    must be of one profile and one hardware key.
    """
    readings = [None if reading is None or abs(reading[1]) > MOST_SHIFT else reading for reading in readings]
    known = [reading for reading in readings if reading is not None]
    if len(known) < FEWEST:
        return [0.0] * len(readings)
    from scipy.special import fdtri  # takes a while, and a service starts without it

    logs = [math.log(reference_s) for reference_s, _ in known]
    noise = statistics.fmean(shift**2 for _, shift in known) / 4  # of the mean of two, by the difference of the two
    spread = statistics.variance(logs)
    is_pace = spread > noise * fdtri(len(known) - 1, len(known), 0.95)
    share = 1.0 - noise / spread if is_pace else 0.0
    usual = statistics.median(logs)
    return [0.0 if reading is None else share * (math.log(reading[0]) - usual) for reading in readings]
