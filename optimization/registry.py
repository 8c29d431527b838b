"""Strategies by name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import assert_never

from optimization.errors import OptimizationError
from optimization.strategy import Strategy
from optimization.values import StrategyName


def strategy(name: StrategyName | str) -> Strategy:
    """The strategy of this name. Ax or BoTorch is imported (some seconds) when a model is first fitted.

    Raises:
        OptimizationError: unknown name; the message suggests the nearest.
    """
    match _known(name):
        case StrategyName.RANDOM:
            from optimization.random_search import RandomStrategy

            return RandomStrategy()
        case StrategyName.SOBOL:
            from optimization.sobol import SobolStrategy

            return SobolStrategy()
        case StrategyName.AX:
            from optimization.ax_strategy import AxStrategy

            return AxStrategy()
        case StrategyName.EVOLUTION:
            from optimization.evolution import EvolutionStrategy

            return EvolutionStrategy()
        case StrategyName.PARETO:
            from optimization.pareto_strategy import ParetoStrategy

            return ParetoStrategy()
        case unreachable:
            assert_never(unreachable)


def _known(name: str) -> StrategyName:
    try:
        return StrategyName(name)
    except ValueError:
        near = get_close_matches(name, StrategyName, n=1)
        meant = f" (did you mean {str(near[0])!r}?)" if near else ""
        raise OptimizationError(f"unknown strategy {name!r}{meant}; known are {', '.join(StrategyName)}") from None
