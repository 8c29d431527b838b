"""Why a trial was suggested, as it is stored with the trial and shown."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Expected(BaseModel):
    """What a model expected of a metric, in the metric's own unit: its median and standard deviation.

    `deviation` is None where the strategy does not tell.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    value: float
    deviation: float | None = None


class SuggestionRecord(BaseModel):
    """A strategy's choice. Nothing of it was measured.

    Args:
        strategy: what chose it.
        acquisition: logarithm of the hypervolume that trying it was expected to gain.
        predicted: by metric; empty where no model was asked.
        observations: how many values of each metric the model had.
        seconds: what choosing took, together with the `count` trials that were chosen at once.
        fallback: why it was not chosen as the strategy would, past its deadline for instance.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    strategy: str
    acquisition: float | None = None
    predicted: dict[str, Expected] = {}
    observations: dict[str, int] = {}
    seconds: float
    count: int = 1
    fallback: str | None = None
