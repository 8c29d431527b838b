"""What makes a combination of values a point of the search space, one rule after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from search_space.architecture import OPTIONS, AttentionInput
from search_space.expression import Booleans, Expression
from search_space.grid import COSTS, Axis, Grid, Points

INPUT = OPTIONS["attention_input"].index(AttentionInput.INPUT)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What every point must meet.

    Args:
        text: what is left without a point where no combination meets the rule.
        bound: the constraint, where it compares something with a number.
    """

    holds: Callable[[Points], Booleans]
    text: str
    bound: Expression | None = None

    def why_empty(self, before: Iterator[Points]) -> str:
        """Why nothing is left, of all that met the rules `before` this one."""
        if self.bound is None or self.bound.bound is None:
            return self.text
        bound = self.bound.bound
        limit = f"{bound.limit:,.0f}" if bound.limit.is_integer() else f"{bound.limit:,}"
        values = [self.bound.subject_values(points) for points in before]
        if bound.relation in ("<", "<="):
            nearest = f"the smallest has {_written(min(column.min() for column in values))}"
        elif bound.relation in (">", ">="):
            nearest = f"the largest has {_written(max(column.max() for column in values))}"
        else:
            return self.text
        return f"no architecture left has {bound.subject} {bound.relation} {limit}; {nearest}"


def rules_of(grid: Grid, constraints: Sequence[Expression]) -> list[Rule]:
    """In the order in which they are asked: what is cheap first, and costs last."""
    rules = [Rule(holds=_existence(axis), text="") for axis in grid.axes if axis.when is not None or _aliased(axis)]
    if _values(grid, "attention_input") != (INPUT,):
        rules.append(
            Rule(
                holds=lambda points: (points["attention_input"] == INPUT) | (points["bottleneck_size"] > 0),
                text="the search space is empty: no point has a bottleneck_size, and without one attention_input can"
                " only be input",
            )
        )
    if grid.derives_head_size:
        rules.append(Rule(holds=lambda points: points.block_size % points["heads"] == 0, text=_indivisible(grid)))
    by_price = sorted(constraints, key=lambda constraint: not constraint.names.isdisjoint(COSTS))
    return rules + [
        Rule(holds=constraint.holds, text=f"no architecture left has {constraint.text}", bound=constraint)
        for constraint in by_price
    ]


def _existence(axis: Axis) -> Callable[[Points], Booleans]:
    """Whether the value is one that the axis has at that point: its own where its condition is true, else the default.

    Of an embedding as wide as the hidden size only the form without a width of its own is a point.
    """

    def holds(points: Points) -> Booleans:
        value = points[axis.name]
        own = np.isin(value, np.asarray(axis.own)) if len(axis.own) < len(axis.values) else np.ones(len(value), bool)
        if _aliased(axis):
            hidden = points["hidden_size"]
            own = (own & (value != hidden)) | ((value == 0) & np.isin(hidden, np.asarray(axis.own)))
        return own if axis.when is None else np.where(axis.when.holds(points), own, value == axis.default)

    return holds


def _aliased(axis: Axis) -> bool:
    return axis.name == "embedding_size" and axis.own != (0,)


def _indivisible(grid: Grid) -> str:
    sizes = _values(grid, "bottleneck_size")
    if sizes == (0,):
        name, sizes = "hidden_size", _values(grid, "hidden_size")
    else:
        name = "bottleneck_size" if 0 not in sizes else "bottleneck_size (or hidden_size without one)"
    return (
        f"the search space is empty: no {name} of {list(sizes)} can be divided by a number of heads of "
        f"{list(_values(grid, 'heads'))}; change one of them or give head_size"
    )


def _values(grid: Grid, name: str) -> tuple[int, ...]:
    return grid.by_name[name].values if name in grid.by_name else (grid.constants[name],)


def _written(value: np.int64 | np.float64) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
