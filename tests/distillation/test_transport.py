import itertools
import os
import subprocess
import sys

import pytest
import torch
from scipy.optimize import linprog

from distillation.errors import DistillationError, DivergedError
from distillation.transport import emd, transport


def random_costs(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_minimum(costs: torch.Tensor) -> float:
    """The same linear programme, written out for a general solver."""
    teachers, students = costs.shape
    rows = [[float(t == row) for t in range(teachers) for _ in range(students)] for row in range(teachers)]
    columns = [[float(s == column) for _ in range(teachers) for s in range(students)] for column in range(students)]
    shares = [1 / teachers] * teachers + [1 / students] * students
    return float(linprog(costs.flatten().numpy(), A_eq=rows + columns, b_eq=shares).fun)


@pytest.mark.parametrize(("teachers", "students"), [(12, 4), (12, 5), (6, 6), (3, 7), (1, 3), (4, 1), (1, 1)])
def test_flow_gives_every_layer_its_share_at_the_least_cost(teachers, students):
    for seed in range(5):
        costs = random_costs(seed, teachers, students)
        flow = transport(costs)
        assert (flow >= 0).all()
        assert flow.sum(dim=1).tolist() == pytest.approx([1 / teachers] * teachers)
        assert flow.sum(dim=0).tolist() == pytest.approx([1 / students] * students)
        assert (flow * costs).sum().item() == pytest.approx(slow_minimum(costs), rel=1e-9)
        assert emd(costs).item() == pytest.approx(slow_minimum(costs), rel=1e-9)


def test_as_many_layers_are_matched_one_to_one():
    costs = random_costs(3, 4, 4)
    best = min(itertools.permutations(range(4)), key=lambda order: sum(costs[t, s] for t, s in enumerate(order)))
    assert transport(costs).argmax(dim=1).tolist() == list(best)


def test_flow_does_not_depend_on_the_scale_of_the_costs():
    costs = random_costs(1, 6, 4)
    for scale in (1e-30, 1e30):
        assert torch.allclose(transport(costs * scale), transport(costs))
    assert transport(torch.zeros(2, 3)).sum().item() == pytest.approx(1)


def test_flow_is_of_the_costs_type_without_a_gradient():
    costs = random_costs(1, 3, 2).to(torch.bfloat16).requires_grad_()
    flow = transport(costs)
    assert flow.dtype == torch.bfloat16
    assert not flow.requires_grad


def test_the_gradient_is_the_flow():
    costs = random_costs(1, 5, 3).requires_grad_()
    emd(costs).backward()
    assert torch.equal(costs.grad, transport(costs))


def test_losses_per_example_share_the_flow_of_their_mean():
    losses = random_costs(2, 5, 3, 4)
    flow = transport(losses.mean(dim=2))
    expected = [sum(flow[t, s] * losses[t, s, b] for t in range(5) for s in range(3)).item() for b in range(4)]
    assert emd(losses).tolist() == pytest.approx(expected)
    assert emd(losses).mean().item() == pytest.approx(emd(losses.mean(dim=2)).item())


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_costs_that_are_not_numbers_end_the_training(broken):
    costs = random_costs(1, 3, 2)
    costs[1, 1] = broken
    with pytest.raises(DivergedError, match="no longer finite"):
        emd(costs)


def test_without_pot_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(DistillationError, match="pip install POT"):
        transport(random_costs(1, 3, 2))


def test_pot_is_imported_late_and_brings_no_other_framework():
    code = (
        "import sys, os, distillation.transport as t, torch; before = 'ot' in sys.modules;"
        "t.transport(torch.ones(2, 2)); print(before, 'ot' in sys.modules, 'jax' in sys.modules,"
        "sum(name.startswith('POT_BACKEND') for name in os.environ))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.stdout.split() == ["False", "True", "False", "0"]
