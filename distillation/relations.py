"""What a student loses against its teacher in how tokens, or features, relate to each other: one value per example.

The (B, L) mask is 1 at real tokens; what stands at padding is never read, and an example without any real token
loses 0. Products are in float32 also under autocast: a float16 sum over 768 units overflows.
Shapes: B batch, H heads, L length, K head size, D hidden, R relation heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from distillation.padding import cleared, pair_mean, token_mean

RELATION_SIZE = 16
"""Units of the teacher in a relation head: 48 heads of a teacher 768 wide, 64 of one 1024 wide (arXiv:2012.15828)."""

CHUNK = 2**24
"""Entries of the (B, R, L, L) relations that are held at once; beyond, the backward pass computes them again."""


def relations_kl(
    student_BHLK: Tensor,
    teacher_BHLK: Tensor,
    mask_BL: Tensor,
    relation_heads: int | None = None,
    *,
    keys: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """KL(teacher's || student's) relations of queries, keys or values, mean over relation heads and real rows (B,).

    The heads, side by side, are cut into R relation heads X (L, d) of equal size d, whose relations are the rows of
    softmax(X X' / sqrt(d)) over the real tokens. So heads and widths of student and teacher may differ. Without
    `relation_heads`, R is `relation_heads_that_fit`.

    With `keys` (the student's, the teacher's) they are softmax(X Y' / sqrt(d)) of queries X and keys Y: the attention
    maps, where R is the number of heads.

    References: arXiv:2012.15828; for values, with R the number of heads, arXiv:2002.10957.

    Raises:
        ValueError: R does not divide the width of the student's or the teacher's heads.
    """
    student_width, teacher_width = _width(student_BHLK), _width(teacher_BHLK)
    heads = relation_heads_that_fit(student_width, teacher_width) if relation_heads is None else relation_heads
    for name, width in (("student", student_width), ("teacher", teacher_width)):
        if heads < 1 or width % heads:
            raise ValueError(f"{heads} relation heads do not divide the {width} units of the {name}'s heads")
    student_keys, teacher_keys = (student_BHLK, teacher_BHLK) if keys is None else keys
    related = (student_BHLK, student_keys, teacher_BHLK, teacher_keys)
    parts_BRLK = [_split(heads_BHLK, mask_BL, heads) for heads_BHLK in related]
    batch, length = mask_BL.shape
    size = max(1, CHUNK // max(1, batch * length * length))
    if size >= heads:
        return _divergence(parts_BRLK, mask_BL) / heads
    total = torch.zeros_like(parts_BRLK[0][:, 0, 0, 0])
    for start in range(0, heads, size):
        chunk = slice(start, start + size)
        total = total + checkpoint(
            _divergence,
            [part_BRLK[:, chunk] for part_BRLK in parts_BRLK],
            mask_BL,
            use_reentrant=False,
            preserve_rng_state=False,
        )
    return total / heads


def relation_heads_that_fit(student_width: int, teacher_width: int) -> int:
    """The largest number that divides both widths and leaves the teacher's relation heads `RELATION_SIZE` units."""
    common = math.gcd(student_width, teacher_width)
    most = max(1, teacher_width // RELATION_SIZE)
    return max(heads for heads in range(1, min(common, most) + 1) if common % heads == 0)


def token_gram(student_BLD: Tensor, teacher_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean of (x_i . x_j / D_student - y_i . y_j / D_teacher)^2 over pairs i, j of real tokens (B,).

    x and y are the states of student and teacher, whose widths may differ: divided by D, a product is a mean over
    units, comparable where both are normalised alike. A rotation of either's units changes nothing. It is the squared
    maximum mean discrepancy between the units of student and teacher under the kernel (f . g)^2, f and g a unit's
    values at all tokens, over n^2.

    References: arXiv:1707.01219 (polynomial kernel; there with units normalised over the positions).
    """
    difference_BLL = _token_products(student_BLD, mask_BL) - _token_products(teacher_BLD, mask_BL)
    return pair_mean(difference_BLL.square(), mask_BL)


def feature_gram(student_BLD: Tensor, teacher_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean of (G_student - G_teacher)^2 over all pairs of units (B,), with G = X' X / n of the n real tokens' states X.

    The student's states have been projected to the teacher's width. The order of the tokens does not matter.

    References: Yim et al., A Gift from Knowledge Distillation, CVPR 2017, eq. 1 and 2 (there between two layers, here
    of one with itself).
    """
    difference_BDD = _feature_products(student_BLD, mask_BL) - _feature_products(teacher_BLD, mask_BL)
    return difference_BDD.square().mean(dim=(1, 2))


def _width(heads_BHLK: Tensor) -> int:
    return heads_BHLK.shape[1] * heads_BHLK.shape[3]


def _split(heads_BHLK: Tensor, mask_BL: Tensor, relation_heads: int) -> Tensor:
    """(B, H, L, K) to (B, R, L, H * K / R), zeros at padding."""
    side_by_side = cleared(heads_BHLK.transpose(1, 2).flatten(start_dim=2), mask_BL)
    return side_by_side.reshape(*side_by_side.shape[:2], relation_heads, -1).transpose(1, 2)


def _divergence(parts_BRLK: Sequence[Tensor], mask_BL: Tensor) -> Tensor:
    """Of what the student relates to what, and the teacher: summed over the heads, mean over the real rows (B,)."""
    student_BRLK, student_keys_BRLK, teacher_BRLK, teacher_keys_BRLK = parts_BRLK
    student_log = _log_relations(student_BRLK, student_keys_BRLK, mask_BL)
    teacher_log = _log_relations(teacher_BRLK, teacher_keys_BRLK, mask_BL)
    # At padding keys the teacher's probability is 0; rows of padding are the same for both, and not counted.
    terms_BRLL = teacher_log.exp() * (teacher_log - student_log)
    return token_mean(terms_BRLL.sum(dim=(1, 3)), mask_BL)


def _log_relations(states_BRLK: Tensor, keys_BRLK: Tensor, mask_BL: Tensor) -> Tensor:
    # Scaled before the product, and filled in place: the (B, R, L, L) tensors are what this costs.
    scale = states_BRLK.shape[-1] ** -0.25
    scores_BRLL = _product(states_BRLK * scale, (keys_BRLK * scale).transpose(2, 3))
    # Finite, as -inf would make NaN of what is masked afterwards: anomaly detection would stop there.
    lowest = torch.finfo(scores_BRLL.dtype).min
    return functional.log_softmax(scores_BRLL.masked_fill_(~mask_BL.to(torch.bool)[:, None, None, :], lowest), dim=-1)


def _token_products(states_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    states_BLD = cleared(states_BLD, mask_BL)
    return _product(states_BLD, states_BLD.transpose(1, 2)) / states_BLD.shape[-1]


def _feature_products(states_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    states_BLD = cleared(states_BLD, mask_BL)
    products_BDD = _product(states_BLD.transpose(1, 2), states_BLD)
    return products_BDD / mask_BL.to(products_BDD.dtype).sum(dim=1).clamp(min=1)[:, None, None]


def _product(left: Tensor, right: Tensor) -> Tensor:
    with torch.autocast(device_type=left.device.type, enabled=False):
        return left @ right
