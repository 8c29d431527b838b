"""Recorded learning curves gone through once more, as if somebody could have ended them early."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from scipy.special import ndtri, stdtrit

from optimization.curves import CONFIDENCE, FEWEST_CURVES, Curve, Forecast
from optimization.early_stopping import Forecaster, KnownTrial, Learnt, decide
from optimization.front import front, hypervolume, infer_reference
from optimization.values import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Trials in the order in which they were begun, all of them trained to the end. `budget` of them are to be spent;
    there may be more, for who has steps left.
    """

    name: str
    objectives: tuple[Objective, ...]
    learnt: Learnt
    trials: tuple[KnownTrial, ...]
    budget: int


Policy = Callable[[Problem, Sequence[KnownTrial], KnownTrial], bool]
"""Whether to end the running trial, from the trials before it: a curve without `final` was ended early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of a policy: `spent` in full trainings, and the places of the trials that it completed and stopped."""

    spent: float
    completed: tuple[int, ...]
    stopped: tuple[int, ...]


def replay(problem: Problem, policy: Policy, *, steps: float | None = None) -> Replay:
    """One trial after the other: as many as the budget, or as begin within so many full trainings."""
    spent = 0.0
    seen: list[KnownTrial] = []
    stopped = []
    for place, trial in enumerate(problem.trials if steps is not None else problem.trials[: problem.budget]):
        if steps is not None and spent >= steps:
            break
        run, share = _run(problem, policy, seen, trial)
        seen.append(run)
        spent += share
        if share < 1:
            stopped.append(place)
    completed = tuple(place for place in range(len(seen)) if place not in stopped)
    return Replay(spent=spent, completed=completed, stopped=tuple(stopped))


def _run(problem: Problem, policy: Policy, seen: Sequence[KnownTrial], trial: KnownTrial) -> tuple[KnownTrial, float]:
    curve = _curve(trial)
    known = {name: value for name, value in trial.metrics.items() if name != problem.learnt.metric}
    for count, share in enumerate(curve.shares, start=1):
        begun = Curve(shares=curve.shares[:count], values=curve.values[:count])
        running = replace(trial, metrics=known, curve=begun)
        if share < 1 and policy(problem, seen, running):
            return running, share
    return trial, 1.0


def volume(problem: Problem, places: Sequence[int]) -> float:
    """Hypervolume of these trials; the reference is inferred from those of the budget."""
    reference = infer_reference(problem.objectives, [trial.metrics for trial in problem.trials[: problem.budget]])
    return hypervolume(problem.objectives, [problem.trials[place].metrics for place in places], reference)


def best(problem: Problem) -> set[int]:
    """The places of the trials that are on the front when none is stopped."""
    return set(front(problem.objectives, [trial.metrics for trial in problem.trials[: problem.budget]]))


# --- policies


def never(problem: Problem, seen: Sequence[KnownTrial], running: KnownTrial) -> bool:
    del problem, seen, running
    return False


def dominated(forecaster: Forecaster) -> Policy:
    """The product's rule, with this forecast."""

    def policy(problem: Problem, seen: Sequence[KnownTrial], running: KnownTrial) -> bool:
        ended = [trial for trial in seen if _curve(trial).final is not None]
        decision = decide(problem.objectives, (), problem.learnt, ended, ended, running, forecaster=forecaster)
        return decision is not None and decision.stops

    return policy


def oracle(problem: Problem, seen: Sequence[KnownTrial], running: KnownTrial) -> bool:
    """The product's rule by somebody who knows where each curve ends: as many curves cannot save more by it."""
    # Curves may begin alike; the variances are those of the trial that runs, the object itself.
    trial = next(one for one in problem.trials if one.variances is running.variances)
    final = problem.learnt.goodness(trial.metrics[problem.learnt.metric])

    def known(ended: Sequence[Curve], running: Curve, *, noise: float) -> Forecast | None:
        del running, noise
        told = len(ended) >= FEWEST_CURVES
        return Forecast(expected=final, variance=0.0, optimistic=final, curves=len(ended)) if told else None

    return dominated(known)(problem, seen, running)


def below_median(problem: Problem, seen: Sequence[KnownTrial], running: KnownTrial) -> bool:
    """The best value so far is below the median of the ended trials' mean values up to the same step; five trials are
    waited for. Knows of no other objective.

    References: Golovin et al. 2017, "Google Vizier", section 3.2.1.
    """
    curve = _curve(running)
    share = curve.shares[-1]
    means = [
        float(np.mean([problem.learnt.goodness(v) for s, v in _points(trial) if s <= share]))
        for trial in seen
        if _curve(trial).final is not None and _curve(trial).shares[0] <= share
    ]
    return len(means) >= 5 and max(map(problem.learnt.goodness, curve.values)) < median(means)


def mo_asha(problem: Problem, seen: Sequence[KnownTrial], running: KnownTrial, *, factor: int = 2) -> bool:
    """Asynchronous successive halving, stopping variant, with several objectives: at a quarter and at half of the
    steps (the first evaluation from there on), who is not in the best half of those that came there is ended. Ranked by
    non-dominated sorting, within a front by the greatest distance to those ranked before (epsilon-net).

    References: arXiv:2106.12639, section 4.
    """
    shares = _curve(running).shares
    reached = [rung for rung in (0.25, 0.5) if shares[-1] >= rung and all(share < rung for share in shares[:-1])]
    if not reached:
        return False
    others = [trial for trial in seen if _curve(trial).shares[-1] >= reached[-1]]
    rows = []
    for trial in (*others, running):
        value = next(value for share, value in _points(trial) if share >= reached[-1])
        rows.append({**trial.metrics, problem.learnt.metric: value})
    kept = _ranked(problem.objectives, rows)[: max(1, len(rows) // factor)]
    return len(rows) - 1 not in kept


def _ranked(objectives: Sequence[Objective], rows: Sequence[dict[str, float]]) -> list[int]:
    values = np.array([[row[objective.metric] for objective in objectives] for row in rows])
    spread = np.ptp(values, axis=0)
    scaled = values / np.where(spread > 0, spread, 1.0)
    left, ranked = list(range(len(rows))), []
    while left:
        layer = [left[place] for place in front(objectives, [rows[place] for place in left])]
        left = [place for place in left if place not in layer]
        chosen: list[int] = []
        while layer:
            farthest = max(
                layer,
                key=lambda place: min(
                    (float(np.linalg.norm(scaled[place] - scaled[one])) for one in chosen), default=0.0
                ),
            )
            chosen.append(farthest)
            layer.remove(farthest)
        ranked += chosen
    return ranked


# --- other forecasts; values are such that higher is better


def last_value(ended: Sequence[Curve], running: Curve, *, noise: float) -> Forecast | None:
    """It ends where it is, but for the noise of both evaluations."""
    if len(ended) < FEWEST_CURVES:
        return None
    value, variance = running.values[-1], 2 * noise
    margin = float(ndtri(CONFIDENCE)) * variance**0.5
    return Forecast(expected=value, variance=variance, optimistic=value + margin, curves=len(ended))


def quantile_of_gains(ended: Sequence[Curve], running: Curve, *, noise: float) -> Forecast | None:
    """The gain still to come is one of those that the ended curves had: the k-th smallest of n, k = ceil(.95 (n + 1)).
    Where there are too few for that, the largest and its distance to the next one.
    """
    del noise
    gains = np.array([_final(curve) - curve.at(np.array(running.shares[-1:]))[0] for curve in ended])
    gains = np.sort(gains[np.isfinite(gains)])
    if len(gains) < FEWEST_CURVES:
        return None
    place = int(np.ceil(CONFIDENCE * (len(gains) + 1)))
    top = float(gains[place - 1] if place <= len(gains) else 2 * gains[-1] - gains[-2])
    value = running.values[-1]
    return Forecast(
        expected=value + float(gains.mean()), variance=float(gains.var()), optimistic=value + top, curves=len(gains)
    )


POWERS = (0.25, 0.5, 1.0, 2.0)


def power_law(ended: Sequence[Curve], running: Curve, *, noise: float) -> Forecast | None:
    """a - b share^-c through the running curve's own points (two at least), of the c in `POWERS` whose ends are the
    nearest to those of the ended curves at the same shares; their errors there tell the interval.
    """
    del noise
    if len(ended) < FEWEST_CURVES or len(running.shares) < 2:
        return None
    shares = np.array(running.shares)
    known = np.array([curve.at(shares) for curve in ended])
    errors = {
        power: np.array(
            [_final(one) - _extrapolated(shares, values, power) for one, values in zip(ended, known, strict=True)]
        )
        for power in POWERS
    }
    power = min(POWERS, key=lambda one: float(np.nanmean(errors[one] ** 2)))
    found = errors[power][np.isfinite(errors[power])]
    if len(found) < FEWEST_CURVES:
        return None
    variance = float(found.var(ddof=1)) * (1 + 1 / len(found))
    expected = _extrapolated(shares, np.array(running.values), power) + float(found.mean())
    margin = float(stdtrit(len(found) - 1, CONFIDENCE)) * variance**0.5
    return Forecast(expected=expected, variance=variance, optimistic=expected + margin, curves=len(found))


def _extrapolated(shares: np.ndarray, values: np.ndarray, power: float) -> float:
    design = np.stack([np.ones_like(shares), -(shares**-power)], axis=1)
    (end, slope), *_ = np.linalg.lstsq(design, np.nan_to_num(values), rcond=None)
    return float(end - slope) if np.isfinite(values).all() else float("nan")


def _final(curve: Curve) -> float:
    return float("nan") if curve.final is None else curve.final


def _curve(trial: KnownTrial) -> Curve:
    if trial.curve is None:
        raise ValueError("a trial without a curve cannot be replayed")
    return trial.curve


def _points(trial: KnownTrial) -> list[tuple[float, float]]:
    curve = _curve(trial)
    return list(zip(curve.shares, curve.values, strict=True))
