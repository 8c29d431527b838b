"""How long work tells what it does, and hears that it shall stop."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Observer(Protocol):
    """Called from the thread that works, and waited for: every method returns at once."""

    def stage(self, name: str) -> None:
        """Something else begins; steps are counted anew."""
        ...

    def step(self, step: int, steps: int, loss: float) -> None:
        """`step` of `steps` steps are done."""
        ...

    def evaluated(self, step: int, value: float) -> None:
        """The metric on the selection split after so many steps."""
        ...

    def checkpointed(self, folder: Path) -> None:
        """The folder is complete and never changes, but is removed once there are two newer ones."""
        ...

    def should_stop(self) -> bool:
        """Whether to write a checkpoint and raise `Interrupted`; asked between any two steps."""
        ...


class Unobserved:
    """Nobody listens and nobody stops."""

    def stage(self, name: str) -> None:
        pass

    def step(self, step: int, steps: int, loss: float) -> None:
        pass

    def evaluated(self, step: int, value: float) -> None:
        pass

    def checkpointed(self, folder: Path) -> None:
        pass

    def should_stop(self) -> bool:
        return False
