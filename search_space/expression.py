"""Conditions and constraints as people write them, computed over columns: `ffn_size == 4 * hidden_size`.

Comparisons (also chained), `and`, `or`, `not`, `+ - * / // %`, parentheses, numbers, names, and options in quotes; all
mean what they mean in Python. Nothing is ever passed to `eval`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from search_space.architecture import OPTIONS
from search_space.errors import ExpressionError, unknown

Booleans = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64 | np.float64]

LONGEST = 1_000
"""Most characters of an expression: Python's parser is recursive."""

DEEPEST = 40
"""Most levels of an expression: what reads and computes it is recursive too."""

LARGEST_NUMBER = 1e308

LARGEST_INTEGER = 2**53
"""From here on a number is kept as a float, as products are: neither wraps around, and up to here both are exact."""


class Table(Protocol):
    """Named columns of one length; of options the place in `OPTIONS`."""

    @property
    def count(self) -> int:
        """Number of rows."""

    def __getitem__(self, name: str, /) -> npt.NDArray[np.int64]: ...

    def keep(self, rows: Booleans, /) -> Table:
        """The rows where this is true."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A comparison of something that varies with a number."""

    subject: str
    relation: str
    limit: float


@dataclass(frozen=True)
class Expression:
    """A text that is true or false of every row of a table.

    Args:
        known: the names that it may use.

    Raises:
        ExpressionError: cannot be read, is no comparison, or has an unknown name or option; quotes the text.
    """

    text: str
    known: tuple[str, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise self._error("is no text; write a comparison, such as `hidden_size <= 512`")
        if _depth(self._tree) > DEEPEST:
            raise self._error(f"is nested more than {DEEPEST} deep; write it as several constraints")
        if self._check(self._tree) != TRUTH:
            raise self._error("is not a comparison; write one, such as `hidden_size <= 512`")
        if not self.names:
            raise self._error(f"names nothing that varies; known are {', '.join(self.known)}")

    @cached_property
    def names(self) -> frozenset[str]:
        """The names that it uses."""
        return frozenset(node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name))

    @cached_property
    def bound(self) -> Bound | None:
        """What is compared with which number, where the whole expression is one such comparison."""
        tree = self._tree
        if not isinstance(tree, ast.Compare) or len(tree.ops) != 1 or self._check(tree.left) != NUMBER:
            return None
        left, right, relation = tree.left, tree.comparators[0], RELATIONS[type(tree.ops[0])]
        if not _names(left):
            left, right, relation = right, left, MIRRORED[relation]
        if _names(right):
            return None
        return Bound(subject=ast.unparse(left), relation=relation, limit=float(self._number(right, NOTHING)))

    def holds(self, table: Table) -> Booleans:
        """Whether it is true, row by row; `and` and `or` look no further than Python's.

        Raises:
            ExpressionError: a division by zero.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # Python knows no such warnings
            return self._truth(self._tree, table)

    def is_met(self, values: Mapping[str, int]) -> bool:
        """Whether it is true of these values."""
        return bool(self.holds(Row({name: np.asarray([values[name]], dtype=np.int64) for name in self.names}))[0])

    def subject_values(self, table: Table) -> Numbers:
        """What `bound` compares, row by row."""
        if self.bound is None:
            raise self._error("compares nothing with a number")
        return np.broadcast_to(self._number(self._parse(self.bound.subject), table), table.count)

    @cached_property
    def _tree(self) -> ast.expr:
        return self._parse(self.text)

    def _parse(self, text: str) -> ast.expr:
        if len(text) > LONGEST:
            raise ExpressionError(f"an expression of {len(text):,} characters, more than {LONGEST:,}: {text[:40]!r}...")
        try:
            return ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise self._error(f"cannot be read: {reason}") from error

    def _error(self, reason: str) -> ExpressionError:
        return ExpressionError(f"{self.text!r} {reason}")

    # What is checked once: every node's kind.

    def _check(self, node: ast.expr) -> str:
        """NUMBER, TRUTH, TEXT, or the name of an option."""
        match node:
            case ast.Constant(value=bool()):
                return TRUTH
            case ast.Constant(value=int() | float() as value):
                if value > LARGEST_NUMBER:
                    raise self._error("has a number beyond 1e308")
                return NUMBER
            case ast.Constant(value=str()):
                return TEXT
            case ast.Name(id=name):
                return self._kind(name)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                return self._all(NUMBER, [left, right], f"computes with what is no number: {ast.unparse(node)}")
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                return self._all(NUMBER, [operand], f"computes with what is no number: {ast.unparse(node)}")
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self._all(TRUTH, [operand], f"negates what is no comparison: {ast.unparse(operand)}")
            case ast.BoolOp(values=values):
                return self._all(TRUTH, values, f"joins what is no comparison: {ast.unparse(node)}")
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                sides = [left, *comparators]
                for first, relation, second in zip(sides, ops, sides[1:], strict=False):
                    self._compared(first, relation, second)
                return TRUTH
        raise self._error(
            f"has {ast.unparse(node)!r}, which is not allowed: use comparisons, and, or, not, + - * / // %,"
            " parentheses, numbers, names, and options in quotes"
        )

    def _kind(self, name: str) -> str:
        if name not in self.known:
            raise self._error(f"has an {unknown('name', name, self.known)}")
        if name not in OPTIONS:
            return NUMBER
        return TRUTH if isinstance(OPTIONS[name][0], bool) else name

    def _all(self, kind: str, nodes: list[ast.expr], otherwise: str) -> str:
        if any(self._check(node) != kind for node in nodes):
            raise self._error(otherwise)
        return kind

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> None:
        kinds = [self._check(left), self._check(right)]
        if type(op) not in RELATIONS:
            raise self._error("compares by `in` or `is`: use == and !=, joined by `or` or `and`")
        if kinds == [NUMBER, NUMBER]:
            return
        if not isinstance(op, ast.Eq | ast.NotEq):
            raise self._error(f"orders what has no order: {ast.unparse(left)} and {ast.unparse(right)}; use == or !=")
        if kinds == [TRUTH, TRUTH]:
            return
        options = [kind for kind in kinds if kind in OPTIONS]
        if len(options) != 1 or TEXT not in kinds:
            raise self._error(f"compares unlike things: {ast.unparse(left)} and {ast.unparse(right)}")
        text = _text(right if kinds[1] == TEXT else left)
        if text not in OPTIONS[options[0]]:
            raise self._error(f"has an {unknown(options[0], text, map(str, OPTIONS[options[0]]))}")

    # What is computed for every table.

    def _truth(self, node: ast.expr, table: Table) -> Booleans:
        match node:
            case ast.Constant(value=value):
                return np.full(table.count, bool(value))
            case ast.Name(id=name):
                return table[name] > 0
            case ast.UnaryOp(operand=operand):
                return ~self._truth(operand, table)
            case ast.BoolOp(op=op, values=values):
                tests = [self._test(value) for value in values]
                return _joined(tests, table, isinstance(op, ast.And))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                sides = [left, *comparators]
                pairs = zip(sides, ops, sides[1:], strict=False)
                return _joined([self._comparison(*pair) for pair in pairs], table, True)
        raise AssertionError(f"unchecked: {ast.unparse(node)}")

    def _test(self, node: ast.expr) -> Callable[[Table], Booleans]:
        return lambda table: self._truth(node, table)

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Callable[[Table], Booleans]:
        compare = OPERATIONS[RELATIONS[type(op)]]
        kinds = [self._check(left), self._check(right)]
        if kinds == [TRUTH, TRUTH]:
            return lambda table: np.asarray(compare(self._truth(left, table), self._truth(right, table)))
        if TEXT in kinds:
            name, text = (left, right) if kinds[1] == TEXT else (right, left)
            option = next(kind for kind in kinds if kind != TEXT)
            place = [str(value) for value in OPTIONS[option]].index(_text(text))
            return lambda table: np.asarray(compare(self._number(name, table), place))
        return lambda table: np.broadcast_to(
            compare(self._number(left, table), self._number(right, table)), table.count
        )

    def _number(self, node: ast.expr, table: Table) -> Numbers:
        match node:
            case ast.Constant(value=int() | float() as value):
                return np.asarray(float(value) if abs(value) >= LARGEST_INTEGER else value)
            case ast.Name(id=name):
                return table[name]
            case ast.UnaryOp(op=op, operand=operand):
                number = self._number(operand, table)
                return -number if isinstance(op, ast.USub) else number
            case ast.BinOp(left=left, op=op, right=right):
                divisor = self._number(right, table)
                if isinstance(op, ast.Div | ast.FloorDiv | ast.Mod) and not divisor.all():
                    raise self._error(f"divides by zero: {ast.unparse(right)} can be 0; exclude that before, by `and`")
                return np.asarray(ARITHMETIC[type(op)](self._number(left, table), divisor))
        raise AssertionError(f"unchecked: {ast.unparse(node)}")


@dataclass(frozen=True)
class Row:
    """A table of given columns."""

    columns: Mapping[str, npt.NDArray[np.int64]]

    @property
    def count(self) -> int:
        return min((len(column) for column in self.columns.values()), default=1)

    def __getitem__(self, name: str) -> npt.NDArray[np.int64]:
        return self.columns[name]

    def keep(self, rows: Booleans) -> Row:
        return Row({name: column[rows] for name, column in self.columns.items()})


NUMBER, TRUTH, TEXT = "number", "truth", "text"
NOTHING = Row({})


def _product(left: Numbers, right: Numbers) -> Numbers:
    return np.multiply(left, right, dtype=np.float64)


ARITHMETIC: Mapping[type[ast.operator], Callable[[Numbers, Numbers], Numbers]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: _product,
    ast.Div: np.true_divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.remainder,
}
RELATIONS: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
OPERATIONS: Mapping[str, np.ufunc] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


def parsed(texts: Collection[str], known: Collection[str]) -> tuple[Expression, ...]:
    """Raises: ExpressionError."""
    return tuple(Expression(text, tuple(known)) for text in texts)


def _joined(tests: list[Callable[[Table], Booleans]], table: Table, is_and: bool) -> Booleans:
    result = tests[0](table)
    if len(tests) > 1:
        result = result.copy()
    for test in tests[1:]:
        # Only where it still matters: what is left of `and` may keep what is right of it from dividing by zero.
        undecided = result if is_and else ~result
        if undecided.all():
            result = test(table).copy()
        elif undecided.any():
            result[undecided.copy()] = test(table.keep(undecided))
    return result


def _depth(tree: ast.expr) -> int:
    depth, level = 0, [tree]
    while level:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return depth


def _names(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Name) for part in ast.walk(node))


def _text(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""
