"""What an encoder has to beat: methods that are none."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression, Ridge  # type: ignore[import-untyped]

from distillation.batches import Encoded
from distillation.encoding import Floats, Integers
from distillation.errors import DataError
from distillation.metrics import Guesses, Predictions
from distillation.splits import Example, TrainSplit
from encoders.values import HeadKind

Predictor = Callable[[Encoded], Predictions]
"""Predicts every example of a split."""

Quality = Callable[[Encoded, Predictions], float]
"""How good predictions are; higher is better."""

REGULARISATION = (1.0, 4.0, 16.0)
"""Inverse strengths that the selection split chooses from."""

PENALTIES = (0.25, 1.0, 4.0)
"""The same of ridge regression: strengths."""

TOLERANCE = 1e-3
"""Ten times the library's default: one fit for each strength, and nothing hangs on their last digits."""


def methods(
    kind: HeadKind, train: TrainSplit, tokens: Encoded, selection: Encoded, quality: Quality
) -> Mapping[str, Callable[[], Predictor]]:
    """The baselines of a kind of task by their names; none where no simple method makes sense.

    Args:
        train: its labelled texts.
        tokens: all its texts.
    """
    match kind:
        case HeadKind.CLASSIFICATION:
            return {
                "majority class": lambda: majority(train),
                "TF-IDF + logistic regression": lambda: tf_idf(train),
                "TF-IDF + logistic regression, tuned": lambda: tuned_tf_idf(train, selection, quality),
            }
        case HeadKind.REGRESSION:
            return {"mean": lambda: mean(train), "TF-IDF + ridge, tuned": lambda: ridge(train, selection, quality)}
        case HeadKind.TOKEN_CLASSIFICATION:
            return {
                "commonest tag": lambda: commonest_tag(train),
                "commonest tag of each word": lambda: word_tags(train),
            }
        case HeadKind.MASKED_LM:
            return {"commonest word": lambda: unigrams(tokens)}
        case HeadKind.QUESTION_ANSWERING:
            return {}
        case _:
            assert_never(kind)


def majority(train: TrainSplit) -> Predictor:
    """Always the commonest class."""
    commonest = int(np.bincount(_classes(train.examples)).argmax())
    return lambda split: np.full(len(split.examples), commonest, dtype=np.int64)


def tf_idf(train: TrainSplit) -> Predictor:
    """Logistic regression on TF-IDF of words, with the library's settings.

    Raises:
        DataError: the texts hold no words.
    """
    vectorizer = TfidfVectorizer()
    features = _features(vectorizer, train)
    return _predictor(vectorizer, LogisticRegression(max_iter=1000).fit(features, _classes(train.examples)))


def tuned_tf_idf(train: TrainSplit, selection: Encoded, quality: Quality) -> Predictor:
    """Logistic regression on TF-IDF of words and pairs of words, its regularisation chosen on the selection split.

    Raises:
        DataError: no word is in two texts.
    """
    vectorizer, features = _pairs_of_words(train)
    models = [
        LogisticRegression(C=strength, max_iter=1000, tol=TOLERANCE).fit(features, _classes(train.examples))
        for strength in REGULARISATION
    ]
    return _best([_predictor(vectorizer, model) for model in models], selection, quality)


def mean(train: TrainSplit) -> Predictor:
    """Always the mean."""
    value = float(_values(train.examples).mean())
    return lambda split: np.full(len(split.examples), value)


def ridge(train: TrainSplit, selection: Encoded, quality: Quality) -> Predictor:
    """Ridge regression on TF-IDF of words and pairs of words, its penalty chosen on the selection split.

    Raises:
        DataError: no word is in two texts.
    """
    vectorizer, features = _pairs_of_words(train)
    models = [Ridge(alpha=strength).fit(features, _values(train.examples)) for strength in PENALTIES]
    return _best([_predictor(vectorizer, model) for model in models], selection, quality)


def commonest_tag(train: TrainSplit) -> Predictor:
    """Always the commonest tag."""
    commonest = _commonest(tag for example in train.examples for tag in example.tags)
    return lambda split: [np.full(len(example.texts), commonest, dtype=np.int64) for example in split.examples]


def word_tags(train: TrainSplit) -> Predictor:
    """For each word the tag that it has most often, for an unknown one the commonest of all."""
    seen: defaultdict[str, list[int]] = defaultdict(list)
    for example in train.examples:
        for word, tag in zip(example.texts, example.tags, strict=True):
            seen[word].append(tag)
    tags = {word: _commonest(found) for word, found in seen.items()}
    other = _commonest(tag for found in seen.values() for tag in found)
    return lambda split: [
        np.array([tags.get(word, other) for word in example.texts], dtype=np.int64) for example in split.examples
    ]


def unigrams(tokens: Encoded) -> Predictor:
    """Always the commonest token, each as likely as it is in train, where every one is counted once more."""
    maskable = tokens.rows.decides
    ids = tokens.rows.ids if maskable is None else tokens.rows.ids[maskable]
    counts = np.bincount(ids, minlength=tokens.vocabulary_size) + 1.0
    losses, commonest = np.log(counts.sum()) - np.log(counts), int(counts.argmax())

    def guess(split: Encoded) -> Guesses:
        found = Guesses(*(np.zeros(len(split.examples)) for _ in range(3)))
        for indices, batch in split.by_length(1000):
            rows, places = np.nonzero(batch.labels.numpy() >= 0)
            words, examples = batch.labels.numpy()[rows, places], split.rows.examples[indices[rows]]
            np.add.at(found.right, examples, words == commonest)
            np.add.at(found.words, examples, 1)
            np.add.at(found.losses, examples, losses[words])
        return found

    return guess


def _pairs_of_words(train: TrainSplit) -> tuple[TfidfVectorizer, csr_matrix]:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    return vectorizer, _features(vectorizer, train)


def _best(predictors: list[Predictor], selection: Encoded, quality: Quality) -> Predictor:
    return max(predictors, key=lambda predictor: quality(selection, predictor(selection)))


def _features(vectorizer: TfidfVectorizer, train: TrainSplit) -> csr_matrix:
    try:
        features: csr_matrix = vectorizer.fit_transform(_texts(train.examples))
    except ValueError as error:  # texts of other signs than words, or too few texts
        raise DataError(f"too few words in the train texts ({error})") from error
    return features


def _predictor(vectorizer: TfidfVectorizer, model: LogisticRegression | Ridge) -> Predictor:
    def predict(split: Encoded) -> Predictions:
        predictions: Integers | Floats = model.predict(vectorizer.transform(_texts(split.examples)))
        return predictions

    return predict


def _classes(examples: Iterable[Example]) -> Integers:
    return np.array([example.label for example in examples], dtype=np.int64)


def _values(examples: Iterable[Example]) -> Floats:
    return np.array([example.label for example in examples], dtype=np.float64)


def _commonest(tags: Iterable[int]) -> int:
    counts = Counter(tags)
    return min(counts, key=lambda tag: (-counts[tag], tag))


def _texts(examples: Iterable[Example]) -> list[str]:
    return [" ".join(example.texts) for example in examples]
