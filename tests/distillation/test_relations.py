import math

import pytest
import torch

from distillation import relations
from distillation.attention import attention_kl
from distillation.relations import feature_gram, relation_heads_that_fit, relations_kl, token_gram

MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 0]])


def random_tensor(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tokens(b: int) -> list[int]:
    return [t for t in range(4) if MASK[b, t]]


def dot(left, right) -> float:
    return sum(x.item() * y.item() for x, y in zip(left, right, strict=True))


def slow_relations(states: torch.Tensor, b: int, head: int, heads: int, query: int) -> list[float]:
    """softmax(X X' / sqrt(d)) of one relation head's row over the real keys, of states (B, H, L, K)."""
    side_by_side = [torch.cat([states[b, h, t] for h in range(states.shape[1])]) for t in range(4)]
    size = len(side_by_side[0]) // heads
    part = [vector[head * size : (head + 1) * size] for vector in side_by_side]
    exponents = [math.exp(dot(part[query], part[key]) / math.sqrt(size)) for key in tokens(b)]
    return [value / sum(exponents) for value in exponents]


# Heads x head size of student and teacher, relation heads.
@pytest.mark.parametrize(
    ("student_heads", "teacher_heads", "heads"), [((2, 3), (2, 3), 2), ((2, 6), (3, 8), 4), ((3, 4), (2, 3), 1)]
)
def test_relations_are_the_written_formula(student_heads, teacher_heads, heads):
    student = random_tensor(1, 3, student_heads[0], 4, student_heads[1])
    teacher = random_tensor(2, 3, teacher_heads[0], 4, teacher_heads[1])
    expected = []
    for b in range(3):
        total = 0.0
        for head in range(heads):
            for query in tokens(b):
                p = slow_relations(teacher, b, head, heads, query)
                q = slow_relations(student, b, head, heads, query)
                total += sum(p_k * math.log(p_k / q_k) for p_k, q_k in zip(p, q, strict=True))
        expected.append(total / heads / len(tokens(b)))
    assert relations_kl(student, teacher, MASK, heads).tolist() == pytest.approx(expected, rel=1e-10)


def test_with_as_many_relation_heads_as_heads_no_unit_changes_its_head():
    student, teacher = random_tensor(1, 3, 2, 4, 3), random_tensor(2, 3, 2, 4, 3)
    whole = relations_kl(student, teacher, MASK, 2)
    alone = [relations_kl(student[:, h : h + 1], teacher[:, h : h + 1], MASK, 1) for h in range(2)]
    assert torch.allclose(whole, (alone[0] + alone[1]) / 2)


def test_relations_of_queries_to_keys_are_the_attention_maps_where_head_counts_agree():
    queries, keys = random_tensor(1, 3, 2, 4, 3), random_tensor(2, 3, 2, 4, 3)
    others, other_keys = random_tensor(3, 3, 2, 4, 5), random_tensor(4, 3, 2, 4, 5)

    def maps(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        scores = left @ right.transpose(2, 3) / math.sqrt(left.shape[-1])
        return scores.masked_fill(~MASK.bool()[:, None, None, :], -math.inf).softmax(dim=-1)

    related = relations_kl(queries, others, MASK, 2, keys=(keys, other_keys))
    assert torch.allclose(related, attention_kl(maps(queries, keys), maps(others, other_keys), MASK))


def test_relations_ignore_a_rotation_within_a_relation_head():
    student, teacher = random_tensor(1, 3, 2, 4, 3), random_tensor(2, 3, 2, 4, 3)
    rotation = torch.linalg.qr(random_tensor(3, 3, 3)).Q
    assert torch.allclose(relations_kl(student @ rotation, teacher, MASK, 2), relations_kl(student, teacher, MASK, 2))


def test_relations_in_chunks_have_the_same_value_and_gradient(monkeypatch):
    teacher = random_tensor(2, 3, 2, 4, 6)
    results = []
    for chunk in (relations.CHUNK, 2 * MASK.numel() * 4, 1):  # all four relation heads at once, three, one
        monkeypatch.setattr(relations, "CHUNK", chunk)
        student = random_tensor(1, 3, 2, 4, 6).requires_grad_()
        loss = relations_kl(student, teacher, MASK, 4)
        loss.sum().backward()
        results.append((loss.detach(), student.grad))
    for loss, gradient in results[1:]:
        assert torch.allclose(loss, results[0][0])
        assert torch.allclose(gradient, results[0][1])
    with torch.no_grad():
        assert torch.allclose(relations_kl(random_tensor(1, 3, 2, 4, 6), teacher, MASK, 4), results[0][0])


def test_relations_that_saturate_stay_finite():
    student, teacher = random_tensor(1, 3, 2, 4, 4).float() * 300, random_tensor(2, 3, 2, 4, 4).float() * 300
    student.requires_grad_()
    loss = relations_kl(student, teacher, MASK, 2)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize(
    ("student", "teacher", "heads"),
    [(384, 768, 48), (312, 768, 24), (1024, 1024, 64), (128, 128, 8), (96, 512, 32), (7, 768, 1), (12, 8, 1)],
)
def test_default_relation_heads_divide_both_and_leave_the_teacher_16_units(student, teacher, heads):
    assert relation_heads_that_fit(student, teacher) == heads
    assert student % heads == teacher % heads == 0


def test_the_default_is_the_number_that_fits():
    student, teacher = random_tensor(1, 3, 2, 4, 16), random_tensor(2, 3, 4, 4, 24)
    assert torch.equal(relations_kl(student, teacher, MASK), relations_kl(student, teacher, MASK, 4))


@pytest.mark.parametrize(
    ("heads", "named"), [(4, "6 units of the student's"), (3, "8 units of the teacher's"), (0, "0 ")]
)
def test_relation_heads_that_do_not_divide_are_refused(heads, named):
    with pytest.raises(ValueError, match=named):
        relations_kl(random_tensor(1, 3, 2, 4, 3), random_tensor(2, 3, 2, 4, 4), MASK, heads)


@pytest.mark.parametrize(("student_size", "teacher_size"), [(3, 3), (3, 5)])
def test_token_gram_is_the_written_formula(student_size, teacher_size):
    student, teacher = random_tensor(1, 3, 4, student_size), random_tensor(2, 3, 4, teacher_size)
    expected = []
    for b in range(3):
        squares = [
            (dot(student[b, i], student[b, j]) / student_size - dot(teacher[b, i], teacher[b, j]) / teacher_size) ** 2
            for i in tokens(b)
            for j in tokens(b)
        ]
        expected.append(sum(squares) / len(squares))
    assert token_gram(student, teacher, MASK).tolist() == pytest.approx(expected, rel=1e-10)


def test_token_gram_is_the_discrepancy_of_the_units_under_a_squared_product():
    student, teacher = random_tensor(1, 1, 4, 3)[0], random_tensor(2, 1, 4, 5)[0]

    def kernel(left: torch.Tensor, right: torch.Tensor) -> float:
        pairs = [dot(f, g) ** 2 for f in left.T for g in right.T]
        return sum(pairs) / len(pairs)

    discrepancy = kernel(student, student) + kernel(teacher, teacher) - 2 * kernel(student, teacher)
    loss = token_gram(student[None], teacher[None], torch.ones(1, 4))
    assert loss.item() == pytest.approx(discrepancy / 4**2, rel=1e-10)


def test_token_gram_ignores_rotations_and_a_repeated_width():
    student, teacher = random_tensor(1, 3, 4, 6), random_tensor(2, 3, 4, 6)
    rotation = torch.linalg.qr(random_tensor(3, 6, 6)).Q
    expected = token_gram(student, teacher, MASK)
    assert torch.allclose(token_gram(student @ rotation, teacher, MASK), expected)
    assert torch.allclose(token_gram(student, torch.cat((teacher, teacher), dim=2), MASK), expected)


def test_feature_gram_is_the_written_formula():
    student, teacher = random_tensor(1, 3, 4, 3), random_tensor(2, 3, 4, 3)

    def gram(states: torch.Tensor, b: int, i: int, j: int) -> float:
        return sum(states[b, t, i].item() * states[b, t, j].item() for t in tokens(b)) / len(tokens(b))

    expected = [
        sum((gram(student, b, i, j) - gram(teacher, b, i, j)) ** 2 for i in range(3) for j in range(3)) / 9
        for b in range(3)
    ]
    assert feature_gram(student, teacher, MASK).tolist() == pytest.approx(expected, rel=1e-10)


def test_feature_gram_ignores_the_order_of_tokens_and_a_text_said_twice():
    student, teacher, mask = random_tensor(1, 2, 4, 3), random_tensor(2, 2, 4, 3), torch.ones(2, 4)
    expected = feature_gram(student, teacher, mask)
    assert torch.allclose(feature_gram(student.flip(1), teacher, mask), expected)
    twice = [torch.cat((each, each), dim=1) for each in (student, teacher, mask)]
    assert torch.allclose(feature_gram(*twice), expected)


def test_relations_make_no_nan_on_their_way_back():
    student, teacher = random_tensor(1, 4, 2, 4, 3).requires_grad_(), random_tensor(2, 4, 2, 4, 3)
    mask = torch.cat((MASK, torch.zeros(1, 4)))
    with torch.autograd.set_detect_anomaly(True, check_nan=True):
        relations_kl(student, teacher, mask, 2).sum().backward()
    assert student.grad.isfinite().all()
