"""The least time that a forward pass can take on a chip, from what it must compute and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from encoders.values import Head, HeadKind, Pooling
from hardware.chips import Chip, chip
from hardware.errors import MeasurementError
from hardware.values import DeviceProfile, Measurement
from search_space import Architecture, Pooler, cost
from search_space.cost import DTYPE_BYTES

SLACK = 0.9
"""Share of a bound below which a measurement is broken: a card's clock may lie above that of its datasheet's peak."""

ID_BYTES = 4


class ImpossibleLatencyError(MeasurementError):
    """A measured latency that is less than the chip needs to read the weights, or to multiply by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a forward pass needs at least: max(bytes / bandwidth, operations / peak).

    `arithmetic_s` is None where the chip's peak at that dtype is not known.
    """

    chip: str
    operations: int
    bytes: int
    arithmetic_s: float | None
    memory_s: float

    @property
    def seconds(self) -> float:
        return max(self.arithmetic_s or 0.0, self.memory_s)

    @property
    def label(self) -> str:
        """Which of the two it is, in words."""
        return "operations / peak" if (self.arithmetic_s or 0.0) > self.memory_s else "bytes / bandwidth"


def chip_name(environment: Mapping[str, str]) -> str:
    """How the stamp of a machine names the accelerator that was measured on; empty without one."""
    return environment.get("gpu") or environment.get("tpu", "").partition(",")[0]


def lower_bound_s(architecture: Architecture, head: Head, profile: DeviceProfile, chip_name: str) -> Bound | None:
    """The bound of calls that follow each other on the chip of that name, as its driver or we name it.

    Weights that fit on the chip may still be there from the call before. None where the chip is not known, as any CPU.
    """
    known = chip(chip_name)
    return None if known is None else lower_bound(architecture, head, profile, known, kept_bytes=known.on_chip_bytes)


def lower_bound(
    architecture: Architecture, head: Head, profile: DeviceProfile, known: Chip, *, kept_bytes: int = 0
) -> Bound:
    """max((bytes - kept) / bandwidth, operations / peak) of one batch of full length.

    Bytes are the weights once, the token ids and the logits; of the embedding tables, whose rows are looked up, only
    the positions. Operations are two for each multiply-accumulate of linear maps and attention. `kept_bytes` are at
    most on the chip already.

    References: Williams, Waterman and Patterson, Roofline (2009).
    """
    if head.pooling is not Pooling.CLS:  # nobody reads the pooler
        architecture = replace(architecture, pooler=Pooler.NONE)
    width = DTYPE_BYTES[profile.dtype.value]
    encoder = cost(architecture, batch=profile.batch, length=profile.length, dtype=profile.dtype.value)
    head_macs, head_weights, logits = _head(architecture, head, profile.batch, profile.length)
    weights = encoder.parameters - _looked_up(architecture, profile.length) + head_weights
    operations = 2 * (encoder.macs + head_macs)
    moved = width * (weights + logits) + ID_BYTES * profile.batch * profile.length
    peak = known.peak_flops.get(profile.dtype.value)
    return Bound(
        chip=known.name,
        operations=operations,
        bytes=moved,
        arithmetic_s=None if peak is None else operations / peak,
        memory_s=max(0, moved - kept_bytes) / known.bandwidth,
    )


def refuse_below(measurement: Measurement, bound: Bound | None) -> None:
    """Let a measurement pass that is possible; without a bound, any.

    Raises:
        ImpossibleLatencyError: its median is below `SLACK` of the bound.
    """
    if bound is not None and measurement.p50.value_s < SLACK * bound.seconds:
        raise ImpossibleLatencyError(
            f"a median of {measurement.p50.value_s * 1e3:.4g} ms was measured where {bound.chip} needs at least"
            f" {bound.seconds * 1e3:.4g} ms ({bound.label}): the measurement is broken"
        )


def _head(architecture: Architecture, head: Head, batch: int, length: int) -> tuple[int, int, int]:
    """Multiply-accumulates, weights beyond the encoder's that are read, and logits of a task head.

    The words' embeddings are read whole by a head over the vocabulary, whose matrix they are.
    """
    hidden, tokens = architecture.hidden_size, batch * length
    match head.kind:
        case HeadKind.CLASSIFICATION | HeadKind.REGRESSION:
            outputs, rows = head.classes or 1, batch
        case HeadKind.TOKEN_CLASSIFICATION:
            outputs, rows = head.classes, tokens
        case HeadKind.QUESTION_ANSWERING:
            outputs, rows = 2, tokens
        case HeadKind.MASKED_LM:
            word, words = architecture.word_size, architecture.vocabulary_size
            macs = tokens * word * (hidden + words)
            return macs, word * (hidden + words + 3) + words, tokens * words
        case _:
            assert_never(head.kind)
    return rows * hidden * outputs, (hidden + 1) * outputs, rows * outputs


def _looked_up(architecture: Architecture, length: int) -> int:
    """Weights of the embedding tables that a batch need not read: all words and types, and unused positions."""
    words = architecture.vocabulary_size * architecture.word_size
    unused = architecture.max_positions - min(length, architecture.max_positions)
    return words + (unused + architecture.token_types) * architecture.hidden_size
