"""How good predictions are, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never

import numpy as np
from seqeval.metrics.sequence_labeling import get_entities  # type: ignore[import-untyped]

from distillation.answers import answer_f1, exact_match
from distillation.confusion import FORMULAS, confusion
from distillation.correlation import pearson, spearman
from distillation.encoding import Floats, Integers
from distillation.intervals import Weighted, bootstrap, bootstrap_counts, wilson
from distillation.splits import Example
from distillation.values import Estimate, Metric

NO_TAG = -1
"""The tag of a word that a model did not see."""

MOST_LOSS = 700.0
"""Mean loss beyond which a perplexity is no number any more."""


@dataclass(frozen=True, slots=True)
class Guesses:
    """Of each text's masked words (N,): how many were guessed, how many there are, and the sum of -log p(word)."""

    right: Floats
    words: Floats
    losses: Floats


Predictions = Integers | Floats | list[Integers] | list[str] | Guesses
"""For each example: a class; a value; the tags of its words; an answer, empty for none; guesses of masked words."""


def estimate(
    metric: Metric, examples: Sequence[Example], predictions: Predictions, classes: Sequence[str], *, seed: int = 0
) -> Estimate:
    """The metric with its 95 % interval: Wilson's for a share of examples, else the bootstrap's percentiles."""
    sample = _sample(metric, examples, predictions, classes)
    low, high = sample.interval(seed)
    return Estimate(value=sample.value, low=low, high=high, examples=len(examples))


def score(metric: Metric, examples: Sequence[Example], predictions: Predictions, classes: Sequence[str]) -> float:
    """The metric alone."""
    return _sample(metric, examples, predictions, classes).value


@dataclass(frozen=True, slots=True)
class _Sample:
    """A metric's value, and its interval for a seed."""

    value: float
    interval: Callable[[int], tuple[float, float]]


def _sample(metric: Metric, examples: Sequence[Example], predictions: Predictions, classes: Sequence[str]) -> _Sample:
    count = len(examples)
    match metric:
        case Metric.ACCURACY if isinstance(predictions, Guesses):
            return _weighted(_ratio(predictions.right, predictions.words), count)
        case Metric.ACCURACY if isinstance(predictions, list):
            right, words = _words(examples, _listed(predictions))
            return _weighted(_ratio(right, words), count)
        case Metric.ACCURACY | Metric.F1 | Metric.MACRO_F1 | Metric.MATTHEWS:
            return _of_classes(metric, examples, np.asarray(predictions), len(classes))
        case Metric.PEARSON | Metric.SPEARMAN:
            formula = pearson if metric is Metric.PEARSON else spearman
            truth = np.array([example.label for example in examples], dtype=np.float64)
            values = np.asarray(predictions, dtype=np.float64)
            return _weighted(lambda weights: formula(weights, truth, values), count)
        case Metric.ENTITY_F1:
            hits, either = _entities(examples, _listed(predictions), classes)
            return _weighted(_ratio(2 * hits, either), count)
        case Metric.EXACT_MATCH:
            value = float(_answers(exact_match, examples, _listed(predictions)).mean())
            return _Sample(value, lambda _: wilson(value, count))
        case Metric.ANSWER_F1:
            return _weighted(_ratio(_answers(answer_f1, examples, _listed(predictions)), np.ones(count)), count)
        case Metric.PERPLEXITY:
            if not isinstance(predictions, Guesses):
                raise TypeError(f"{metric} is of guesses, got {type(predictions).__name__}")
            mean = _ratio(predictions.losses, predictions.words)
            return _weighted(lambda weights: np.exp(np.minimum(mean(weights), MOST_LOSS)), count)
        case _:
            assert_never(metric)


def _of_classes(metric: Metric, examples: Sequence[Example], predictions: Integers, classes: int) -> _Sample:
    counts = confusion(np.array([example.label for example in examples], dtype=np.int64), predictions, classes)
    value = float(FORMULAS[metric](counts))
    if metric is Metric.ACCURACY:
        return _Sample(value, lambda _: wilson(value, len(examples)))
    return _Sample(value, partial(bootstrap_counts, FORMULAS[metric], counts))


def _weighted(metric: Weighted, count: int) -> _Sample:
    return _Sample(float(metric(np.ones((1, count)))[0]), partial(bootstrap, metric, count))


def _ratio(above_N: Floats, below_N: Floats) -> Weighted:
    """Of two sums over the examples; 0 where there is nothing to count."""

    def ratio(weights_RN: Floats) -> Floats:
        total_R = weights_RN @ below_N
        result: Floats = (weights_RN @ above_N) / np.where(total_R > 0, total_R, 1.0)
        return result

    return ratio


def _listed(predictions: Predictions) -> list[Any]:
    if not isinstance(predictions, list):
        raise TypeError(f"this metric is of lists, got {type(predictions).__name__}")
    return predictions


def _words(examples: Sequence[Example], predictions: Sequence[Integers]) -> tuple[Floats, Floats]:
    """Of each text, how many words have their tag, and how many there are."""
    pairs = list(zip(examples, predictions, strict=True))
    right = [int((np.array(example.tags, dtype=np.int64) == tags).sum()) for example, tags in pairs]
    return np.array(right, dtype=np.float64), np.array([len(tags) for _, tags in pairs], dtype=np.float64)


def _entities(
    examples: Sequence[Example], predictions: Sequence[Integers], classes: Sequence[str]
) -> tuple[Floats, Floats]:
    """Of each text, how many entities were found, and how many there are plus how many were said to be.

    An entity is what CoNLL's script takes for one; it is found if its words and its type are right.

    References: Tjong Kim Sang and De Meulder, CoNLL-2003, section 2.4.
    """
    names = (*classes, "O")  # the last, for a word that was not seen
    hits, either = [], []
    for example, tags in zip(examples, predictions, strict=True):
        there = set(get_entities([names[tag] for tag in example.tags]))
        said = set(get_entities([names[tag] for tag in tags]))
        hits.append(len(there & said))
        either.append(len(there) + len(said))
    return np.array(hits, dtype=np.float64), np.array(either, dtype=np.float64)


def _answers(
    measure: Callable[[str, Sequence[str]], float], examples: Sequence[Example], predictions: Sequence[str]
) -> Floats:
    return np.array(
        [
            measure(answer, [one.text for one in example.answers])
            for example, answer in zip(examples, predictions, strict=True)
        ]
    )
