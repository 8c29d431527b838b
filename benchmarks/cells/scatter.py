"""Points over one axis as an SVG, in panels one above the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT, MARGIN = 520, 200, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    title: str
    points: Sequence[tuple[float, float]]


def drawn(panels: Sequence[Panel], *, across: str) -> str:
    """The panels share the horizontal axis; its ends, and those of each vertical axis, are labelled."""
    xs = [x for panel in panels for x, _ in panel.points]
    parts = [part for row, panel in enumerate(panels) for part in _panel(panel, row * HEIGHT, min(xs), max(xs))]
    total = len(panels) * HEIGHT + 30
    parts.append(_text(WIDTH / 2, total - 10, across, "middle"))
    style = 'font-family="sans-serif" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{total}" {style}>{"".join(parts)}</svg>\n'


def _panel(panel: Panel, top: float, low: float, high: float) -> Iterator[str]:
    ys = [y for _, y in panel.points]
    left, right, upper, lower = MARGIN, WIDTH - 20, top + 30, top + HEIGHT - 25
    yield _text(left, top + 20, panel.title, "start")
    yield f'<path d="M{left} {upper}V{lower}H{right}" fill="none" stroke="black"/>'
    for y in {min(ys), max(ys)}:
        yield _text(left - 6, _at(y, min(ys), max(ys), lower, upper) + 4, f"{y:.3f}", "end")
    for x in {low, high}:
        yield _text(_at(x, low, high, left, right), lower + 16, f"{x:.2f}", "middle")
    for x, y in panel.points:
        place = _at(x, low, high, left, right), _at(y, min(ys), max(ys), lower, upper)
        yield f'<circle cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="4" fill="none" stroke="black"/>'


def _at(value: float, low: float, high: float, start: float, end: float) -> float:
    return start + (end - start) * ((value - low) / (high - low) if high > low else 0.5)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
