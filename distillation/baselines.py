"""What an encoder has to beat: methods that are none."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from distillation.batches import Integers
from distillation.errors import DataError
from distillation.splits import AnySplit, Example, SelectionSplit, TrainSplit

Classifier = Callable[[AnySplit], Integers]
"""Predicts the class of every example of a split."""

REGULARISATION = (1.0, 4.0, 16.0)
"""Inverse strengths that the selection split chooses from."""

TOLERANCE = 1e-3
"""Ten times the library's default: one fit for each strength, and nothing hangs on their last digits."""


def majority(train: TrainSplit) -> Classifier:
    """Always the commonest class."""
    commonest = int(np.bincount(_labels(train.examples)).argmax())
    return lambda split: np.full(len(split.examples), commonest, dtype=np.int64)


def tf_idf(train: TrainSplit) -> Classifier:
    """Logistic regression on TF-IDF of words, with the library's settings.

    Raises:
        DataError: the texts hold no words.
    """
    vectorizer = TfidfVectorizer()
    features = _features(vectorizer, train)
    return _classifier(vectorizer, LogisticRegression(max_iter=1000).fit(features, _labels(train.examples)))


def tuned_tf_idf(
    train: TrainSplit, selection: SelectionSplit, quality: Callable[[Integers, Integers], float]
) -> Classifier:
    """Logistic regression on TF-IDF of words and pairs of words, its regularisation chosen on the selection split.

    Args:
        quality: of (truth, predictions); higher is better.

    Raises:
        DataError: no word is in two texts.
    """
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    features = _features(vectorizer, train)
    held_out, truth = vectorizer.transform(_texts(selection.examples)), _labels(selection.examples)
    models = [
        LogisticRegression(C=strength, max_iter=1000, tol=TOLERANCE).fit(features, _labels(train.examples))
        for strength in REGULARISATION
    ]
    best = max(models, key=lambda model: quality(truth, model.predict(held_out)))
    return _classifier(vectorizer, best)


def _features(vectorizer: TfidfVectorizer, train: TrainSplit) -> csr_matrix:
    try:
        features: csr_matrix = vectorizer.fit_transform(_texts(train.examples))
    except ValueError as error:  # texts of other signs than words, or too few texts
        raise DataError(f"too few words in the train texts ({error})") from error
    return features


def _classifier(vectorizer: TfidfVectorizer, model: LogisticRegression) -> Classifier:
    def predict(split: AnySplit) -> Integers:
        predictions: Integers = model.predict(vectorizer.transform(_texts(split.examples)))
        return predictions

    return predict


def _labels(examples: Iterable[Example]) -> Integers:
    return np.array([example.label for example in examples], dtype=np.int64)


def _texts(examples: Iterable[Example]) -> list[str]:
    return [" ".join(example.texts) for example in examples]
