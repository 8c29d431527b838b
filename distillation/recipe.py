"""What one distillation is made of, as values: a recipe is stages, a stage is weighted terms.

Like `values.py` this imports the standard library alone, and may be imported from anywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from distillation.schedule import DIRECT, Schedule
from distillation.values import require_positive
from encoders.values import HeadKind


class Initialisation(StrEnum):
    """Where a student's weights come from."""

    LOWER = "lower"
    """The teacher's lower layers."""
    UNIFORM = "uniform"
    """The teacher's layers at even distances, the last among them."""
    UPPER = "upper"
    """The teacher's upper layers."""
    RANDOM = "random"
    PREVIOUS = "previous"
    """A student that was trained before."""


FROM_TEACHER = (Initialisation.LOWER, Initialisation.UNIFORM, Initialisation.UPPER)


class Units(StrEnum):
    """Which of the teacher's hidden units, heads and neurons a narrower student starts from."""

    LEADING = "leading"
    NORMS = "norms"
    """Those of the largest weights."""
    IMPORTANCE = "importance"
    """Those on which the loss on the selection split rests most, by its gradients."""


class Rescaling(StrEnum):
    """What becomes of weights that read fewer units than the teacher's (`encoders.initialisation.Rescaling`)."""

    AUTO = "auto"
    """The one of the two that starts nearer to the teacher."""
    SUM = "sum"
    """They make up for all that is cut."""
    VARIANCE = "variance"
    """Sums over hidden units vary as they did; heads and neurons that are cut are not made up for."""


class Precision(StrEnum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    """Matrix products in bfloat16; weights, optimiser and losses in float32."""


class Keep(StrEnum):
    """Which weights a training ends with."""

    LAST = "last"
    """Those of the last step, where the learning rate has fallen to zero."""
    BEST = "best"
    """The best on the selection split of the learning curve's points: several looks flatter the metric a little."""


class Knowledge(StrEnum):
    """What is taught."""

    LOGITS = "logits"
    HARD_LABELS = "hard_labels"
    """The data set's labels, which no teacher says."""
    EMBEDDINGS = "embeddings"
    """The embeddings' output."""
    HIDDEN_STATES = "hidden_states"
    """The layers' outputs."""
    ATTENTION = "attention"
    """The attention maps of the heads."""
    ATTENTION_RELATIONS = "attention_relations"
    """How queries relate to keys, over heads split anew: with equal head counts these are the attention maps."""
    QUERY_RELATIONS = "query_relations"
    KEY_RELATIONS = "key_relations"
    VALUE_RELATIONS = "value_relations"
    TOKEN_GRAM = "token_gram"  # noqa: S105 (no password)
    """How alike the hidden states of any two tokens are."""
    FEATURE_GRAM = "feature_gram"
    """How alike any two hidden units are over the tokens."""


class LossName(StrEnum):
    """How student and teacher are compared."""

    KL = "kl"
    CROSS_ENTROPY = "cross_entropy"
    MSE = "mse"
    SUMMED_MSE = "summed_mse"
    """Of attention maps summed over their heads. Where head counts differ the sums never agree."""
    MEAN_MSE = "mean_mse"
    """Of the mean attention map of the heads, of which there may be more or fewer."""
    COSINE = "cosine"
    PKD = "pkd"
    """Of the first tokens' states, normalised to length 1."""
    FEATURE_MAP = "feature_map"
    """MobileBERT's: normalised states, and their means and variances."""


LOSSES: dict[Knowledge, tuple[LossName, ...]] = {
    Knowledge.LOGITS: (LossName.KL, LossName.CROSS_ENTROPY, LossName.MSE),
    Knowledge.HARD_LABELS: (LossName.CROSS_ENTROPY,),
    Knowledge.EMBEDDINGS: (LossName.MSE, LossName.COSINE, LossName.PKD, LossName.FEATURE_MAP),
    Knowledge.HIDDEN_STATES: (LossName.MSE, LossName.COSINE, LossName.PKD, LossName.FEATURE_MAP),
    Knowledge.ATTENTION: (
        LossName.KL,
        LossName.CROSS_ENTROPY,
        LossName.MSE,
        LossName.SUMMED_MSE,
        LossName.MEAN_MSE,
    ),
    Knowledge.ATTENTION_RELATIONS: (LossName.KL,),
    Knowledge.QUERY_RELATIONS: (LossName.KL,),
    Knowledge.KEY_RELATIONS: (LossName.KL,),
    Knowledge.VALUE_RELATIONS: (LossName.KL,),
    Knowledge.TOKEN_GRAM: (LossName.MSE,),
    Knowledge.FEATURE_GRAM: (LossName.MSE,),
}
"""The losses of each knowledge; the first is the default."""

OUTPUTS = (Knowledge.LOGITS, Knowledge.HARD_LABELS)
"""Knowledge of the model's end rather than of its layers."""
RELATIONS = (
    Knowledge.ATTENTION_RELATIONS,
    Knowledge.QUERY_RELATIONS,
    Knowledge.KEY_RELATIONS,
    Knowledge.VALUE_RELATIONS,
)
UNMATCHED = (*OUTPUTS, Knowledge.EMBEDDINGS)
"""Knowledge of which each model has one, so that nothing is matched."""


class Matching(StrEnum):
    """Which of T teacher layers teaches which of S student layers, for i = 0 .. S - 1."""

    FIRST = "first"
    """(i, i)"""
    LAST = "last"
    """(i + T - S, i)"""
    UNIFORM = "uniform"
    """((i + 1) * T // S - 1, i)"""
    LAST1 = "last1"
    """(T - 1, S - 1) alone"""
    EMD = "emd"
    """All with all, by the cheapest transport."""


Layers = tuple[tuple[int, int], ...]
"""Explicit (teacher layer, student layer), counted from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """A number that changes linearly over a stage, from `start` to `end`."""

    start: float
    end: float


def value_at(number: float | Ramp, share: float) -> float:
    """The number after this share, 0 to 1, of its stage."""
    return number.start + share * (number.end - number.start) if isinstance(number, Ramp) else number


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One knowledge, compared in one way, in the matched layers: their mean, times the weight.

    Args:
        loss: one of `LOSSES[knowledge]`; the first of them by default.
        matching: of layers; `uniform` by default, or explicit pairs. Outputs and embeddings have none.
        every: of the matched layers only every so manieth, counted from the last.
        embeddings: of hidden states, whether the embeddings' output counts as one more layer below the first.
        temperature: of logits under `kl` and `cross_entropy`; 1 by default.
        relation_heads: of relations, whose heads are cut anew, so that head counts may differ; by default as many as
            fit both: up to the teacher's heads for attention, and of at least 16 of its units for all else.
        smoothing: of hard labels.

    Raises:
        ValueError: a number out of its range, or an option that this knowledge does not have.
    """

    knowledge: Knowledge
    weight: float | Ramp = 1.0
    loss: LossName | None = None
    matching: Matching | Layers | None = None
    every: int = 1
    embeddings: bool = False
    temperature: float | Ramp | None = None
    relation_heads: int | None = None
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        knowledge = Knowledge(self.knowledge)
        loss = LOSSES[knowledge][0] if self.loss is None else LossName(self.loss)
        if loss not in LOSSES[knowledge]:
            raise ValueError(f"loss of {knowledge} must be one of {', '.join(LOSSES[knowledge])}, got {loss}")
        tempered = knowledge is Knowledge.LOGITS and loss is not LossName.MSE
        _only("matching", self.matching is not None, knowledge not in UNMATCHED, knowledge, loss)
        _only("every", self.every != 1, knowledge not in UNMATCHED, knowledge, loss)
        _only("embeddings", self.embeddings, knowledge is Knowledge.HIDDEN_STATES, knowledge, loss)
        _only("temperature", self.temperature is not None, tempered, knowledge, loss)
        _only("relation_heads", self.relation_heads is not None, knowledge in RELATIONS, knowledge, loss)
        _only("smoothing", self.smoothing != 0, knowledge is Knowledge.HARD_LABELS, knowledge, loss)
        object.__setattr__(self, "knowledge", knowledge)
        object.__setattr__(self, "loss", loss)
        if knowledge not in UNMATCHED:
            object.__setattr__(self, "matching", _matching(self.matching))
        if tempered and self.temperature is None:
            object.__setattr__(self, "temperature", 1.0)
        self._check_numbers()

    def _check_numbers(self) -> None:
        for value in _ends(self.weight):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{self.knowledge}: weight must be a number of at least 0, got {value}")
        for value in _ends(self.temperature):
            require_positive(f"{self.knowledge}: temperature", value)
        for name in ("every", "relation_heads"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"{self.knowledge}: {name} must be at least 1, got {count}")
        if self.matching is Matching.EMD and (self.every != 1 or self.embeddings):
            raise ValueError(
                f"{self.knowledge}: {Matching.EMD} moves all layers to all; leave `every`, `embeddings` out"
            )
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"{self.knowledge}: smoothing must be in [0, 1), got {self.smoothing}")

    @property
    def is_off(self) -> bool:
        return not any(_ends(self.weight))


class Part(StrEnum):
    """What of the student a stage trains."""

    ALL = "all"
    ENCODER = "encoder"
    HEAD = "head"
    BLOCKS = "blocks"
    """One block after the other, from the bottom (the first with the embeddings), each for an equal share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of a distillation with a criterion of its own: the sum of its terms.

    Args:
        share: of the recipe's steps, relative to the other stages'.
        learning_rate, embedding_learning_rate, warmup: the recipe's where they are None.

    Raises:
        ValueError: a number out of its range, or nothing to learn.
    """

    terms: tuple[Term, ...]
    share: float = 1.0
    train: Part = Part.ALL
    learning_rate: float | None = None
    embedding_learning_rate: float | None = None
    warmup: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "train", Part(self.train))
        if all(term.is_off for term in self.terms):
            raise ValueError("terms: at least one weight must be above 0")
        require_positive("share", self.share)
        for name in ("learning_rate", "embedding_learning_rate"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))
        if self.warmup is not None:
            _require_share("warmup", self.warmup)
        if self.train is Part.HEAD and all(term.knowledge not in OUTPUTS or term.is_off for term in self.terms):
            raise ValueError("a stage that trains the head learns from logits or hard_labels, and has neither")
        for term in self.terms if self.train is Part.BLOCKS else ():
            if term.knowledge in OUTPUTS or term.matching in (Matching.EMD, Matching.LAST1):
                raise ValueError(
                    f"a stage that trains block after block learns layer from layer, which {term.knowledge}"
                    f"{f' by {term.matching}' if term.matching else ''} is not"
                )


FLASH_FLOOR = 200
"""Fewest steps of a flash distillation where nobody measured how few will do: a share of few steps teaches nothing."""

FLASH_FLOORS = {HeadKind.CLASSIFICATION: 50}
"""Where it was measured: 50 steps ordered architectures as 100 did, Kendall .91 (docs/guides/what-to-teach.md)."""


def default_stages() -> tuple[Stage, ...]:
    """Logits at a temperature of 2, and hidden states."""
    logits = Term(knowledge=Knowledge.LOGITS, temperature=2.0)
    return (Stage(terms=(logits, Term(knowledge=Knowledge.HIDDEN_STATES))),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything but data, teacher and architecture that one distillation depends on.

    `steps` are the full ones, of all stages together.

    Raises:
        ValueError: a number out of its range, naming it.
    """

    steps: int = 1000
    batch_size: int = 64
    max_length: int = 128
    learning_rate: float = 5e-4
    embedding_learning_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup: float = 0.1
    gradient_clip: float = 1.0
    precision: Precision = Precision.FLOAT32
    initialisation: Initialisation = Initialisation.LOWER
    units: Units = Units.LEADING
    rescaling: Rescaling = Rescaling.AUTO
    keep: Keep = Keep.LAST
    stages: tuple[Stage, ...] = field(default_factory=default_stages)
    schedule: Schedule = DIRECT

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", Precision(self.precision))
        object.__setattr__(self, "initialisation", Initialisation(self.initialisation))
        object.__setattr__(self, "units", Units(self.units))
        object.__setattr__(self, "rescaling", Rescaling(self.rescaling))
        object.__setattr__(self, "keep", Keep(self.keep))
        for name in ("steps", "batch_size", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "embedding_learning_rate", "gradient_clip"):
            require_positive(name, getattr(self, name))
        if not math.isfinite(self.weight_decay) or self.weight_decay < 0:
            raise ValueError(f"weight_decay must be a number of at least 0, got {self.weight_decay}")
        _require_share("warmup", self.warmup)
        if not self.stages:
            raise ValueError("stages: at least one is needed")

    @property
    def needs_teachers_depth(self) -> bool:
        """Whether no student may be deeper than its teacher: every layer of its own has one that teaches it."""
        onto = (Matching.FIRST, Matching.LAST, Matching.UNIFORM)
        return any(term.matching in onto and not term.is_off for stage in self.stages for term in stage.terms)


def flash_floor(kind: HeadKind) -> int:
    """Fewest steps of a flash distillation on this kind of task, unless the study says otherwise."""
    return FLASH_FLOORS.get(kind, FLASH_FLOOR)


def flash_steps(recipe: Recipe, share: float, floor: int = FLASH_FLOOR) -> int:
    """Steps of a flash distillation: this share of the full ones, at least `floor` of them, never more than all.

    Every stage keeps its part of them.
    """
    return min(recipe.steps, max(math.ceil(share * recipe.steps), floor))


def _require_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} is a share of the steps in [0, 1), got {value}")


def _only(name: str, is_given: bool, belongs: bool, knowledge: Knowledge, loss: LossName) -> None:
    if is_given and not belongs:
        raise ValueError(f"{name} says nothing of {knowledge} by {loss}; leave it out")


def _matching(value: Matching | Layers | None) -> Matching | Layers:
    if value is None:
        return Matching.UNIFORM
    if isinstance(value, str):
        return Matching(value)
    pairs = tuple((int(of_teacher), int(of_student)) for of_teacher, of_student in value)
    if not pairs or len(set(pairs)) < len(pairs) or min(min(pair) for pair in pairs) < 0:
        raise ValueError(f"matching: pairs (teacher layer, student layer) count from 0, each once; got {pairs}")
    return pairs


def _ends(number: float | Ramp | None) -> tuple[float, ...]:
    if number is None:
        return ()
    return (number.start, number.end) if isinstance(number, Ramp) else (number,)
