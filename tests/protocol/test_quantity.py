import pytest

from protocol.errors import QuantityError
from protocol.quantity import format_count, format_duration, format_seconds, parse_quantity


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("4 ms", "seconds", 0.004),
        ("4ms", "seconds", 0.004),
        ("250 us", "seconds", 0.00025),
        ("1.5 s", "seconds", 1.5),
        ("30e6", "count", 30e6),
        ("30M", "count", 30e6),
        ("30_000", "count", 30_000),
        ("70 %", "share", 0.7),
        (".7", "share", 0.7),
    ],
)
def test_quantities_are_read_in_base_units(text, unit, value):
    assert parse_quantity(text, unit) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("4", "seconds"),
        ("4 MB", "count"),
        ("fast", "seconds"),
        ("", "count"),
        ("1e", "count"),
        ("1e999", "count"),
        ("1e99999999999999999999", "count"),
    ],
)
def test_a_missing_or_foreign_unit_is_refused(text, unit):
    with pytest.raises(QuantityError):
        parse_quantity(text, unit)


def test_quantities_are_shown_as_people_read_them():
    assert format_seconds(0.00412) == "4.12 ms"
    assert format_seconds(2.0) == "2 s"
    assert format_count(25_359_000) == "25.4M"
    assert format_count(512) == "512"
    assert [format_count(value) for value in (999_499, 999_999, 999_999_999)] == ["999k", "1M", "1G"]
    assert [format_duration(value) for value in (9.6, 200, 3720)] == ["10 s", "3 min 20 s", "1 h 02 min"]
