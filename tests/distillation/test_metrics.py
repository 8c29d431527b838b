import tracemalloc

import numpy as np
import pytest
import seqeval.metrics
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from distillation.answers import answer_f1, exact_match, normalised
from distillation.confusion import FORMULAS
from distillation.correlation import pearson, ranks, spearman
from distillation.intervals import wilson
from distillation.metrics import NO_TAG, Guesses, estimate, score
from distillation.splits import Answer, Example
from distillation.values import METRICS_OF, Metric

ANSWERS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60)
PEERS = {
    Metric.ACCURACY: accuracy_score,
    Metric.F1: lambda truth, predictions: f1_score(truth, predictions, zero_division=0),
    Metric.MACRO_F1: lambda truth, predictions: f1_score(truth, predictions, average="macro"),
    Metric.MATTHEWS: matthews_corrcoef,
}


def examples(truth):
    """Of labels, whatever the texts."""
    return [Example(("some text",), label) for label in truth]


def names(count):
    return [f"class {number}" for number in range(count)]


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize("metric", list(FORMULAS))
@given(answers=ANSWERS)
def test_metrics_agree_with_scikit_learn(metric, answers):
    truth, predictions = np.array(answers).T
    classes = 4
    if metric is Metric.F1:
        truth, predictions, classes = truth % 2, predictions % 2, 2
    found = score(metric, examples(truth), predictions, names(classes))
    assert found == pytest.approx(PEERS[metric](truth, predictions), abs=1e-9)


def test_wilson_interval_is_the_published_example():
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 0 of 20.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_wilson_interval_holds_its_share_at_the_ends_too(share):
    assert all(low <= share <= high for low, high in (wilson(share, count) for count in range(1, 100)))


def test_many_classes_need_little_memory():
    truth = np.arange(600) % 300
    tracemalloc.start()
    found = estimate(Metric.MACRO_F1, examples(truth), np.where(np.arange(600) % 5, truth, 0), names(300))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.low < found.value < found.high
    assert peak_bytes < 100e6


@pytest.mark.parametrize("metric", [Metric.ACCURACY, Metric.MACRO_F1, Metric.MATTHEWS])
def test_intervals_hold_their_value_and_shrink_with_more_examples(metric):
    random = np.random.default_rng(0)

    def interval(count):
        truth = random.integers(0, 3, count)
        predictions = np.where(random.random(count) < 0.8, truth, random.integers(0, 3, count))
        found = estimate(metric, examples(truth), predictions, names(3))
        assert found.examples == count
        assert found.low < found.value < found.high
        return found.high - found.low

    assert interval(5000) < 0.4 * interval(200)


@pytest.mark.parametrize("metric", [Metric.MACRO_F1, Metric.MATTHEWS])
def test_bootstrap_interval_covers_the_true_value_about_as_often_as_it_says(metric):
    random = np.random.default_rng(1)

    def sample(count):
        truth = random.integers(0, 2, count)
        return truth, np.where(random.random(count) < 0.85, truth, 1 - truth)

    def of(measure, count):
        truth, predictions = sample(count)
        return measure(metric, examples(truth), predictions, names(2))

    true_value = of(score, 400_000)
    found = [of(estimate, 200) for _ in range(100)]
    assert 88 <= sum(one.low <= true_value <= one.high for one in found) <= 100


def test_equal_seeds_give_equal_intervals():
    truth, predictions = examples([0, 1, 1, 0] * 20), np.array([0, 1, 0, 0] * 20)
    first = estimate(Metric.MATTHEWS, truth, predictions, names(2), seed=3)
    assert first == estimate(Metric.MATTHEWS, truth, predictions, names(2), seed=3)
    assert first != estimate(Metric.MATTHEWS, truth, predictions, names(2), seed=4)


NUMBERS = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=40)


@given(pairs=NUMBERS)
def test_correlations_agree_with_scipy(pairs):
    truth, predictions = np.array(pairs, dtype=np.float64).T
    for metric, peer in ((Metric.PEARSON, pearsonr), (Metric.SPEARMAN, spearmanr)):
        varies = len(set(truth)) > 1 and len(set(predictions)) > 1
        expected = peer(truth, predictions).statistic if varies else 0.0
        assert score(metric, examples(truth), predictions, ()) == pytest.approx(expected, abs=1e-9)


@given(pairs=NUMBERS, data=st.data())
def test_a_weighted_sample_has_the_correlation_of_its_copies(pairs, data):
    truth, predictions = np.array(pairs, dtype=np.float64).T
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs))))
    copies = [np.repeat(values, counts) for values in (truth, predictions)]
    if not counts.sum():
        return
    drawn = ranks(counts[None, :].astype(np.float64), truth)[0][counts > 0]
    assert np.repeat(drawn, counts[counts > 0]).tolist() == rankdata(copies[0]).tolist()
    for formula in (pearson, spearman):
        ones = np.ones((1, len(copies[0])))
        weighted = formula(counts[None, :].astype(np.float64), truth, predictions)
        assert weighted == pytest.approx(formula(ones, *copies), abs=1e-9)


TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SENTENCES = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8), min_size=1, max_size=8
)


@pytest.mark.filterwarnings("ignore:F-score is ill-defined")
@given(sentences=SENTENCES)
def test_entities_are_those_of_seqeval(sentences):
    truth = [tuple(there for there, _ in sentence) for sentence in sentences]
    said = [np.array([tag for _, tag in sentence]) for sentence in sentences]
    named = [[[TAGS[tag] for tag in tags] for tags in each] for each in (truth, said)]
    found = score(Metric.ENTITY_F1, examples(truth), said, TAGS)
    assert found == pytest.approx(seqeval.metrics.f1_score(*named), abs=1e-9)
    hits = [there == tag for sentence in sentences for there, tag in sentence]
    assert score(Metric.ACCURACY, examples(truth), said, TAGS) == pytest.approx(np.mean(hits))


def test_a_word_that_was_not_seen_is_wrong_and_no_entity():
    truth, said = examples([(1, 2, 0, 3)]), [np.array([1, 2, NO_TAG, NO_TAG])]
    assert score(Metric.ACCURACY, truth, said, TAGS) == 0.5
    assert score(Metric.ENTITY_F1, truth, said, TAGS) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("answer", "right", "exact", "shared"),
    [
        # Written out by hand from the definition: lower case, then no punctuation, then no articles.
        ("The cat!", ["cat"], 1.0, 1.0),
        ("a black cat", ["the cat", "dog"], 0.0, 2 * 1 / (2 + 1)),
        ("in the year 1900", ["1900"], 0.0, 2 * 1 / (3 + 1)),
        ("cat cat", ["cat dog"], 0.0, 2 * 1 / (2 + 2)),
        ("", [], 1.0, 1.0),
        ("something", [], 0.0, 0.0),
        ("", ["cat"], 0.0, 0.0),
        ("U.S.", ["us"], 1.0, 1.0),
    ],
)
def test_answers_are_judged_as_squad_judges_them(answer, right, exact, shared):
    assert exact_match(answer, right) == exact
    assert answer_f1(answer, right) == pytest.approx(shared)


def test_an_answer_is_compared_without_case_punctuation_and_articles():
    assert normalised(" An  Apple, a day -- keeps THE doctor's away.") == "apple day keeps doctors away"


def test_questions_are_the_mean_of_their_answers():
    asked = [
        Example(("who?", "a cat sat"), (Answer("a cat", 0), Answer("cat", 2))),
        Example(("where?", "a cat sat"), ()),
        Example(("how?", "a cat sat there"), (Answer("sat there", 6),)),
    ]
    said = ["cat", "", "sat"]
    assert score(Metric.EXACT_MATCH, asked, said, ()) == pytest.approx(2 / 3)
    assert score(Metric.ANSWER_F1, asked, said, ()) == pytest.approx((1 + 1 + 2 / 3) / 3)
    found = estimate(Metric.EXACT_MATCH, asked, said, ())
    assert (found.low, found.high) == wilson(2 / 3, 3)


def test_guesses_count_words_and_not_texts():
    guesses = Guesses(np.array([1.0, 3.0]), np.array([1.0, 9.0]), np.array([0.5, 9.5]))
    two = examples([None, None])
    assert score(Metric.ACCURACY, two, guesses, ()) == pytest.approx(0.4)
    assert score(Metric.PERPLEXITY, two, guesses, ()) == pytest.approx(np.exp(1.0))


def sampled(metric, random, count):
    """Predictions of this kind that are right most of the time."""
    right = random.random(count) < 0.8
    match metric:
        case Metric.PEARSON | Metric.SPEARMAN:
            truth = random.random(count)
            return examples(truth), truth + 0.6 * random.random(count)
        case Metric.ENTITY_F1 | Metric.ACCURACY:
            truth = [(1, 2, 0) if one else (0, 3, 0) for one in random.random(count) < 0.5]
            return examples(truth), [
                np.array(tags if one else (0, 0, 0)) for tags, one in zip(truth, right, strict=True)
            ]
        case Metric.ANSWER_F1 | Metric.EXACT_MATCH:
            asked = [Example(("?", "two words"), (Answer("two words", 0),))] * count
            return asked, [("two words", "words two", "words")[0 if one else random.integers(1, 3)] for one in right]
        case _:
            words = random.integers(1, 9, count).astype(np.float64)
            return examples([None] * count), Guesses(words * right, words, words * (1 + random.random(count)))


JUDGED = sorted({metric for metrics in METRICS_OF.values() for metric in metrics} - set(FORMULAS) | {Metric.ACCURACY})


@pytest.mark.parametrize("metric", JUDGED)
def test_intervals_of_every_metric_hold_their_value_and_shrink_with_more_examples(metric):
    random = np.random.default_rng(0)
    widths = []
    for count in (100, 2500):
        found = estimate(metric, *sampled(metric, random, count), TAGS)
        assert found.examples == count
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] < 0.4 * widths[0]


@pytest.mark.parametrize("metric", [Metric.SPEARMAN, Metric.ENTITY_F1, Metric.PERPLEXITY])
def test_intervals_of_resampled_examples_cover_the_true_value(metric):
    random = np.random.default_rng(2)
    truth, predictions = sampled(metric, random, 50_000)
    true_value = score(metric, truth, predictions, TAGS)
    found = [estimate(metric, *sampled(metric, random, 150), TAGS) for _ in range(60)]
    assert sum(one.low <= true_value <= one.high for one in found) >= 51
