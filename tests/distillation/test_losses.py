import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distillation.losses import (
    hard_labels,
    logits_cross_entropy,
    logits_kl,
    logits_mse,
    values_mse,
)

LOGITS = st.lists(st.floats(-20, 20), min_size=3, max_size=3)


def slow_soft_labels(student: list[float], teacher: list[float], temperature: float) -> float:
    def softmax(logits: list[float]) -> list[float]:
        exponents = [math.exp(value / temperature) for value in logits]
        return [value / sum(exponents) for value in exponents]

    p, q = softmax(teacher), softmax(student)
    return temperature**2 * sum(p_c * math.log(p_c / q_c) for p_c, q_c in zip(p, q, strict=True))


@given(student=LOGITS, teacher=LOGITS, temperature=st.floats(0.5, 8))
def test_soft_labels_are_the_written_formula(student, teacher, temperature):
    fast = logits_kl(
        torch.tensor([student], dtype=torch.float64), torch.tensor([teacher], dtype=torch.float64), temperature
    )
    assert fast.shape == (1,)
    assert fast.item() == pytest.approx(slow_soft_labels(student, teacher, temperature), rel=1e-6, abs=1e-9)


@given(student=LOGITS, teacher=LOGITS)
def test_soft_labels_are_never_negative_and_zero_at_equality(student, teacher):
    of_student, of_teacher = torch.tensor([student]).double(), torch.tensor([teacher]).double()
    assert logits_kl(of_student, of_teacher, 2.0).item() >= -1e-12
    assert logits_kl(of_student, of_student, 2.0).item() == pytest.approx(0, abs=1e-12)


def test_soft_labels_ignore_a_constant_added_to_all_logits():
    student, teacher = torch.randn(4, 5), torch.randn(4, 5)
    assert torch.allclose(logits_kl(student + 3, teacher - 2, 2.0), logits_kl(student, teacher, 2.0), atol=1e-5)


def test_soft_labels_pull_towards_the_teacher_and_not_the_other_way_round():
    student = torch.zeros(1, 2, requires_grad=True)
    teacher = torch.tensor([[3.0, 0.0]], requires_grad=True)
    logits_kl(student, teacher.detach(), 1.0).sum().backward()
    assert student.grad is not None
    # d/ds KL(p || softmax(s)) = softmax(s) - p
    assert torch.allclose(student.grad, torch.tensor([[0.5, 0.5]]) - torch.softmax(teacher.detach(), -1))


def test_hard_labels_with_smoothing_are_the_written_formula():
    logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    log_p = torch.log_softmax(logits, -1)
    plain = [-log_p[b, labels[b]].item() for b in range(4)]
    assert hard_labels(logits, labels).tolist() == pytest.approx(plain, rel=1e-5)
    smooth = [0.9 * plain[b] - 0.1 / 3 * log_p[b].sum().item() for b in range(4)]
    assert hard_labels(logits, labels, 0.1).tolist() == pytest.approx(smooth, rel=1e-5)


@given(student=LOGITS, teacher=LOGITS, temperature=st.floats(0.5, 8))
def test_cross_entropy_is_the_divergence_and_the_teachers_entropy(student, teacher, temperature):
    of_student, of_teacher = torch.tensor([student]).double(), torch.tensor([teacher]).double()
    exponents = [math.exp(value / temperature) for value in teacher]
    entropy = -sum(e / sum(exponents) * math.log(e / sum(exponents)) for e in exponents)
    expected = slow_soft_labels(student, teacher, temperature) + temperature**2 * entropy
    fast = logits_cross_entropy(of_student, of_teacher, temperature)
    assert fast.tolist() == pytest.approx([expected], rel=1e-6, abs=1e-9)


def test_cross_entropy_has_the_gradient_of_the_divergence():
    teacher = torch.randn(4, 5)
    gradients = []
    for loss in (logits_kl, logits_cross_entropy):
        student = torch.linspace(-2, 2, 20).reshape(4, 5).requires_grad_()
        loss(student, teacher, 3.0).sum().backward()
        gradients.append(student.grad)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_logits_mse_is_the_mean_square_over_classes_of_each_row():
    student, teacher = torch.randn(4, 3), torch.randn(4, 3)
    expected = [sum((student[n, c] - teacher[n, c]).item() ** 2 for c in range(3)) / 3 for n in range(4)]
    assert logits_mse(student, teacher).tolist() == pytest.approx(expected, rel=1e-5)
    assert logits_mse(student, student).tolist() == [0.0] * 4


def test_values_mse_is_the_square_of_each_row():
    logits, values = torch.randn(4, 1), torch.tensor([1, 2, 3, 4])
    expected = [(logits[n, 0].item() - values[n].item()) ** 2 for n in range(4)]
    assert values_mse(logits, values).tolist() == pytest.approx(expected, rel=1e-5)
    assert values_mse(logits, values.double()).dtype == torch.float32


@pytest.mark.parametrize("loss", [logits_kl, logits_cross_entropy, lambda s, t, _: logits_mse(s, t)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 8.0])
def test_classes_that_are_ruled_out_make_no_nan(loss, dtype, temperature):
    student, teacher = torch.randn(3, 4), torch.randn(3, 4)
    student[0, :2] = teacher[0, :2] = -1e4
    student[1, 0] = -1e4
    teacher[2, 0] = -1e4
    student = student.to(dtype).requires_grad_()
    value = loss(student, teacher.to(dtype), temperature)
    value.sum().backward()
    assert value.dtype == torch.float32
    assert value.isfinite().all()
    assert (value >= 0).all()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_classes_that_both_rule_out_are_as_good_as_absent():
    student, teacher = torch.randn(3, 4), torch.randn(3, 4)
    ruled_out = torch.full((3, 2), -1e4)
    for loss in (logits_kl, logits_cross_entropy):
        without = loss(student, teacher, 2.0)
        assert torch.allclose(
            loss(torch.cat((student, ruled_out), 1), torch.cat((teacher, ruled_out), 1), 2.0), without
        )


def test_hard_labels_of_half_precision_are_finite_with_classes_ruled_out():
    logits = torch.tensor([[3.0, -1e4, 1.0], [-1e4, -1e4, 2.0]], dtype=torch.float16).requires_grad_()
    value = hard_labels(logits, torch.tensor([0, 2]))
    value.sum().backward()
    assert value.isfinite().all()
    assert value[1] == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
