import ast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_space import Choice, Expression, ExpressionError, SearchSpace
from search_space.expression import Row

KNOWN = ("layers", "hidden_size", "heads", "bottleneck_size", "norm", "trigram")
COLUMNS = {
    "layers": np.array([1, 2, 3, 4]),
    "hidden_size": np.array([64, 96, 96, 128]),
    "heads": np.array([2, 5, 4, 0]),
    "bottleneck_size": np.array([0, 32, 0, 64]),
    "norm": np.array([0, 1, 0, 1]),
    "trigram": np.array([0, 0, 1, 1]),
}


def rows(text: str) -> list[int]:
    """The rows of which the expression is true."""
    return np.flatnonzero(Expression(text, KNOWN).holds(Row(COLUMNS))).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layers <= 2", [0, 1]),
        ("1 < layers <= 3", [1, 2]),
        ("hidden_size == 32 * layers + 32", [0, 1]),
        ("hidden_size / 64 == 1.5", [1, 2]),
        ("hidden_size // 60 == 1 and not layers == 2", [0, 2]),
        ("heads != 0 and hidden_size % heads == 0", [0, 2]),
        ("heads == 0 or hidden_size % heads > 0", [1, 3]),
        ("0 < heads < hidden_size / heads", [0, 1, 2]),
        ("norm == 'no_norm'", [1, 3]),
        ('"no_norm" != norm', [0, 2]),
        ("trigram", [2, 3]),
        ("not trigram and layers > 1", [1]),
        ("trigram == True", [2, 3]),
        ("trigram == (norm == 'no_norm')", [0, 3]),
        ("-layers < -3", [3]),
        ("  layers >= 4  ", [3]),
        ("1e200 * layers * 1e200 > 0", [0, 1, 2, 3]),
        ("layers * 4000000000 * 4000000000 * hidden_size > 0", [0, 1, 2, 3]),
        ("layers < 10000000000000000000000000", [0, 1, 2, 3]),
        ("layers * 9999999999 * 9999999999 > 2e20", [2, 3]),
    ],
)
def test_expressions_mean_what_they_mean_in_python(text, expected):
    assert rows(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hiden_size <= 3", r"'hiden_size <= 3' has an unknown name 'hiden_size' \(did you mean 'hidden_size'\?\)"),
        ("norm == 'nonorm'", r"unknown norm 'nonorm' \(did you mean 'no_norm'\?\); known are layer_norm, no_norm"),
        ("norm < 'no_norm'", "orders what has no order: norm and 'no_norm'"),
        ("norm == 3", "compares unlike things: norm and 3"),
        ("layers == 'two'", "compares unlike things: layers and 'two'"),
        ("norm == norm", "compares unlike things"),
        ("layers", "'layers' is not a comparison"),
        ("4 * layers", "is not a comparison"),
        ("1 < 2", "names nothing that varies"),
        ("layers and heads > 1", "joins what is no comparison"),
        ("not layers", "negates what is no comparison: layers"),
        ("norm + 1 > 2", "computes with what is no number: norm"),
        ("layers in (1, 2)", "not allowed"),
        ("layers is 3", "compares by `in` or `is`"),
        ("layers ** 2 > 3", r"'layers \*\* 2', which is not allowed"),
        ("max(layers, 2) > 3", "not allowed"),
        ("layers.real > 3", "not allowed"),
        ("__import__('os') == 1", "not allowed"),
        ("(lambda: 1)() == 1", "not allowed"),
        ("layers <=", "cannot be read: invalid syntax"),
        ("layers = 3", "cannot be read"),
        ("", "cannot be read"),
        (3, "3 is no text"),
        ("layers <= 30M", "cannot be read"),
        ("(" * 600 + "layers" + ")" * 600 + " < 1", "of 1,210 characters, more than 1,000"),
        ("(" * 400 + "layers" + ")" * 400 + " < 1", "cannot be read"),
        ("-" * 400 + "layers < 1", "is nested more than 40 deep"),
        ("layers < " + "+".join("1" * 400), "is nested more than 40 deep"),
        ("layers < " + "9" * 400, "has a number beyond 1e308"),
        ("layers < 1e400", "has a number beyond 1e308"),
    ],
)
def test_what_is_no_expression_says_why(text, message):
    with pytest.raises(ExpressionError, match=message):
        Expression(text, KNOWN)


def test_division_by_zero_names_the_divisor():
    with pytest.raises(ExpressionError, match=r"'layers / heads > 1' divides by zero: heads can be 0; exclude that"):
        rows("layers / heads > 1")


def test_a_bound_is_told_from_what_bounds_nothing():
    def bound(text):
        found = Expression(text, KNOWN).bound
        return found and (found.subject, found.relation, found.limit)

    assert bound("layers <= 3") == ("layers", "<=", 3)
    assert bound("2 * 16 < 4 * hidden_size") == ("4 * hidden_size", ">", 32)
    assert bound("layers <= heads") is bound("1 < layers <= 3") is bound("norm == 'no_norm'") is None


numbers = st.recursive(
    st.sampled_from(["layers", "hidden_size", "bottleneck_size", "2", "7", "0.5"]),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(
        lambda parts: "({} {} {})".format(*parts)
    ),
    max_leaves=4,
)
comparisons = st.tuples(numbers, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers).map(" ".join)
expressions = st.recursive(
    comparisons | st.sampled_from(["trigram", "norm == 'no_norm'"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: "({} {} {})".format(*parts))
        | inner.map(lambda text: f"(not {text})")
    ),
    max_leaves=4,
)


@settings(max_examples=200, deadline=None)
@given(text=expressions)
def test_columns_agree_with_python_row_by_row(text):
    if not any(isinstance(node, ast.Name) for node in ast.walk(ast.parse(text))):
        return
    expression = Expression(text, KNOWN)
    expected = []
    for row in range(4):
        values = {name: int(column[row]) for name, column in COLUMNS.items()}
        values |= {"norm": ["layer_norm", "no_norm"][values["norm"]], "trigram": bool(values["trigram"])}
        try:
            expected.append(bool(eval(text, {}, values)))
        except ZeroDivisionError:
            with pytest.raises(ExpressionError, match="divides by zero"):
                expression.holds(Row(COLUMNS))
            return
    assert expression.holds(Row(COLUMNS)).tolist() == expected
    one = {name: int(column[2]) for name, column in COLUMNS.items()}
    assert expression.is_met(one) == expected[2]


def test_a_space_quotes_the_expression_that_it_cannot_read():
    sizes = {"layers": Choice(values=(1, 2)), "hidden_size": Choice(values=(8,)), "heads": Choice(values=(2,))}
    sizes["ffn_size"] = Choice(values=(16,))
    with pytest.raises(ExpressionError, match=r"'ffn <= 4' has an unknown name 'ffn' \(did you mean 'ffn_size'\?\)"):
        SearchSpace(dimensions=sizes, constraints=["ffn <= 4"])
    with pytest.raises(ExpressionError, match=r"did you mean 'parameters'"):
        SearchSpace(dimensions=sizes, constraints=["parameter <= 4"])
    assert SearchSpace(dimensions=sizes, constraints=["4 * layers <= 4"]).size == 1
