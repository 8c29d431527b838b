"""The end of a replica: others are told first, then long polls end, then what is under way."""

from __future__ import annotations


class Drain:
    """Begins once, in the event loop."""

    def __init__(self) -> None:
        self.begun = False

    def begin(self) -> None:
        self.begun = True
