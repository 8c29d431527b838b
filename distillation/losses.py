"""What a student loses against its teacher in its outputs: one value per row of logits.

Like the losses of `states`, `attention` and `relations`: pure functions of tensors that compute at least in float32;
gradients flow to the student's arguments. Shapes: N rows (texts, tokens or masked words), C classes, B batch,
L length, D hidden.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from distillation.padding import widened


def logits_kl(student_NC: Tensor, teacher_NC: Tensor, temperature: float) -> Tensor:
    """T^2 KL(p_teacher || p_student) of each row (N,), with p = softmax(logits / T).

    T^2 keeps the gradient's size independent of T. The gradient is the soft cross-entropy's; unlike that, the
    divergence is 0 at equality. Logits of -1e4 and the like rule a class out; they must be finite.

    References: arXiv:1503.02531, section 2.
    """
    teacher_log = functional.log_softmax(widened(teacher_NC) / temperature, dim=-1)
    student_log = functional.log_softmax(widened(student_NC) / temperature, dim=-1)
    divergence: Tensor = (teacher_log.exp() * (teacher_log - student_log)).sum(dim=-1)
    return temperature**2 * divergence


def logits_cross_entropy(student_NC: Tensor, teacher_NC: Tensor, temperature: float) -> Tensor:
    """-T^2 sum_c p_teacher(c) log p_student(c) of each row (N,), with p = softmax(logits / T).

    More than `logits_kl` by T^2 times the teacher's entropy.

    References: arXiv:1503.02531, section 2.
    """
    teacher_NC = functional.softmax(widened(teacher_NC) / temperature, dim=-1)
    student_log = functional.log_softmax(widened(student_NC) / temperature, dim=-1)
    entropy: Tensor = -(teacher_NC * student_log).sum(dim=-1)
    return temperature**2 * entropy


def logits_mse(student_NC: Tensor, teacher_NC: Tensor) -> Tensor:
    """Mean of (student - teacher)^2 over the classes of each row (N,).

    A class that is ruled out by -1e4 counts like any other: rule it out for both.
    """
    return (widened(student_NC) - widened(teacher_NC)).square().mean(dim=-1)


def hard_labels(logits_NC: Tensor, labels_N: Tensor, smoothing: float = 0.0) -> Tensor:
    """-log p(label) of each row (N,); with smoothing s, against (1 - s) * label + s / C.

    Smoothing asks for s / C of every class, also of one that its logit rules out: do not combine the two.

    References: arXiv:1512.00567, section 7.
    """
    return functional.cross_entropy(widened(logits_NC), labels_N, reduction="none", label_smoothing=smoothing)


def values_mse(logits_N1: Tensor, values_N: Tensor) -> Tensor:
    """(logit - value)^2 of each row (N,): labels, or a teacher's logits, of a regression."""
    logits_N = widened(logits_N1)[:, 0]
    return (logits_N - values_N.to(logits_N.dtype)).square()
