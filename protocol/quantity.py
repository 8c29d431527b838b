"""Quantities as people write them: `4 ms`, `30e6`, `30M`."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from protocol.errors import QuantityError

_NUMBER = re.compile(r"([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-zµ%]*)")
# Factors in decimal, so that 70 % is 0.7 and not its neighbour.
_SECONDS = {"ns": "1e-9", "us": "1e-6", "µs": "1e-6", "ms": "1e-3", "s": "1", "min": "60", "h": "3600"}
_COUNTS = {"": "1", "k": "1e3", "K": "1e3", "M": "1e6", "G": "1e9", "B": "1e9"}
_SHARES = {"": "1", "%": "0.01"}
UNITS = {"seconds": _SECONDS, "count": _COUNTS, "share": _SHARES, "number": {"": "1"}}


def parse_quantity(text: str, unit: str) -> float:
    """The number in base units; `unit` is a key of `UNITS`. Seconds must be written with their unit.

    Raises:
        QuantityError: no number, or a unit that does not belong.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise QuantityError(f"{text.strip()!r} is not a number with a unit")
    number, suffix = match.groups()
    factors = UNITS[unit]
    if suffix not in factors:
        known = ", ".join(repr(name) if name else "none" for name in factors)
        raise QuantityError(f"{text.strip()!r} has the unit {suffix or 'none'!r}; expected one of {known}")
    try:
        value = float(Decimal(number.replace("_", "")) * Decimal(factors[suffix]))
    except ArithmeticError:
        value = math.inf
    if not math.isfinite(value):
        raise QuantityError(f"{text.strip()!r} is too large for a number")
    return value


def format_seconds(value_s: float) -> str:
    """A latency as people read it, in milliseconds."""
    return f"{value_s * 1e3:.3g} ms" if value_s < 0.9995 else f"{value_s:.3g} s"


def format_count(value: float) -> str:
    """A count as people read it: 25.4M."""
    for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * factor:  # 999,999 is 1M, not 1000k
            return f"{value / factor:.3g}{suffix}"
    return f"{value:g}"


def format_duration(value_s: float) -> str:
    """A waiting time as people read it: 3 min 20 s."""
    seconds = round(value_s)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
