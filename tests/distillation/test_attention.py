import math

import pytest
import torch

from distillation.attention import (
    attention_cross_entropy,
    attention_kl,
    attention_mean_mse,
    attention_mse,
    attention_summed_mse,
)

MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 0]])


def softmax_of(scores: torch.Tensor) -> torch.Tensor:
    keys = MASK.bool()[:, None, None, :]
    return scores.masked_fill(~keys, -1e30).softmax(dim=-1).masked_fill(~keys, 0.0)


def random_scores(seed: int, heads: int = 2) -> torch.Tensor:
    return torch.randn(3, heads, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_maps(seed: int, heads: int = 2) -> torch.Tensor:
    return softmax_of(random_scores(seed, heads))


def tokens(b: int) -> list[int]:
    return [t for t in range(4) if MASK[b, t]]


def test_attention_mse_is_the_written_formula():
    student, teacher = random_maps(1), random_maps(2)
    expected = []
    for b in range(3):
        squares = [
            (student[b, h, q, k] - teacher[b, h, q, k]).item() ** 2
            for h in range(2)
            for q in tokens(b)
            for k in tokens(b)
        ]
        expected.append(sum(squares) / len(squares))
    assert attention_mse(student, teacher, MASK).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("student_heads", "teacher_heads"), [(2, 2), (2, 3), (4, 1)])
def test_summed_and_mean_maps_are_the_written_formulas(student_heads, teacher_heads):
    student, teacher = random_maps(1, student_heads), random_maps(2, teacher_heads)
    summed, averaged = [], []
    for b in range(3):
        of_sums, of_means = [], []
        for q in tokens(b):
            for k in tokens(b):
                s = sum(student[b, h, q, k].item() for h in range(student_heads))
                t = sum(teacher[b, h, q, k].item() for h in range(teacher_heads))
                of_sums.append((s - t) ** 2)
                of_means.append((s / student_heads - t / teacher_heads) ** 2)
        summed.append(sum(of_sums) / len(of_sums))
        averaged.append(sum(of_means) / len(of_means))
    assert attention_summed_mse(student, teacher, MASK).tolist() == pytest.approx(summed, rel=1e-12)
    assert attention_mean_mse(student, teacher, MASK).tolist() == pytest.approx(averaged, rel=1e-12)


def test_the_sums_of_unequal_heads_keep_the_floor_that_is_documented():
    student, teacher = random_maps(1, 2), random_maps(2, 5)
    floor = torch.tensor([(3 / n) ** 2 for n in (3, 4, 2)], dtype=torch.float64)
    assert (attention_summed_mse(student, teacher, MASK) >= floor).all()
    # Attention of every head spread alike is the same knowledge, and reaches it.
    alike = softmax_of(torch.zeros(3, 5, 4, 4, dtype=torch.float64))
    assert torch.allclose(attention_summed_mse(alike[:, :2], alike, MASK), floor)
    assert torch.allclose(attention_mean_mse(alike[:, :2], alike, MASK), torch.zeros(3, dtype=torch.float64))


def test_sums_and_means_do_not_depend_on_the_order_of_heads():
    student, teacher = random_maps(1, 3), random_maps(2, 2)
    for loss in (attention_summed_mse, attention_mean_mse):
        assert torch.allclose(loss(student.flip(1), teacher, MASK), loss(student, teacher, MASK))


def test_kl_and_cross_entropy_are_the_written_formulas_and_differ_by_the_entropy():
    student, teacher = random_maps(1), random_maps(2)
    divergences, crosses = [], []
    for b in range(3):
        divergence, cross = 0.0, 0.0
        for h in range(2):
            for q in tokens(b):
                for k in tokens(b):
                    p, r = teacher[b, h, q, k].item(), student[b, h, q, k].item()
                    divergence += p * math.log(p / r)
                    cross -= p * math.log(r)
        divergences.append(divergence / 2 / len(tokens(b)))
        crosses.append(cross / 2 / len(tokens(b)))
    assert attention_kl(student, teacher, MASK).tolist() == pytest.approx(divergences, rel=1e-12)
    assert attention_cross_entropy(student, teacher, MASK).tolist() == pytest.approx(crosses, rel=1e-12)


@pytest.mark.parametrize("loss", [attention_kl, attention_cross_entropy])
def test_rows_pull_the_scores_towards_the_teacher(loss):
    scores, teacher = random_scores(1).requires_grad_(), random_maps(2)
    loss(softmax_of(scores), teacher, MASK).sum().backward()
    # d/ds KL(p || softmax(s)) = softmax(s) - p, over heads and real rows
    rows = MASK[:, None, :, None] / MASK.sum(dim=1)[:, None, None, None] / 2
    expected = (softmax_of(scores.detach()) - teacher) * rows
    assert torch.allclose(scores.grad, expected)


@pytest.mark.parametrize(
    "loss", [attention_mse, attention_summed_mse, attention_mean_mse, attention_kl, attention_cross_entropy]
)
def test_gradient_through_the_softmax_is_that_of_the_formula(loss):
    teacher = random_maps(2)
    assert torch.autograd.gradcheck(
        lambda scores: loss(softmax_of(scores), teacher, MASK), random_scores(1).requires_grad_()
    )


@pytest.mark.parametrize("loss", [attention_kl, attention_cross_entropy])
def test_a_probability_that_has_become_0_gives_no_infinity(loss):
    student, teacher = random_maps(1).float(), random_maps(2).float()
    student[1, 0, 0] = torch.tensor([1.0, 0.0, 1e-20, 0.0])
    teacher[1, 1, 0] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    student.requires_grad_()
    value = loss(student, teacher, MASK)
    value.sum().backward()
    assert value.isfinite().all()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("loss", [attention_mse, attention_kl, attention_cross_entropy])
def test_head_by_head_needs_as_many_heads(loss):
    with pytest.raises(ValueError, match="3 student heads and 2 teacher heads"):
        loss(random_maps(1, 3), random_maps(2, 2), MASK)
