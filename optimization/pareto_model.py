"""What `ParetoStrategy` believes of the architectures of a space. Importing this module imports BoTorch and torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from optimization.deadline import Deadline
from optimization.feasibility import is_side_of, labels, log_probability, log_probability_of_label
from optimization.features import Features, Rows
from optimization.observations import Observations, Values, is_known, known_values, observe
from optimization.quiet import one_thread, quiet
from optimization.strategy import StrategyStudy, StrategyTrial
from optimization.surrogate import Belief, Exact, GaussianProcess, Predicted, Surrogate
from optimization.transfer import Ensemble
from optimization.values import Constraint

with quiet():
    import torch
    from torch import Tensor

logger = logging.getLogger(__name__)

BLOCK = 512
"""Rows of which one covariance is made at a time."""

FEWEST_RANKED = 3
"""Observations of which an order says anything."""


class ParetoModel:
    """One model of every metric that the study names, or of its constraints alone, from all of its trials."""

    def __init__(
        self,
        study: StrategyStudy,
        trials: Sequence[StrategyTrial],
        deadline: Deadline,
        *,
        constraints_alone: bool = False,
    ) -> None:
        self._study, self._trials = study, trials
        self._costs = Features(study.space)
        self._dimensions = Features(study.space, with_costs=False)
        self.logarithmic: dict[str, bool] = {}
        self.observations: dict[str, int] = {}
        self._surrogates: dict[str, Surrogate] = {}
        self._deadline = deadline
        self._labels: Surrogate | None = None
        objectives = () if constraints_alone else study.objectives
        for metric in dict.fromkeys([*(o.metric for o in objectives), *(c.metric for c in study.constraints)]):
            self._learn(metric)
        found = labels(study, trials)
        if found is not None:
            deadline.check()
            self._labels = GaussianProcess(self._costs, found, study.seed, deadline.left_s)

    def knows(self, metric: str) -> bool:
        return metric in self._surrogates

    def belief(self, metric: str, rows: Rows) -> Belief:
        return self._surrogates[metric].belief(rows)

    def expected(self, rows: Rows) -> dict[str, tuple[Values, Values]]:
        """The median of every modelled metric in its own unit, and its standard deviation, each (rows,).

        That of a metric modelled by its logarithm is its median times the logarithm's (delta method).
        """
        found: dict[str, tuple[Values, Values]] = {}
        for metric in self._surrogates:
            if is_known(metric):
                found[metric] = known_values(self._study.space, metric, rows), np.zeros(len(rows))
                continue
            belief = self.belief(metric, rows)
            median = belief.mean.exp() if self.logarithmic[metric] else belief.mean
            unit = median if self.logarithmic[metric] else torch.ones_like(median)
            deviation = unit * belief.covariance.diagonal().clamp_min(0.0).sqrt()
            found[metric] = median.numpy(), deviation.numpy()
        return found

    def log_feasible(self, rows: Rows) -> Tensor:
        """Log probability of meeting the constraints that no objective's reference stands for, (rows,)."""
        total = torch.zeros(len(rows), dtype=torch.float64)
        for constraint in self._study.constraints:
            if not is_side_of(constraint, self._study):
                total += self._log_probability(constraint, rows)
        if self._labels is not None:
            total += log_probability_of_label(self._labels.belief(rows))
        return total

    def log_bounded(self, rows: Rows) -> Tensor:
        """Log probability of meeting all constraints, (rows,)."""
        total = self.log_feasible(rows)
        for constraint in self._study.constraints:
            if is_side_of(constraint, self._study):
                total += self._log_probability(constraint, rows)
        return total

    def _log_probability(self, constraint: Constraint, rows: Rows) -> Tensor:
        """Of meeting one bound; what follows from the architecture was filtered by, or nothing meets it."""
        if is_known(constraint.metric) or not self.knows(constraint.metric):
            return torch.zeros(len(rows), dtype=torch.float64)
        return log_probability(constraint, self.belief(constraint.metric, rows), self.logarithmic[constraint.metric])

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
                self._surrogates[metric] = Predicted(self._costs, means, deviations, observed)
        elif observed.count:
            self._deadline.check()
            own = self._fitted(observed)
            sources = self._sources(metric, observed.logarithmic) if observed.count >= FEWEST_RANKED else []
            self._surrogates[metric] = Ensemble(own, sources, study.seed) if sources else own

    def _fitted(self, observed: Observations) -> GaussianProcess:
        features = self._costs if observed.logarithmic else self._dimensions
        return GaussianProcess(features, observed, self._study.seed, self._deadline.left_s)

    def _sources(self, metric: str, logarithmic: bool) -> list[GaussianProcess]:
        """A model of each earlier study that has enough of this metric, at the fidelity of a search."""
        models = []
        for trials in self._study.sources:
            observed = observe(self._study, trials, metric).at_flash()
            if observed.count >= FEWEST_RANKED and observed.logarithmic == logarithmic:
                self._deadline.check()
                try:
                    models.append(self._fitted(observed))
                except ArithmeticError as error:  # of the earlier study alone: this one goes on without it
                    logger.warning("an earlier study tells nothing (%s)", error)
        return models


def log_feasible_alone(study: StrategyStudy, trials: Sequence[StrategyTrial], rows: Rows, deadline: Deadline) -> Values:
    """Log probability of meeting all constraints, without a model of anything else; (rows,).

    Raises:
        PastDeadlineError: there was no time.
        Exception: whatever BoTorch and torch raise.
    """
    with quiet(), one_thread():
        model = ParetoModel(study, trials, deadline, constraints_alone=True)
        found = []
        with torch.no_grad():
            for begin in range(0, len(rows), BLOCK):
                deadline.check()
                found.append(model.log_bounded(rows[begin : begin + BLOCK]).numpy())
        return np.concatenate(found)
