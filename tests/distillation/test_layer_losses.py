"""What holds for every loss of a layer: of hidden states, attention maps and relations."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from distillation.attention import (
    attention_cross_entropy,
    attention_kl,
    attention_mean_mse,
    attention_mse,
    attention_summed_mse,
)
from distillation.relations import feature_gram, relations_kl, token_gram
from distillation.states import feature_map, hidden_cosine, hidden_mse, pkd

MASK = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]])
B, L = MASK.shape


def random_states(seed: int, mask: Tensor = MASK, scale: float = 1.0) -> Tensor:
    """(B, L, D)"""
    return torch.randn(*mask.shape, 6, generator=torch.Generator().manual_seed(seed)) * scale


def random_heads(seed: int, mask: Tensor = MASK, scale: float = 1.0) -> Tensor:
    """(B, H, L, K)"""
    return torch.randn(len(mask), 2, mask.shape[1], 4, generator=torch.Generator().manual_seed(seed)) * scale


def random_maps(seed: int, mask: Tensor = MASK, scale: float = 1.0) -> Tensor:
    """(B, H, L, L), as an encoder computes them."""
    length = mask.shape[1]
    scores = torch.randn(len(mask), 2, length, length, generator=torch.Generator().manual_seed(seed)) * scale
    keys = mask.bool()[:, None, None, :]
    return scores.masked_fill(~keys, -1e30).softmax(dim=-1).masked_fill(~keys, 0.0)


@dataclass(frozen=True)
class Case:
    loss: Callable[..., Tensor]
    inputs: Callable[..., Tensor]


CASES = [
    Case(hidden_mse, random_states),
    Case(hidden_cosine, random_states),
    Case(pkd, random_states),
    Case(feature_map, random_states),
    Case(attention_mse, random_maps),
    Case(attention_summed_mse, random_maps),
    Case(attention_mean_mse, random_maps),
    Case(attention_kl, random_maps),
    Case(attention_cross_entropy, random_maps),
    Case(relations_kl, random_heads),
    Case(token_gram, random_states),
    Case(feature_gram, random_states),
]


def name_of(case: Case) -> str:
    return case.loss.__name__


EVERY_LOSS = pytest.mark.parametrize("case", CASES, ids=name_of)


def loss_and_gradient(case: Case, student: Tensor, teacher: Tensor, mask: Tensor = MASK) -> tuple[Tensor, Tensor]:
    student = student.clone().requires_grad_()
    loss = case.loss(student, teacher, mask)
    loss.sum().backward()
    assert student.grad is not None
    return loss.detach(), student.grad


def at_padding(case: Case, tensor: Tensor) -> Tensor:
    """True at the entries that belong to padding."""
    padding = ~MASK.bool()
    if case.inputs is random_states:
        return padding[:, :, None].expand_as(tensor)
    if case.inputs is random_heads:
        return padding[:, None, :, None].expand_as(tensor)
    return (padding[:, None, :, None] | padding[:, None, None, :]).expand_as(tensor)


@EVERY_LOSS
class TestEveryLoss:
    def test_is_one_finite_value_of_at_least_0_per_example(self, case):
        for seed in range(20):
            loss = case.loss(case.inputs(seed), case.inputs(seed + 100), MASK)
            assert loss.shape == (B,)
            assert loss.isfinite().all()
            assert (loss >= -1e-6).all()
            assert loss[1] > 1e-3

    @pytest.mark.parametrize("rubbish", [7.5, float("inf"), float("nan")])
    def test_never_reads_padding(self, case, rubbish):
        student, teacher = case.inputs(1), case.inputs(2)
        loss, gradient = loss_and_gradient(case, student, teacher)
        padding = at_padding(case, student)
        for changed_student, changed_teacher in (
            (student.masked_fill(padding, rubbish), teacher),
            (student, teacher.masked_fill(padding, rubbish)),
        ):
            other_loss, other_gradient = loss_and_gradient(case, changed_student, changed_teacher)
            assert torch.equal(other_loss, loss)
            assert torch.equal(other_gradient, gradient)
            assert not other_gradient[padding].any()

    def test_of_a_padded_text_is_that_of_the_text(self, case):
        student, teacher = case.inputs(1), case.inputs(2)

        def cut(tensor: Tensor) -> Tensor:
            if case.inputs is random_states:
                return tensor[:1, :3]
            return tensor[:1, :, :3] if case.inputs is random_heads else tensor[:1, :, :3, :3]

        alone = case.loss(cut(student), cut(teacher), MASK[:1, :3])
        assert alone.item() == pytest.approx(case.loss(student, teacher, MASK)[0].item(), rel=1e-5)

    def test_of_a_text_without_tokens_is_0_with_a_finite_gradient(self, case):
        loss, gradient = loss_and_gradient(case, case.inputs(1), case.inputs(2))
        assert loss[2] == 0
        assert gradient.isfinite().all()
        assert not gradient[2].any()

    def test_gradient_depends_on_the_teacher(self, case):
        student = case.inputs(1)
        _, first = loss_and_gradient(case, student, case.inputs(2))
        _, second = loss_and_gradient(case, student, case.inputs(3))
        assert first[1].abs().max() > 1e-4
        assert not torch.allclose(first[1], second[1], rtol=1e-3)

    def test_falls_along_its_gradient(self, case):
        student, teacher = case.inputs(1), case.inputs(2)
        loss, gradient = loss_and_gradient(case, student, teacher)
        step = 1e-3 / gradient.abs().max()
        assert case.loss(student - step * gradient, teacher, MASK).sum() < loss.sum()

    def test_mask_may_be_boolean_or_floating(self, case):
        student, teacher = case.inputs(1), case.inputs(2)
        for mask in (MASK.bool(), MASK.float()):
            assert torch.equal(case.loss(student, teacher, mask), case.loss(student, teacher, MASK))

    def test_changes_none_of_its_arguments(self, case):
        student, teacher, mask = case.inputs(1), case.inputs(2), MASK.clone()
        loss_and_gradient(case, student, teacher, mask)
        assert torch.equal(student, case.inputs(1))
        assert torch.equal(teacher, case.inputs(2))
        assert torch.equal(mask, MASK)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_of_half_precision_is_computed_in_float32(self, case, dtype):
        # Squares of a thousand overflow in float16.
        scale = 1.0 if case.inputs is random_maps else 1e3
        student, teacher = case.inputs(1, scale=scale).to(dtype), case.inputs(2, scale=scale).to(dtype)
        expected, _ = loss_and_gradient(case, student.float(), teacher.float())
        with torch.autocast("cpu", dtype=dtype):
            loss = case.loss(student.clone().requires_grad_(), teacher, MASK)
        assert loss.dtype == torch.float32
        assert loss.isfinite().all()
        assert loss.tolist() == pytest.approx(expected.tolist(), rel=1e-5)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_gradient_in_half_precision_is_finite(self, case, dtype):
        for scale in (1e-3, 1.0, 4.0):
            student, teacher = case.inputs(1, scale=scale).to(dtype), case.inputs(2, scale=scale).to(dtype)
            _, gradient = loss_and_gradient(case, student, teacher)
            assert gradient.dtype == dtype
            assert gradient.isfinite().all()

    def test_of_states_of_zero_has_a_finite_gradient(self, case):
        for student, teacher in (
            (torch.zeros_like(case.inputs(1)), case.inputs(2)),
            (case.inputs(1), torch.zeros_like(case.inputs(2))),
        ):
            loss, gradient = loss_and_gradient(case, student, teacher)
            assert loss.isfinite().all()
            assert gradient.isfinite().all()


@pytest.mark.parametrize("case", [case for case in CASES if case.loss is not attention_cross_entropy], ids=name_of)
def test_a_loss_is_0_at_equality(case):
    same = case.inputs(1)
    assert case.loss(same, same.clone(), MASK).tolist() == pytest.approx([0.0] * B, abs=1e-7)


# A map's gradient is only that of the scores after a softmax; tests of attention ask there.
@pytest.mark.parametrize("case", [case for case in CASES if case.inputs is not random_maps], ids=name_of)
def test_a_gradient_is_that_of_the_formula_and_0_at_equality(case):
    same, teacher = case.inputs(1), case.inputs(2).double()
    assert loss_and_gradient(case, same, same.clone())[1].abs().max() < 1e-6
    assert torch.autograd.gradcheck(
        lambda student: case.loss(student, teacher, MASK), case.inputs(1).double().requires_grad_()
    )
