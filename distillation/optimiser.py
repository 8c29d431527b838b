"""The optimiser's groups and the learning rate over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import AdamW

from encoders.modeling_stillhouse import StillhouseTaskModel

BETAS = (0.9, 0.98)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Peak learning rates of the embedding tables and of all the rest."""

    embeddings: float
    rest: float


def build_optimiser(model: StillhouseTaskModel, extra: nn.Module, rates: Rates, *, weight_decay: float) -> AdamW:
    """AdamW over what of the model is trained (asks for gradients) and what the criterion learns.

    Embedding tables have a learning rate of their own. Vectors (biases and norms) do not decay.
    """
    tables = {id(weight) for weight in _embedding_tables(model)}
    parameters = [weight for weight in (*model.parameters(), *extra.parameters()) if weight.requires_grad]
    groups = [
        {
            "params": [weight for weight in parameters if (id(weight) in tables, weight.dim() > 1) == (table, decays)],
            "lr": rates.embeddings if table else rates.rest,
            "weight_decay": weight_decay if decays else 0.0,
        }
        for table, decays in ((True, True), (False, True), (False, False))
    ]
    for group in groups:
        group["peak"] = group["lr"]
    return AdamW([group for group in groups if group["params"]], betas=BETAS, fused=True)


def schedule(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate in this step, counted from 0: a linear rise, then a linear fall towards 0."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / max(1, steps - rising)


def _embedding_tables(model: StillhouseTaskModel) -> Iterable[Tensor]:
    return (module.weight for module in model.modules() if isinstance(module, nn.Embedding))
