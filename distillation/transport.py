"""Matching by optimal transport: every teacher layer teaches every student layer, in shares that cost least.

T teacher and S student layers; a cost is what a student layer loses against a teacher layer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from distillation.errors import DistillationError, DivergedError

UNUSED_BACKENDS = ("JAX", "TENSORFLOW", "CUPY")
"""Frameworks that POT would import only because they are installed: seconds, and threads that forbid forking."""


def transport(cost_TS: Tensor) -> Tensor:
    """The flow (T, S) >= 0 that minimises sum(flow * cost) with rows of 1 / T and columns of 1 / S.

    Every teacher layer gives as much, every student layer gets as much; T < S is as good as T > S. The solution is
    exact, computed on the CPU in float64 (on an accelerator this waits for the costs). It has the costs' type and
    device, and no gradient.

    References: arXiv:2010.06133, section 3 (with equal weights of the layers).

    Raises:
        DivergedError: a cost is not a finite number.
        DistillationError: POT is not installed.
    """
    costs = cost_TS.detach().to("cpu", torch.float64)
    if not costs.isfinite().all():
        raise DivergedError("the losses between teacher and student layers are no longer finite numbers")
    # The solver's tolerances are absolute; the flow does not depend on the costs' scale.
    scale = costs.abs().max()
    costs = costs / scale if scale > 0 else costs
    teachers, students = costs.shape
    shares = torch.full((teachers,), 1 / teachers, dtype=torch.float64).numpy()
    needs = torch.full((students,), 1 / students, dtype=torch.float64).numpy()
    flow = _pot().emd(shares, needs, costs.numpy())
    flow_TS: Tensor = torch.from_numpy(flow).to(cost_TS)
    return flow_TS


def emd(losses: Tensor) -> Tensor:
    """Earth mover's distance: sum over T and S of flow * losses, with the flow held constant.

    `losses` are (T, S), then the result is a scalar, or (T, S, B), then it is (B,) with one flow for the batch, that of
    the mean losses. The gradient is the flow's share of each loss's own.

    References: arXiv:2010.06133, section 3.

    Raises: as `transport`.
    """
    flow_TS = transport(losses if losses.dim() == 2 else losses.detach().mean(dim=2))
    distance: Tensor = torch.tensordot(flow_TS, losses, dims=2)
    return distance


def _pot() -> ModuleType:
    try:
        with _without_unused_backends():
            return import_module("ot")
    except ImportError as error:
        raise DistillationError(
            f"matching by earth mover's distance needs POT, which cannot be imported ({error}): pip install POT"
        ) from error


@contextmanager
def _without_unused_backends() -> Iterator[None]:
    names = [f"POT_BACKEND_DISABLE_{name}" for name in UNUSED_BACKENDS]
    added = [name for name in names if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
