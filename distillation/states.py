"""What a student loses against its teacher in one layer's hidden states (or the embeddings'): one value per example.

Each takes (B, L, D) states of student and teacher and the (B, L) mask, 1 at real tokens; the student's have been
projected to the teacher's width. What stands at padding is never read; an example without any real token loses 0.
Shapes: B batch, L length, D hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from distillation.padding import cleared, token_mean

NORM_FLOOR = 1e-6
"""Shorter states are not stretched to length 1: at 0 the gradient would be 1 / floor."""

VARIANCE_FLOOR = 1e-6
"""Added to variances before their root."""


def hidden_mse(student_BLD: Tensor, teacher_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean of (student - teacher)^2 over the hidden units of each example's real tokens (B,).

    References: arXiv:1909.10351, eq. 8 (there without the mask).
    """
    difference_BLD = cleared(student_BLD, mask_BL) - cleared(teacher_BLD, mask_BL)
    return token_mean(difference_BLD.square().mean(dim=-1), mask_BL)


def hidden_cosine(student_BLD: Tensor, teacher_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean of 1 - cos(student, teacher) over each example's real tokens (B,).

    Computed as |s / |s| - t / |t||^2 / 2, which is the same and, unlike the difference, never below 0 by rounding.

    References: arXiv:1910.01108 (its cosine embedding loss).
    """
    difference_BLD = _directions(cleared(student_BLD, mask_BL)) - _directions(cleared(teacher_BLD, mask_BL))
    return token_mean(difference_BLD.square().sum(dim=-1) / 2, mask_BL)


def pkd(student_BLD: Tensor, teacher_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """|s / |s| - t / |t||^2 of the states s, t of each example's first token (B,); 0 where that is padding.

    References: arXiv:1908.09355 (patient teacher; there summed over layers).
    """
    first = slice(0, 1)
    student_B1D = _directions(cleared(student_BLD[:, first], mask_BL[:, first]))
    teacher_B1D = _directions(cleared(teacher_BLD[:, first], mask_BL[:, first]))
    return token_mean((student_B1D - teacher_B1D).square().sum(dim=-1), mask_BL[:, first])


def feature_map(
    student_BLD: Tensor,
    teacher_BLD: Tensor,
    mask_BL: Tensor,
    mean_weight: float = 50.0,
    variance_weight: float = 0.05,
) -> Tensor:
    """MobileBERT's feature-map transfer of each example (B,), the mean over its real tokens of

        mean_D((norm(s) - norm(t))^2) + mean_weight * (mean_D(s) - mean_D(t))^2
                                      + variance_weight * |var_D(s) - var_D(t)|

    with norm(x) = (x - mean_D(x)) / sqrt(var_D(x) + VARIANCE_FLOOR) and the variance over D, not D - 1. The paper
    says only that the squared difference is split into one of normalised maps and one of their statistics; the terms
    and the default weights (100 : 5000 : 5, divided by 100) are of its released code.

    References: arXiv:2004.02984 (feature map transfer).
    """
    student_BLD, teacher_BLD = cleared(student_BLD, mask_BL), cleared(teacher_BLD, mask_BL)
    student_norm, student_mean, student_variance = _standardised(student_BLD)
    teacher_norm, teacher_mean, teacher_variance = _standardised(teacher_BLD)
    maps_BL = (student_norm - teacher_norm).square().mean(dim=-1)
    means_BL = (student_mean - teacher_mean).square()
    variances_BL = (student_variance - teacher_variance).abs()
    return token_mean(maps_BL + mean_weight * means_BL + variance_weight * variances_BL, mask_BL)


def _directions(states_BLD: Tensor) -> Tensor:
    return functional.normalize(states_BLD, dim=-1, eps=NORM_FLOOR)


def _standardised(states_BLD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The states with mean 0 and variance 1, and each token's mean and variance (B, L)."""
    variance_BL, mean_BL = torch.var_mean(states_BLD, dim=-1, correction=0)
    centred_BLD = states_BLD - mean_BL[:, :, None]
    return centred_BLD * torch.rsqrt(variance_BL + VARIANCE_FLOOR)[:, :, None], mean_BL, variance_BL
