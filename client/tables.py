"""Trials and fronts as sequences that become tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from client.errors import installed
from protocol.study import StudySpec
from protocol.views import FrontView, TrialView

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]

Cell = str | int | float | bool | None


class Trials(tuple[TrialView, ...]):
    """Trials in order, as the protocol's views."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Short: a notebook prints what a cell ends with."""
        return f"<{len(self)} trial{'' if len(self) == 1 else 's'}; .to_pandas() is a table of them>"

    def rows(self) -> list[dict[str, Cell]]:
        """One row for each trial: latencies in seconds, None where nothing is known."""
        return [_row(trial) for trial in self]

    def to_pandas(self) -> pandas.DataFrame:
        """The rows, indexed by the trials' numbers.

        Raises:
            MissingPackage: pandas is not installed.
        """
        frame = installed("pandas", extra="pandas").DataFrame(self.rows(), columns=self._columns())
        table: pandas.DataFrame = frame.set_index("number")
        return table

    def _columns(self) -> list[str]:
        """Also of an empty table."""
        return list(dict.fromkeys([*_FIRST, *(name for row in self.rows() for name in row)]))


class Front(Trials):
    """The trials on the front, by number. `view` says its hypervolume and how it grew."""

    view: FrontView

    def __new__(cls, trials: Sequence[TrialView], view: FrontView) -> Front:
        made = super().__new__(cls, trials)
        made.view = view
        return made


_FIRST = ("number", "label", "state", "origin", "on_front")


def _row(trial: TrialView) -> dict[str, Cell]:
    row: dict[str, Cell] = {
        "number": trial.number,
        "label": trial.label,
        "state": str(trial.state),
        "origin": trial.origin,
        "on_front": trial.on_front,
        **trial.metrics,
    }
    if trial.latency is not None:
        row |= {"latency_source": trial.latency.source, "latency_verdict": trial.latency.verdict}
    for name, value in trial.architecture.to_dict().items():
        row[name] = value if isinstance(value, str | int | float | bool) else str(value)
    return row


def objective_values(spec: StudySpec, trial: TrialView) -> list[float] | None:
    """The trial's values of the study's objectives, in their order; None while one is not known."""
    values = [trial.metrics.get(objective.metric) for objective in spec.objectives]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None
