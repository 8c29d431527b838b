"""What a running learning curve will end at, from curves that ended. numpy and scipy alone.

All values are such that higher is better; who has others turns them around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from optimization.errors import OptimizationError

FEWEST_CURVES = 8
"""Ended curves before anything is forecast: a regression on two features with fewer is guessing."""

CONFIDENCE = 0.95
"""Probability with which a curve ends at or below the optimistic end of its forecast (one-sided)."""

SHRINKAGE = 1.0
"""Ended curves that the prior is worth: it says that nothing but their mean gain can be told from the curves."""

ROUNDING = 1e-9
"""Features that spread by a smaller share of their size are all alike: they tell nothing, and have no unit."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Values after rising shares (in (0, 1]) of the steps; `final` is what counted at the end, None while it runs.

    `final` may differ from the last value, where training keeps the best weights.
    """

    shares: tuple[float, ...]
    values: tuple[float, ...]
    final: float | None = None

    def __post_init__(self) -> None:
        if len(self.shares) != len(self.values) or not self.shares:
            raise OptimizationError(f"a curve of {len(self.shares)} shares and {len(self.values)} values")
        if any(later <= earlier for earlier, later in pairwise((0.0, *self.shares))) or self.shares[-1] > 1:
            raise OptimizationError(f"the shares of a curve rise within (0, 1], got {self.shares}")
        if not np.isfinite([*self.values, self.final or 0.0]).all():
            raise OptimizationError(f"a curve has values that are not finite: {self.values}, {self.final}")

    def at(self, shares: Floats) -> Floats:
        """The values after these shares, between two points on their straight line, before the first one NaN."""
        return np.interp(shares, self.shares, self.values, left=np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Where a curve will end: the expected value with its variance, and the upper end of its one-sided interval. Told
    from so many `curves`.
    """

    expected: float
    variance: float
    optimistic: float
    curves: int


def forecast(
    ended: Sequence[Curve], running: Curve, *, noise: float = 0.0, confidence: float = CONFIDENCE
) -> Forecast | None:
    """Where the running curve will end; None where too few curves ended to tell, or it is at its end.

    The gain still to come is regressed on the newest value and on what the newest interval brought, over the ended
    curves at the same shares:

        gain_i = final_i - value_i,   gain = mean(gain) + z . b,   b = (Z'Z + k I)^-1 Z'(gain_i - mean(gain))

    with Z the standardised features and k = SHRINKAGE. The predictive distribution is Student's t with
    n - 1 - trace((Z'Z + k I)^-1 Z'Z) degrees of freedom, located there, with the squared scale

        s^2 (1 + 1/n + z'(Z'Z + k I)^-1 z),   s^2 = (sum of squared residuals + k max(var(gain), noise)) / freedom

    Gains are differences of observed values, so their spread has the noise of both evaluations in it; `noise`, the
    variance of one evaluation, only keeps gains that are alike by chance from being taken for certain.

    References: ridge regression as Bayesian regression, Bishop 2006, section 3.3.
    """
    known = np.array(running.shares[-2:])
    features = np.array([_features(curve.at(known)) for curve in ended if curve.final is not None])
    finals = np.array([curve.final for curve in ended if curve.final is not None])
    usable = np.isfinite(features).all(axis=1) if len(features) else np.zeros(0, dtype=np.bool_)
    if usable.sum() < FEWEST_CURVES or running.shares[-1] >= 1:
        return None
    features, finals = features[usable], finals[usable]
    present = _features(np.array(running.values[-2:]))
    gains = finals - features[:, 0]
    gain, scale, freedom = _predictive(features, gains, present, noise)
    expected = float(present[0] + gain)
    margin = float(stdtrit(freedom, confidence) * scale)
    return Forecast(expected=expected, variance=scale**2, optimistic=expected + margin, curves=len(finals))


def _features(values: Floats) -> Floats:
    """The newest value, and what it gained over the one before, if there is one."""
    return np.array([values[-1], *np.diff(values)])


def _predictive(features: Floats, gains: Floats, present: Floats, noise: float) -> tuple[float, float, float]:
    """Location, scale and degrees of freedom of the gain at `present`."""
    count, middle = len(gains), features.mean(axis=0)
    spread = features.std(axis=0)
    unit = np.where(spread > ROUNDING * (1 + np.abs(middle)), spread, 1.0)
    standard, point = (features - middle) / unit, (present - middle) / unit
    moments = standard.T @ standard
    inverse = np.linalg.inv(moments + SHRINKAGE * np.eye(len(point)))
    mean = gains.mean()
    slopes = inverse @ standard.T @ (gains - mean)
    residuals = gains - mean - standard @ slopes
    freedom = count - 1 - float(np.trace(inverse @ moments))
    variance = (float(residuals @ residuals) + SHRINKAGE * max(float(gains.var()), noise)) / freedom
    scale = np.sqrt(variance * (1 + 1 / count + point @ inverse @ point))
    return float(mean + point @ slopes), float(scale), freedom
