"""Tables that stay readable in a narrow terminal: words are never broken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

BORDERS, GAP = 3, 2
"""Columns of the screen that one of the table costs, with its lines and without."""


class FittingTable(Table):
    """A table of text that goes without lines where they leave no room for its words, and then without columns.

    What has no room for its longest words side by side is told row by row, a line for each cell.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        cells = [[_text(column.header), *map(_text, column.cells)] for column in self.columns]
        natural = [max(map(len, texts)) for texts in cells]
        least = [max(len(word) for text in texts for word in text.split() or [""]) for texts in cells]
        room = options.max_width - BORDERS * len(cells) - 1
        if sum(natural) > room:
            room = options.max_width - GAP * (len(cells) - 1)
            if sum(least) > room:
                yield from self._records(cells)
                return
            self.box, self.show_edge, self.pad_edge, self.padding = box.SIMPLE_HEAD, False, False, (0, 1, 0, 0)
            for column, width in zip(self.columns, _shared(natural, least, room), strict=True):
                column.width = width
        yield from super().__rich_console__(console, options)

    def _records(self, cells: Sequence[Sequence[str]]) -> Iterator[RenderableType]:
        if self.title is not None:
            yield Text(_text(self.title), style=self.title_style or "")
        headers = [texts[0] for texts in cells]
        indent = max(map(len, headers))
        for row in zip(*(texts[1:] for texts in cells), strict=True):
            told = [(header, value) for header, value in zip(headers, row, strict=True) if value]
            yield Text("\n".join(f"{header:<{indent}}  {value}".rstrip() for header, value in told), overflow="fold")
            yield Text("")


def _shared(natural: Iterable[int], least: Iterable[int], room: int) -> list[int]:
    """Widths that together fit: the longest words, and the rest of the room to whom lacks most."""
    wanted, widths = list(natural), list(least)
    for _ in range(room - sum(widths)):
        lacking = max(range(len(widths)), key=lambda place: wanted[place] - widths[place])
        widths[lacking] += wanted[lacking] > widths[lacking]
    return widths


def _text(cell: RenderableType | None) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell or "")
