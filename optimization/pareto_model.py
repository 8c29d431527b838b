"""What `ParetoStrategy` believes of the untried architectures. Importing this module imports BoTorch and torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optimization.acquisition import Objective, log_nehvi
from optimization.deadline import Deadline
from optimization.feasibility import is_side_of, labels, log_probability, log_probability_of_label
from optimization.features import Features, Rows
from optimization.front import front, infer_reference
from optimization.observations import Values, is_known, known_values, observe
from optimization.pool import Booleans, neighbours, pool
from optimization.quiet import one_thread, quiet
from optimization.strategy import Standing, StrategyStudy, StrategyTrial
from optimization.surrogate import Belief, Exact, GaussianProcess, Predicted, Surrogate
from optimization.values import Direction

with quiet():
    import torch
    from botorch.utils.multi_objective.pareto import is_non_dominated
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A row of the space and why: see `Suggestion`."""

    row: int
    acquisition: float
    predicted: Mapping[str, float]


class ParetoModel:
    """One model of every metric that the study names, from all of its trials."""

    def __init__(self, study: StrategyStudy, trials: Sequence[StrategyTrial], deadline: Deadline) -> None:
        self._study, self._trials = study, trials
        self.features = Features(study.space)
        self.logarithmic: dict[str, bool] = {}
        self.observations: dict[str, int] = {}
        self._surrogates: dict[str, Surrogate] = {}
        self._deadline = deadline
        self._labels: Surrogate | None = None
        for metric in dict.fromkeys([*(o.metric for o in study.objectives), *(c.metric for c in study.constraints)]):
            self._learn(metric)
        found = labels(study, trials)
        if found is not None:
            deadline.check()
            self._labels = GaussianProcess(self.features, found, study.seed, deadline.left_s)

    def knows(self, metric: str) -> bool:
        return metric in self._surrogates

    def belief(self, metric: str, rows: Rows) -> Belief:
        return self._surrogates[metric].belief(rows)

    def expected(self, rows: Rows) -> dict[str, Values]:
        """The median of every modelled metric in its own unit, each (rows,)."""
        beliefs = {metric: self.belief(metric, rows).mean for metric in self._surrogates}
        return {name: (mean.exp() if self.logarithmic[name] else mean).numpy() for name, mean in beliefs.items()}

    def log_feasible(self, rows: Rows) -> Tensor:
        """Log probability of meeting the constraints that no objective's reference stands for, (rows,)."""
        total = torch.zeros(len(rows), dtype=torch.float64)
        for constraint in self._study.constraints:
            if self.knows(constraint.metric) and not is_side_of(constraint, self._study):
                belief = self.belief(constraint.metric, rows)
                total += log_probability(constraint, belief, self.logarithmic[constraint.metric])
        if self._labels is not None:
            total += log_probability_of_label(self._labels.belief(rows))
        return total

    def log_bounded(self, rows: Rows) -> Tensor:
        """Log probability of meeting all constraints, (rows,)."""
        total = self.log_feasible(rows)
        for constraint in self._study.constraints:
            if self.knows(constraint.metric) and is_side_of(constraint, self._study):
                belief = self.belief(constraint.metric, rows)
                total += log_probability(constraint, belief, self.logarithmic[constraint.metric])
        return total

    def _learn(self, metric: str) -> None:
        study, space = self._study, self._study.space
        observed = observe(study, self._trials, metric)
        self.logarithmic[metric] = observed.logarithmic
        if is_known(metric):
            self._surrogates[metric] = Exact(lambda rows: np.log(known_values(space, metric, rows)))
            return
        self.observations[metric] = observed.count
        if metric in study.predictors:
            means, deviations = study.predictors[metric].predict(space)
            if (deviations <= 0).all():
                self._surrogates[metric] = Exact(lambda rows: means[rows])
            else:
                self._surrogates[metric] = Predicted(self.features, means, deviations, observed)
        elif observed.count:
            self._deadline.check()
            self._surrogates[metric] = GaussianProcess(self.features, observed, study.seed, self._deadline.left_s)


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
        search = _Search(study, trials, model, deadline)
        generator = np.random.default_rng([study.seed, len(trials)])
        rows = allowed(study, pool(study.space, free, search.parents, generator))
        if len(rows) < count:
            rows = np.flatnonzero(free)
        chosen = search.choose(rows, count, free)
        expected = model.expected(np.array([row for row, _ in chosen], dtype=np.intp))
    proposals = [
        Proposal(
            row=row, acquisition=value, predicted={name: float(values[place]) for name, values in expected.items()}
        )
        for place, (row, value) in enumerate(chosen)
    ]
    return proposals, model.observations


def allowed(study: StrategyStudy, rows: Rows) -> Rows:
    """The rows that meet every bound on a metric that is known in closed form."""
    for constraint in study.constraints:
        if is_known(constraint.metric):
            values = known_values(study.space, constraint.metric, rows)
            rows = rows[values >= constraint.bound if constraint.at_least else values <= constraint.bound]
    return rows


class _Search:
    """The acquisition over rows, given what is judged."""

    def __init__(
        self, study: StrategyStudy, trials: Sequence[StrategyTrial], model: ParetoModel, deadline: Deadline
    ) -> None:
        self._study, self._model, self._deadline = study, model, deadline
        completed = [trial for trial in trials if trial.standing is Standing.COMPLETED and _is_whole(study, trial)]
        reference = study.reference or infer_reference(study.objectives, [trial.metrics for trial in completed])
        self._objectives = [self._objective(one.metric, one.direction, reference) for one in study.objectives]
        many = len(study.objectives)
        self._samples = SAMPLES.get(many, SAMPLES_OF_MANY)
        places = front(study.objectives, [trial.metrics for trial in completed])
        self.parents = [
            row for place in places if (row := study.space.index(completed[place].architecture)) is not None
        ]
        self._judged = self._most_on_front(_rows(study, completed))
        self._pending = _rows(study, [trial for trial in trials if trial.standing is Standing.PENDING])

    def choose(self, rows: Rows, count: int, free: Booleans) -> list[tuple[int, float]]:
        """The best `count`, one after the other, each with those before it as pending."""
        rows, values = self._climbed(rows, free)
        chosen: list[tuple[int, float]] = []
        while True:
            best = int(np.argmax(values))
            chosen.append((int(rows[best]), float(values[best])))
            if len(chosen) == count:
                return chosen
            self._deadline.check()
            self._pending = np.append(self._pending, rows[best])
            keep = np.argsort(-values, kind="stable")[: SHORTLIST + count]
            rows = rows[np.sort(keep[keep != best])]
            values = self._values(rows)

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
            near = np.setdiff1d(allowed(self._study, near[free[near]]), rows)
            if len(near):
                self._deadline.check()
                rows, values = np.concatenate([rows, near]), np.concatenate([values, self._values(near)])
        return rows, values

    def _values(self, rows: Rows) -> Values:
        inside = np.concatenate([self._judged, self._pending]).astype(np.intp)
        both = np.concatenate([inside, rows])
        beliefs = [self._model.belief(one.metric, both) for one in self._study.objectives]
        base = _normal(len(beliefs), self._samples, len(inside), self._study.seed)
        feasible = self._model.log_feasible(both)
        counts = torch.ones(self._samples, len(inside), dtype=torch.bool)
        share = (torch.arange(self._samples, dtype=torch.float64) + 0.5) / self._samples
        probability = feasible[len(self._judged) : len(inside)].exp()
        counts[:, len(self._judged) :] = share[:, None] < probability
        values = log_nehvi(self._objectives, beliefs, len(inside), counts, base) + feasible[len(inside) :]
        return values.numpy()

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
        normal = _normal(len(beliefs), self._samples, len(rows), self._study.seed)
        drawn = [
            objective.gain(belief.mean + each * belief.covariance.diagonal().clamp_min(0.0).sqrt())
            for objective, belief, each in zip(self._objectives, beliefs, normal, strict=True)
        ]
        points = torch.stack(drawn, dim=-1)
        is_best = torch.stack([is_non_dominated(each) for each in points]).sum(dim=0).numpy()
        return rows[np.sort(np.argsort(-is_best, kind="stable")[:MOST_JUDGED])]


def _is_whole(study: StrategyStudy, trial: StrategyTrial) -> bool:
    return all(math.isfinite(trial.metrics.get(objective.metric, math.nan)) for objective in study.objectives)


def _rows(study: StrategyStudy, trials: Sequence[StrategyTrial]) -> Rows:
    rows = (study.space.index(trial.architecture) for trial in trials)
    return np.array([row for row in rows if row is not None], dtype=np.intp)


def _normal(objectives: int, samples: int, points: int, seed: int) -> Tensor:
    """Standard normal numbers that cover their space evenly, (objectives, samples, points)."""
    if not points:
        return torch.zeros(objectives, samples, 0, dtype=torch.float64)
    sequence = qmc.MultivariateNormalQMC(np.zeros(objectives * points), rng=np.random.default_rng(seed))
    drawn = torch.from_numpy(sequence.random(samples))
    return drawn.reshape(samples, objectives, points).transpose(0, 1)
