"""What a student loses against its teacher in one layer's attention maps: one value per example.

Each takes (B, H, L, L) maps of student and teacher, probabilities whose rows sum to 1 over the real keys, and the
(B, L) mask, 1 at real tokens. Only rows of real queries and columns of real keys count, n x n of them in a text of n
tokens; an example without any real token loses 0. Shapes: B batch, H heads, L length.
"""

from __future__ import annotations

from torch import Tensor

from distillation.padding import pair_mean, pairs_of_tokens, widened

LOG_FLOOR = 1e-30
"""Smaller probabilities count as this in a logarithm, and draw no gradient: theirs would overflow in float32."""


def attention_mse(student_BHLL: Tensor, teacher_BHLL: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean of (student - teacher)^2 over heads and pairs of real tokens, head by head (B,).

    References: arXiv:1909.10351, eq. 7 (there of the scores before the softmax).

    Raises:
        ValueError: student and teacher have different numbers of heads.
    """
    student_BHLL, teacher_BHLL = _same_heads(student_BHLL, teacher_BHLL, mask_BL)
    return pair_mean((student_BHLL - teacher_BHLL).square().mean(dim=1), mask_BL)


def attention_summed_mse(student_BHLL: Tensor, teacher_BHLL: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean of (sum_H student - sum_H teacher)^2 over pairs of real tokens (B,), whatever the numbers of heads.

    Rows of a sum add up to the number of heads. Where the numbers S and T differ, the loss cannot fall below
    ((S - T) / n)^2, and its minimum is the teacher's sum shifted by (S - T) / n wherever that stays above 0.
    `attention_mean_mse` has no such floor.
    """
    student_BLL, teacher_BLL = _real(student_BHLL, mask_BL).sum(dim=1), _real(teacher_BHLL, mask_BL).sum(dim=1)
    return pair_mean((student_BLL - teacher_BLL).square(), mask_BL)


def attention_mean_mse(student_BHLL: Tensor, teacher_BHLL: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean of (mean_H student - mean_H teacher)^2 over pairs of real tokens (B,), whatever the numbers of heads."""
    student_BLL, teacher_BLL = _real(student_BHLL, mask_BL).mean(dim=1), _real(teacher_BHLL, mask_BL).mean(dim=1)
    return pair_mean((student_BLL - teacher_BLL).square(), mask_BL)


def attention_kl(student_BHLL: Tensor, teacher_BHLL: Tensor, mask_BL: Tensor) -> Tensor:
    """KL(teacher's row || student's row), mean over heads and real queries (B,).

    References: arXiv:2002.10957 (self-attention distribution transfer, of the last layer).

    Raises:
        ValueError: student and teacher have different numbers of heads.
    """
    student_BHLL, teacher_BHLL = _same_heads(student_BHLL, teacher_BHLL, mask_BL)
    terms_BHLL = teacher_BHLL * (_log(teacher_BHLL) - _log(student_BHLL))
    return _row_mean(terms_BHLL, mask_BL)


def attention_cross_entropy(student_BHLL: Tensor, teacher_BHLL: Tensor, mask_BL: Tensor) -> Tensor:
    """-sum_k teacher(q, k) log student(q, k), mean over heads and real queries q (B,).

    More than `attention_kl` by the entropy of the teacher's rows; the gradient is the same. MobileBERT's released code
    minimises this where its paper (arXiv:2004.02984) says KL.

    Raises:
        ValueError: student and teacher have different numbers of heads.
    """
    student_BHLL, teacher_BHLL = _same_heads(student_BHLL, teacher_BHLL, mask_BL)
    return _row_mean(-teacher_BHLL * _log(student_BHLL), mask_BL)


def _same_heads(student_BHLL: Tensor, teacher_BHLL: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
    students, teachers = student_BHLL.shape[1], teacher_BHLL.shape[1]
    if students != teachers:
        raise ValueError(
            f"maps of {students} student heads and {teachers} teacher heads cannot be compared head by head; compare"
            " their sums or means, or relations"
        )
    return _real(student_BHLL, mask_BL), _real(teacher_BHLL, mask_BL)


def _real(maps_BHLL: Tensor, mask_BL: Tensor) -> Tensor:
    """The maps, at least in float32, and zeros outside of the real pairs."""
    return widened(maps_BHLL).masked_fill(~pairs_of_tokens(mask_BL)[:, None], 0.0)


def _log(maps_BHLL: Tensor) -> Tensor:
    return maps_BHLL.clamp(min=LOG_FLOOR).log()


def _row_mean(terms_BHLL: Tensor, mask_BL: Tensor) -> Tensor:
    """Summed over keys, mean over heads and real queries; the terms are 0 outside of the real pairs."""
    total: Tensor = terms_BHLL.sum(dim=(2, 3)).mean(dim=1)
    return total / mask_BL.to(total.dtype).sum(dim=1).clamp(min=1)
