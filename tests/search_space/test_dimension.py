import pytest

from search_space import Category, Choice, IntegerRange, SearchSpaceError


def test_a_range_stops_at_its_last_step():
    assert IntegerRange(low=2, high=9, step=3).values == (2, 5, 8)
    assert IntegerRange(low=2, high=8, step=3).values == (2, 5, 8)
    assert IntegerRange(low=4, high=4).values == (4,)


def test_choices_are_kept_in_ascending_order():
    assert Choice(values=(512, 64, 128)).values == (64, 128, 512)


def test_categories_keep_their_order():
    assert Category(values=["relu", "gelu"]).values == ("relu", "gelu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 1.5, "high": 2}, "the low of a range must be an integer, got 1.5"),
        ({"low": 1, "high": True}, "the high of a range must be an integer, got True"),
        ({"low": 3, "high": 2}, "high 2 is below low 3"),
        ({"low": 1, "high": 2, "step": 0}, "step must be at least 1, got 0"),
        ({"low": 1, "high": 10**12}, "a range of 1,000,000,000,000 values"),
    ],
)
def test_an_impossible_range_says_why(arguments, message):
    with pytest.raises(SearchSpaceError, match=message):
        IntegerRange(**arguments)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((), "at least one value"),
        ((4, 8, 4), r"repeats a value: \[4, 8, 4\]"),
        ((4, "8"), "must be an integer, got '8'"),
    ],
)
def test_an_impossible_choice_says_why(values, message):
    with pytest.raises(SearchSpaceError, match=message):
        Choice(values=values)


@pytest.mark.parametrize(
    ("values", "message"), [((), "at least one value"), (("a", "a"), "a category repeats a value")]
)
def test_an_impossible_category_says_why(values, message):
    with pytest.raises(SearchSpaceError, match=message):
        Category(values=values)
