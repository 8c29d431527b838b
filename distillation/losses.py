"""What a student loses against its teacher, per example.

Pure functions of tensors; gradients flow to the student's arguments. Shapes: B batch, L length, D hidden, C classes.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def soft_labels(student_BC: Tensor, teacher_BC: Tensor, temperature: float) -> Tensor:
    """T^2 KL(p_teacher || p_student) of each example (B,), with p = softmax(logits / T).

    T^2 keeps the gradient's size independent of T. The gradient is the soft cross-entropy's; unlike that, the
    divergence is 0 at equality.

    References: arXiv:1503.02531, section 2.
    """
    teacher_log = functional.log_softmax(teacher_BC / temperature, dim=-1)
    student_log = functional.log_softmax(student_BC / temperature, dim=-1)
    divergence: Tensor = (teacher_log.exp() * (teacher_log - student_log)).sum(dim=-1)
    return temperature**2 * divergence


def hidden_states(student_BLD: Tensor, teacher_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean of (student - teacher)^2 over the hidden units of each example's real tokens (B,).

    `mask_BL` is 1 at real tokens. An example without any has a loss of 0. The student's states have been projected to
    the teacher's width.

    References: arXiv:1909.10351, eq. 8 (there without the mask).
    """
    mask_BL = mask_BL.to(student_BLD.dtype)
    per_token_BL = (student_BLD - teacher_BLD).square().mean(dim=-1)
    total: Tensor = (per_token_BL * mask_BL).sum(dim=1)
    return total / mask_BL.sum(dim=1).clamp(min=1)


def hard_labels(student_BC: Tensor, labels_B: Tensor, smoothing: float = 0.0) -> Tensor:
    """-log p_student(label) of each example (B,); with smoothing s, against (1 - s) * label + s / C.

    References: arXiv:1512.00567, section 7.
    """
    return functional.cross_entropy(student_BC, labels_B, reduction="none", label_smoothing=smoothing)
