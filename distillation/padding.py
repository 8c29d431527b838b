"""Real tokens and padding, in losses: nothing that stands at padding reaches a loss or its gradient, be it infinite.

Shapes: B batch, L length; masks are 1, or true, at real tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor


def widened(states: Tensor) -> Tensor:
    """At least in float32: squares and sums of half-precision states overflow or lose what is small."""
    return states.float() if states.dtype in (torch.float16, torch.bfloat16) else states


def cleared(states_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """The states, at least in float32, and zeros at padding."""
    # Filling, unlike multiplying by the mask, also keeps infinities and NaN out of the loss and the gradient.
    return widened(states_BLD).masked_fill(~mask_BL.to(torch.bool)[:, :, None], 0.0)


def token_mean(values_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """The mean of each example's values over its real tokens (B,), 0 where it has none; the values must be finite."""
    mask_BL = mask_BL.to(values_BL.dtype)
    total: Tensor = (values_BL * mask_BL).sum(dim=1)
    return total / mask_BL.sum(dim=1).clamp(min=1)


def pairs_of_tokens(mask_BL: Tensor) -> Tensor:
    """(B, L, L), true where row and column are both real."""
    real_BL = mask_BL.to(torch.bool)
    return real_BL[:, :, None] & real_BL[:, None, :]


def pair_mean(values_BLL: Tensor, mask_BL: Tensor) -> Tensor:
    """The mean of each example's values over its pairs of real tokens (B,), 0 where it has none."""
    total: Tensor = values_BLL.masked_fill(~pairs_of_tokens(mask_BL), 0.0).sum(dim=(1, 2))
    return total / mask_BL.to(total.dtype).sum(dim=1).square().clamp(min=1)
