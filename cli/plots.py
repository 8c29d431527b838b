"""Plots as inline SVG: they need no script, print well, and take their colours from the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 16, 52
TICKS = 6
_MARGIN = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point with its words. `low` and `high` bound y, where that is known; `shape` is a class of the page's style."""

    x: float
    y: float
    text: str
    shape: str = "trial"
    low: float | None = None
    high: float | None = None
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Points that are joined, in order; `steps` joins them by steps, as fronts and hypervolumes are."""

    points: Sequence[tuple[float, float]]
    shape: str = "front"
    steps: bool = False
    label: str = ""


Words = Callable[[float], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """`words` says a value; a logarithmic axis holds only values above 0."""

    title: str
    words: Words
    is_log: bool = False


def plot(title: str, x: Axis, y: Axis, marks: Sequence[Mark], lines: Sequence[Line] = ()) -> Element | None:
    """The plot; None where there is nothing to be drawn."""
    points = [(mark.x, mark.y) for mark in marks] + [point for line in lines for point in line.points]
    if not points:
        return None
    bounds = [value for mark in marks for value in (mark.low, mark.high) if value is not None]
    across = _Scale.over([at for at, _ in points], LEFT, WIDTH - RIGHT, is_log=x.is_log)
    up = _Scale.over([*(at for _, at in points), *bounds], HEIGHT - BOTTOM, TOP, is_log=y.is_log)
    drawn = Element("svg", {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img"})
    SubElement(drawn, "title").text = title
    _axes(drawn, x, y, across, up)
    for line in lines:
        _line(drawn, line, across, up)
    for mark in marks:
        _mark(drawn, mark, across, up)
    return drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Values to places on the page."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float, *, is_log: bool) -> _Scale:
        kept = [math.log10(value) if is_log else value for value in values]
        low, high = min(kept), max(kept)
        room = _MARGIN * (high - low) or max(abs(high), 1.0) * _MARGIN
        return cls(low=low - room, high=high + room, start=start, end=end, is_log=is_log)

    def __call__(self, value: float) -> float:
        value = math.log10(value) if self.is_log else value
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Round values within."""
        if self.is_log:
            decades = range(math.floor(self.low), math.ceil(self.high) + 1)
            values = [factor * 10.0**decade for decade in decades for factor in (1, 2, 5)]
            return [value for value in values if self.low <= math.log10(value) <= self.high]
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        first = math.ceil(self.low / step)
        return [step * place for place in range(first, math.floor(self.high / step) + 1)]


def _axes(drawn: Element, x: Axis, y: Axis, across: _Scale, up: _Scale) -> None:
    for value in across.ticks():
        _rule(drawn, across(value), TOP, across(value), HEIGHT - BOTTOM)
        _text(drawn, x.words(value), across(value), HEIGHT - BOTTOM + 18, "middle")
    for value in up.ticks():
        _rule(drawn, LEFT, up(value), WIDTH - RIGHT, up(value))
        _text(drawn, y.words(value), LEFT - 8, up(value) + 4, "end")
    _text(drawn, x.title, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "middle")
    title = _text(drawn, y.title, 0, 0, "middle")
    title.set("transform", f"translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)")


def _line(drawn: Element, line: Line, across: _Scale, up: _Scale) -> None:
    places = [(across(x), up(y)) for x, y in line.points]
    if not places:
        return
    path = f"M{places[0][0]} {places[0][1]}"
    for x, y in places[1:]:
        path += f"H{x}V{y}" if line.steps else f"L{x} {y}"
    SubElement(drawn, "path", {"class": line.shape, "d": path})
    if line.label:
        _text(drawn, line.label, places[-1][0] - 4, places[-1][1] - 6, "end")


def _mark(drawn: Element, mark: Mark, across: _Scale, up: _Scale) -> None:
    x, y = across(mark.x), up(mark.y)
    group = SubElement(drawn, "g", {"class": mark.shape})
    SubElement(group, "title").text = mark.text
    if mark.low is not None and mark.high is not None:
        _rule(group, x, up(mark.low), x, up(mark.high), "interval")
    if mark.shape in ("teacher", "baseline"):
        SubElement(group, "path", {"d": f"M{x} {y - 7}L{x + 6} {y + 5}H{x - 6}Z"})
    else:
        SubElement(group, "circle", {"cx": str(x), "cy": str(y), "r": "4.5" if mark.shape == "best" else "3"})
    if mark.label:
        is_right = x > (LEFT + WIDTH) / 2
        _text(group, mark.label, x - 9 if is_right else x + 9, y + 4, "end" if is_right else "start")


def _rule(drawn: Element, x1: float, y1: float, x2: float, y2: float, shape: str = "grid") -> None:
    SubElement(drawn, "line", {"class": shape, "x1": str(x1), "y1": str(y1), "x2": str(x2), "y2": str(y2)})


def _text(drawn: Element, words: str, x: float, y: float, anchor: str) -> Element:
    found = SubElement(drawn, "text", {"x": str(x), "y": str(y), "text-anchor": anchor})
    found.text = words
    return found
