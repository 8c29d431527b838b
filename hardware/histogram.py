"""The lengths of real texts in buckets, and what a model takes for them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hardware.values import Measurement, QuantileName

BUCKETS = (16, 32, 64, 128, 256)
"""Lengths that texts are padded to, beside the model's longest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """`texts` texts of `tokens` tokens in all, each padded to `length`; those that were longer are cut to it."""

    length: int
    texts: int
    tokens: int

    @property
    def waste(self) -> float:
        """Share of what is computed that is padding."""
        return 1 - self.tokens / (self.texts * self.length) if self.texts else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Buckets by length, the empty ones too; `cut` texts were longer than the longest of them."""

    buckets: tuple[Bucket, ...]
    cut: int

    @property
    def texts(self) -> int:
        return sum(bucket.texts for bucket in self.buckets)

    @property
    def waste(self) -> float:
        """Share of what is computed that is padding, over all texts."""
        return _waste(self, {bucket.length: bucket.length for bucket in self.buckets})

    @property
    def waste_without_buckets(self) -> float:
        """As `waste`, where every text is padded to the longest bucket."""
        longest = self.buckets[-1].length
        return _waste(self, {bucket.length: longest for bucket in self.buckets})


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a text of the histogram takes, from the measurements of its buckets.

    `mean_s` is the mean duration of a call, each text's bucket counted as often as it comes; `quantiles_s` are of the
    durations that texts drawn from the histogram see: the samples of every bucket together, weighted by its texts.
    `throughput_per_s` counts texts, of which as many are called together as the profile's batch, all of one bucket.
    `longest_s` is the mean where every text is padded to the longest bucket; None where that was not measured.
    """

    mean_s: float
    quantiles_s: Mapping[QuantileName, float]
    throughput_per_s: float
    longest_s: float | None


def histogram(lengths: Iterable[int], buckets: Sequence[int], longest: int) -> Histogram:
    """Sort texts of these lengths, in tokens, into the buckets below `longest` and `longest` itself.

    Raises:
        ValueError: no text, a length or bucket below 1, or a bucket that comes twice.
    """
    if not buckets or min(buckets) < 1 or len(set(buckets)) < len(buckets):
        raise ValueError(f"buckets must be different lengths of at least 1, got {list(buckets)}")
    edges = [*(edge for edge in sorted(buckets) if edge < longest), longest]
    counts = Counter(lengths)
    if not counts:
        raise ValueError("a histogram needs at least one text")
    if min(counts) < 1:
        raise ValueError(f"a text has at least one token, got a length of {min(counts)}")
    found, below = [], 0
    for edge in edges:
        top = max(counts) if edge == longest else edge
        inside = {length: count for length, count in counts.items() if below < length <= top}
        tokens = sum(min(length, edge) * count for length, count in inside.items())
        found.append(Bucket(length=edge, texts=sum(inside.values()), tokens=tokens))
        below = edge
    return Histogram(buckets=tuple(found), cut=sum(count for length, count in counts.items() if length > longest))


def expectation(seen: Histogram, measured: Mapping[int, Measurement]) -> Expectation:
    """What the texts take, where `measured` has a measurement for the length of every bucket that has a text.

    Raises:
        KeyError: it lacks one.
    """
    filled = [bucket for bucket in seen.buckets if bucket.texts]
    means_s = {length: _mean_s(measurement) for length, measurement in measured.items()}
    mean_s = sum(bucket.texts * means_s[bucket.length] for bucket in filled) / seen.texts
    weighted = []
    for bucket in filled:
        samples_s = [sample for process in measured[bucket.length].samples_s for sample in process]
        weighted += [(sample, bucket.texts / len(samples_s)) for sample in samples_s]
    weighted.sort()
    return Expectation(
        mean_s=mean_s,
        quantiles_s={name: _weighted_quantile(weighted, name.share) for name in QuantileName},
        throughput_per_s=measured[filled[0].length].profile.batch / mean_s,
        longest_s=means_s.get(seen.buckets[-1].length),
    )


def _mean_s(measurement: Measurement) -> float:
    """Mean duration of a call: `throughput_per_s` is the batch over it, and comes from all calls."""
    return measurement.profile.batch / measurement.throughput_per_s


def _weighted_quantile(weighted: Sequence[tuple[float, float]], share: float) -> float:
    """The smallest value at which the weights, in order of the values, reach `share` of their sum."""
    # Less what adding up so many weights may lose, or a quantile that falls between two values takes the upper one.
    wanted = share * math.fsum(weight for _, weight in weighted) * (1 - 1e-9)
    reached = 0.0
    for value, weight in weighted:
        reached += weight
        if reached >= wanted:
            return value
    return weighted[-1][0]


def _waste(seen: Histogram, padded: Mapping[int, int]) -> float:
    computed = sum(bucket.texts * padded[bucket.length] for bucket in seen.buckets)
    return 1 - sum(bucket.tokens for bucket in seen.buckets) / computed
