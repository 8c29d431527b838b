import math

import pytest
import torch

from distillation.states import VARIANCE_FLOOR, feature_map, hidden_cosine, hidden_mse, pkd

MASK = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 1, 1]])


def random_pair(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(3, 3, 4, generator=generator, dtype=torch.float64) for _ in range(2))  # type: ignore[return-value]


def slow(of_token, student, teacher) -> list[float]:
    """The mean of a formula over each example's real tokens."""
    expected = []
    for b in range(len(MASK)):
        values = [of_token(student[b, t].tolist(), teacher[b, t].tolist()) for t in range(3) if MASK[b, t]]
        expected.append(sum(values) / len(values))
    return expected


def length(vector: list[float]) -> float:
    return math.sqrt(sum(value**2 for value in vector))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def variance(values: list[float]) -> float:
    return mean([(value - mean(values)) ** 2 for value in values])


def test_hidden_mse_is_the_written_formula():
    student, teacher = random_pair()
    expected = slow(lambda s, t: mean([(a - b) ** 2 for a, b in zip(s, t, strict=True)]), student, teacher)
    assert hidden_mse(student, teacher, MASK).tolist() == pytest.approx(expected, rel=1e-12)


def test_hidden_cosine_is_the_written_formula():
    student, teacher = random_pair()
    expected = slow(
        lambda s, t: 1 - sum(a * b for a, b in zip(s, t, strict=True)) / length(s) / length(t), student, teacher
    )
    assert hidden_cosine(student, teacher, MASK).tolist() == pytest.approx(expected, rel=1e-12)


def test_hidden_cosine_reads_directions_alone_and_ends_at_2():
    student, teacher = random_pair()
    expected = hidden_cosine(student, teacher, MASK)
    assert torch.allclose(hidden_cosine(3 * student, 0.1 * teacher, MASK), expected)
    assert torch.allclose(hidden_cosine(-student, student, MASK), torch.full((3,), 2.0, dtype=torch.float64))


def test_hidden_cosine_is_exactly_0_at_equality_in_float32():
    states = torch.randn(3, 3, 4)
    assert hidden_cosine(states, states.clone(), MASK).tolist() == [0.0, 0.0, 0.0]


def test_pkd_compares_the_directions_of_the_first_tokens_alone():
    student, teacher = random_pair()
    expected = []
    for b in range(2):
        s, t = student[b, 0].tolist(), teacher[b, 0].tolist()
        expected.append(sum((x / length(s) - y / length(t)) ** 2 for x, y in zip(s, t, strict=True)))
    assert pkd(student, teacher, MASK).tolist() == pytest.approx([*expected, 0.0], rel=1e-12)
    changed = student.clone()
    changed[:, 1:] += 1
    changed[:, 0] *= 5
    assert torch.allclose(pkd(changed, teacher, MASK), pkd(student, teacher, MASK))


def test_feature_map_is_the_written_formula():
    student, teacher = random_pair()

    def of_token(s: list[float], t: list[float]) -> float:
        def norm(x: list[float]) -> list[float]:
            return [(value - mean(x)) / math.sqrt(variance(x) + VARIANCE_FLOOR) for value in x]

        maps = mean([(a - b) ** 2 for a, b in zip(norm(s), norm(t), strict=True)])
        return maps + 7 * (mean(s) - mean(t)) ** 2 + 3 * abs(variance(s) - variance(t))

    expected = slow(of_token, student, teacher)
    assert feature_map(student, teacher, MASK, mean_weight=7, variance_weight=3).tolist() == pytest.approx(
        expected, rel=1e-12
    )


def test_feature_map_without_the_statistics_ignores_shift_and_scale():
    student, teacher = random_pair()

    def maps_alone(states: torch.Tensor) -> torch.Tensor:
        return feature_map(states, teacher, MASK, mean_weight=0, variance_weight=0)

    assert torch.allclose(maps_alone(4 * student - 3), maps_alone(student), atol=1e-4)
    shifted = feature_map(student + 0.5, teacher, MASK, mean_weight=1, variance_weight=0) - maps_alone(student)
    means = (student.mean(dim=-1) + 0.5 - teacher.mean(dim=-1)).square()
    assert torch.allclose(shifted, (means * MASK).sum(dim=1) / MASK.sum(dim=1))
