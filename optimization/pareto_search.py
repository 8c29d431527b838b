"""Which architectures `ParetoStrategy` proposes, given what it believes. Importing this imports BoTorch and torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import moocore  # type: ignore[import-untyped]
import numpy as np

from optimization.acquisition import Objective, drawn_from, log_nehvi
from optimization.deadline import Deadline
from optimization.feasibility import is_side_of
from optimization.features import Rows
from optimization.front import front, infer_reference
from optimization.observations import Values
from optimization.pareto_model import ParetoModel
from optimization.pool import Booleans, neighbours, pool
from optimization.quiet import one_thread, quiet
from optimization.strategy import Standing, StrategyStudy, StrategyTrial
from optimization.surrogate import Belief
from optimization.values import Direction

with quiet():
    import torch
    from scipy.stats import qmc
    from torch import Tensor

SAMPLES = {1: 64, 2: 64}
"""Of what was judged already, by the number of objectives."""

SAMPLES_OF_MANY = 16
"""From three objectives on, where the boxes of every sample cost much more."""

MOST_JUDGED = 48
"""Completed trials that the hypervolume of a sample is made of: those that are most often on its front."""

ROUNDS = 3
"""Of looking at the neighbours of the best candidates."""

CLIMBERS = 4

SHORTLIST = 256
"""Candidates that stay in a batch after its first choice: what promised little does not promise more then."""


SAMPLES_OF_FINALISTS = 128

LOOK_AGAIN = 32
"""Candidates whose value is computed again at once after a choice."""

LEAST_LOG = -1e300
"""Of the probability of being feasible: what cannot be is still a candidate, after all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A row of the space and why: see `Suggestion`. `late`: chosen past the deadline, without looking again."""

    row: int
    acquisition: float
    predicted: Mapping[str, float]
    deviations: Mapping[str, float]
    late: bool


def propose(
    study: StrategyStudy, trials: Sequence[StrategyTrial], count: int, free: Booleans, deadline: Deadline
) -> tuple[list[Proposal], Mapping[str, int]]:
    """`count` distinct rows that are `free`, of which there are more; and how many values of each metric were known.

    Raises:
        PastDeadlineError: there was no time.
        Exception: whatever BoTorch and torch raise.
    """
    with quiet(), one_thread(), torch.no_grad():
        with torch.enable_grad():
            model = ParetoModel(study, trials, deadline)
        search = Search(study, trials, model, deadline)
        generator = np.random.default_rng([study.seed, len(trials)])
        rows = pool(study.space, free, search.parents, generator, least=2 * count)
        chosen = search.choose(rows, count, free)
        expected = model.expected(np.array([choice.row for choice in chosen], dtype=np.intp))
    proposals = [
        Proposal(
            row=choice.row,
            acquisition=choice.value,
            predicted={name: float(values[place]) for name, (values, _) in expected.items()},
            deviations={name: float(deviations[place]) for name, (_, deviations) in expected.items()},
            late=choice.late,
        )
        for place, choice in enumerate(chosen)
    ]
    return proposals, model.observations


def sampled_gains(study: StrategyStudy, trials: Sequence[StrategyTrial]) -> tuple[Rows, Values, Values]:
    """Samples of what the completed trials that are likely on the front gain, under the posterior.

    Returns rows (points,), gains (samples, points, objectives) and the reference (objectives,); more gain is better.
    """
    with quiet(), one_thread(), torch.no_grad():
        with torch.enable_grad():
            model = ParetoModel(study, trials, Deadline(math.inf))
        search = Search(study, trials, model, Deadline(math.inf))
        rows = search.judged
        base = normal_numbers(len(study.objectives), SAMPLES_OF_FINALISTS, len(rows), study.seed)
        drawn = [
            objective.gain(drawn_from(model.belief(one.metric, rows), normal))
            for objective, one, normal in zip(search.objectives, study.objectives, base, strict=True)
        ]
    reference = np.array([objective.reference for objective in search.objectives])
    return rows, torch.stack(drawn, dim=-1).numpy(), reference


class Search:
    """The acquisition over rows, given what is judged.

    `judged`: rows of the completed trials that the hypervolume is made of; `parents`: those of the observed front.
    """

    def __init__(
        self, study: StrategyStudy, trials: Sequence[StrategyTrial], model: ParetoModel, deadline: Deadline
    ) -> None:
        self._study, self._model, self._deadline = study, model, deadline
        completed = [trial for trial in trials if trial.standing is Standing.COMPLETED and _is_whole(study, trial)]
        reference = study.reference or infer_reference(study.objectives, [trial.metrics for trial in completed])
        self.objectives = [self._objective(one.metric, one.direction, reference) for one in study.objectives]
        many = len(study.objectives)
        self._samples = SAMPLES.get(many, SAMPLES_OF_MANY)
        places = front(study.objectives, [trial.metrics for trial in completed])
        self.parents = [
            row for place in places if (row := study.space.index(completed[place].architecture)) is not None
        ]
        self.judged = self._most_on_front(_rows(study, completed))
        self._pending = _rows(study, [trial for trial in trials if trial.standing is Standing.PENDING])

    def choose(self, rows: Rows, count: int, free: Booleans) -> list[_Choice]:
        """The best `count`, one after the other, each with those before it as pending.

        Past the deadline the rest is what came next in the order that was found last.
        """
        rows, values = self._climbed(rows, free)
        kept = np.sort(np.argsort(-values, kind="stable")[: SHORTLIST + count])
        rows, values = rows[kept], values[kept]
        seen = self._seen(rows, count)
        taken: list[int] = []
        chosen: list[_Choice] = []
        while True:
            best = int(np.argmax(values))
            taken.append(best)
            chosen.append(_Choice(row=int(rows[best]), value=float(values[best]), late=self._deadline.is_over))
            if len(chosen) == count:
                return chosen
            values[best] = -np.inf
            if not self._deadline.is_over:
                _refresh(values, lambda some: seen.values(some, taken))

    def _climbed(self, rows: Rows, free: Booleans) -> tuple[Rows, Values]:
        values = self._values(rows)
        if len(rows) == int(free.sum()):
            return rows, values
        climbed: set[int] = set()
        for _ in range(ROUNDS):
            best = [int(row) for row in rows[np.argsort(-values, kind="stable")[:CLIMBERS]] if int(row) not in climbed]
            climbed.update(best)
            if not best:
                break
            near = np.unique(np.concatenate([neighbours(self._study.space, row) for row in best]))
            near = np.setdiff1d(near[free[near]], rows)
            if len(near):
                self._deadline.check()
                rows, values = np.concatenate([rows, near]), np.concatenate([values, self._values(near)])
        return rows, values

    def _values(self, rows: Rows) -> Values:
        return self._seen(rows).values(np.arange(len(rows)))

    def _seen(self, rows: Rows, count: int = 1) -> _Candidates:
        judged = np.concatenate([self.judged, self._pending]).astype(np.intp)
        both = np.concatenate([judged, rows])
        return _Candidates(
            objectives=self.objectives,
            beliefs=[self._model.belief(one.metric, both) for one in self._study.objectives],
            feasible=self._model.log_feasible(both),
            completed=len(self.judged),
            judged=len(judged),
            base=self._base(len(judged), count - 1),
        )

    def _base(self, judged: int, chosen: int) -> Tensor:
        """Those of what is judged stay the same, however many are to be chosen beside."""
        seed = self._study.seed
        own = normal_numbers(len(self.objectives), self._samples, judged, seed)
        others = normal_numbers(len(self.objectives), self._samples, chosen, seed)
        # One sequence goes through its samples as the other does, so that they would be alike.
        order = torch.from_numpy(np.random.default_rng(seed).permutation(self._samples))
        return torch.cat([own, others[:, order]], dim=2)

    def _objective(self, metric: str, direction: Direction, reference: Mapping[str, float]) -> Objective:
        sign = 1.0 if direction is Direction.MAXIMIZE else -1.0
        bounds = [
            sign * constraint.bound
            for constraint in self._study.constraints
            if constraint.metric == metric and is_side_of(constraint, self._study)
        ]
        least = max([sign * reference[metric], *bounds])
        return Objective(sign=sign, logarithmic=self._model.logarithmic[metric], reference=least)

    def _most_on_front(self, rows: Rows) -> Rows:
        """Those of the rows that are most often not dominated, as the model believes in them one by one."""
        if len(rows) <= MOST_JUDGED:
            return rows
        beliefs = [self._model.belief(one.metric, rows) for one in self._study.objectives]
        normal = normal_numbers(len(beliefs), self._samples, len(rows), self._study.seed)
        drawn = [
            objective.gain(belief.mean + each * belief.covariance.diagonal().clamp_min(0.0).sqrt())
            for objective, belief, each in zip(self.objectives, beliefs, normal, strict=True)
        ]
        points = torch.stack(drawn, dim=-1)
        is_best = np.sum([moocore.is_nondominated(-each, keep_weakly=True) for each in points.numpy()], axis=0)
        return rows[np.sort(np.argsort(-is_best, kind="stable")[:MOST_JUDGED])]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidates:
    """What is believed of the points that are judged, of which the first are completed, and then of the candidates."""

    objectives: Sequence[Objective]
    beliefs: Sequence[Belief]
    feasible: Tensor
    completed: int
    judged: int
    base: Tensor

    def values(self, candidates: Rows, chosen: Sequence[int] = ()) -> Values:
        """The acquisition of these candidates, where those that were `chosen` are pending now."""
        places = [np.arange(self.judged), self.judged + np.array(chosen, dtype=np.intp), self.judged + candidates]
        order = torch.from_numpy(np.concatenate(places))
        beliefs = [Belief(each.mean[order], each.covariance[order][:, order]) for each in self.beliefs]
        feasible, many = self.feasible[order], self.judged + len(chosen)
        samples = self.base.shape[1]
        # A pending trial may turn out infeasible: it counts in so many of the samples.
        counts = torch.ones(samples, many, dtype=torch.bool)
        share = (torch.arange(samples, dtype=torch.float64) + 0.5) / samples
        counts[:, self.completed :] = share[:, None] < feasible[self.completed : many].exp()
        gained = log_nehvi(self.objectives, beliefs, many, counts, self.base[:, :, :many])
        values: Values = (gained + feasible[many:].clamp_min(LEAST_LOG)).numpy()
        if not np.isfinite(values).all():
            raise ArithmeticError("the acquisition is not a finite number")
        return values


def _refresh(values: Values, again: Callable[[Rows], Values]) -> None:
    """Looks again at the largest of the values, until the largest of all is one that was looked at.

    A choice can hardly make another more worthwhile, so the values that are not looked at are bounds.
    """
    stale = np.flatnonzero(values > -np.inf)
    stale = stale[np.argsort(-values[stale], kind="stable")]
    best = -np.inf
    for begin in range(0, len(stale), LOOK_AGAIN):
        some = stale[begin : begin + LOOK_AGAIN]
        if best >= values[some[0]]:
            return
        values[some] = again(some)
        best = max(best, float(values[some].max()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    row: int
    value: float
    late: bool


def _is_whole(study: StrategyStudy, trial: StrategyTrial) -> bool:
    return all(math.isfinite(trial.metrics.get(objective.metric, math.nan)) for objective in study.objectives)


def _rows(study: StrategyStudy, trials: Sequence[StrategyTrial]) -> Rows:
    rows = (study.space.index(trial.architecture) for trial in trials)
    return np.array([row for row in rows if row is not None], dtype=np.intp)


def normal_numbers(objectives: int, samples: int, points: int, seed: int) -> Tensor:
    """Standard normal numbers that cover their space evenly, (objectives, samples, points)."""
    if not points:
        return torch.zeros(objectives, samples, 0, dtype=torch.float64)
    sequence = qmc.MultivariateNormalQMC(np.zeros(objectives * points), rng=np.random.default_rng(seed))
    drawn = torch.from_numpy(sequence.random(samples))
    return drawn.reshape(samples, objectives, points).transpose(0, 1)
