"""A student that starts as a part of its teacher.

| student                        | from the teacher                                                               |
| ------------------------------ | ------------------------------------------------------------------------------ |
| hidden units                   | the kept ones, the same in all that writes or reads hidden states              |
| word embeddings                | the same rows; of another width or kind by a truncated SVD (`_factorise`)      |
| positions, token types         | the leading rows                                                               |
| no token types                 | the teacher's type 0 is added to the positions                                 |
| layer i                        | that of the layer choice                                                       |
| heads, neurons                 | the kept ones of that layer; of each head the leading units                    |
| fewer stacked feed-forwards    | those of the layer choice                                                      |
| more stacked feed-forwards     | the further ones start with zero outputs: the block computes what it did       |
| bottleneck                     | the leading units of the teacher's, where both have one; where only one model  |
|                                | has one, all blocks stay as built                                              |
| queries, keys, values          | as built where they read something else than the teacher's                     |
| norms                          | weights and biases, also where only one of them normalises                     |
| pooler                         | where both have one, whatever its activation                                   |
| classifier                     | where head, classes and what it reads agree; else as built                     |
| masked-LM head                 | as built, but for the bias, where the word embeddings are of another width     |

Units that are kept are the most important ones, in the teacher's order. What reads fewer units is rescaled
(`Rescaling`).

A student of the teacher's own shape computes what the teacher computes, bit for bit. One that only loses heads or
neurons of importance 0, which write nothing, computes the same up to rounding; so it is with hidden units without
normalisation (a norm over fewer units is another norm).

Measured in benchmarks/results/initialisation.md (`docstrings`, three seeds, 100 steps): 2 x 96 students of a 4 x 192
teacher of accuracy 0.782 reach 0.779 from its lower layers and leading units, 0.782 from its uniform layers, 0.783 by
norms, 0.780 by gradients, and 0.440 at random. Over all shapes neither a layer choice nor an importance was the better
one: the simplest are the defaults. Under a pre-trained teacher gradients are far ahead of norms, and these of leading
units (benchmarks/results/narrower_students.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import torch
from torch import Tensor, nn

from encoders.build import architecture_of, labels_of
from encoders.errors import InitialisationError
from encoders.importance import Classifying, Importance, blocks_of, check_importance, reads_of, stacks_of
from encoders.modeling_stillhouse import (
    Attention,
    FeedForward,
    NormedLinear,
    StillhouseForMaskedLM,
    StillhouseForQuestionAnswering,
    StillhouseForSequenceClassification,
    StillhouseTaskModel,
)
from encoders.values import Pooling
from search_space import Architecture

MIDDLE = 1
"""Of a trigram's thirds (the token after, the token, the token before) the one of the token itself."""


class LayerChoice(StrEnum):
    """Which of T teacher layers a student of S layers starts from, for i = 0 .. S - 1."""

    LOWER = "lower"
    """i"""
    UNIFORM = "uniform"
    """(i + 1) * T // S - 1"""
    UPPER = "upper"
    """i + T - S"""


class Rescaling(StrEnum):
    """What becomes of a linear map that reads fewer units than the teacher's.

    With r = importance of all units / importance of the kept ones; without importance all count alike, and that is the
    teacher's units / the student's.
    """

    SUM = "sum"
    """Multiplied by r: if units say much the same, the sum over those that are kept estimates the sum over all."""
    VARIANCE = "variance"
    """By the root of r where hidden units are fewer: if units have little to do with each other, the sum over those
    that are kept varies as the sum over all. What heads and neurons that are cut wrote is not made up for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialisationReport:
    """What became of the student's weights.

    Args:
        copied: names of the weights that come from the teacher, or were set so that these compute what they did.
        random: names of the others, which are as built.
        layers: the teacher's layer of each student layer, from the first; none where the blocks stayed as built.
        hidden_units: the teacher's hidden unit behind each of the student's, from the first.
        embedding_error: |table - approximation| / |table| in Frobenius norm, of the teacher's words as the student's
            hidden units see them; None where nothing was approximated.
    """

    copied: tuple[str, ...]
    random: tuple[str, ...]
    layers: tuple[int, ...]
    hidden_units: tuple[int, ...]
    embedding_error: float | None


def initialise_from_teacher(
    student: StillhouseTaskModel,
    teacher: StillhouseTaskModel,
    *,
    layers: LayerChoice = LayerChoice.LOWER,
    importance: Importance | None = None,
    descending: bool = False,
    rescaling: Rescaling = Rescaling.SUM,
) -> InitialisationReport:
    """Overwrites the student's weights with the part of the teacher's that the table above names.

    The activation may be another one. A student with more layers than its teacher is possible only where its blocks
    stay as built.

    Args:
        importance: of the teacher's units; None for leading units.
        descending: hidden units, heads and neurons in the order of their importance, rather than in the teacher's:
            then a leading slice of the student is its most important part.

    Raises:
        InitialisationError: the student is larger than the teacher in a dimension or of another vocabulary, or the
            importance is not of this teacher; nothing is changed then.
    """
    choice = _UnitChoice(importance or Importance(), descending, rescaling)
    return _initialise(student, teacher, layers, choice, may_grow=False)


def initialise_from_student(student: StillhouseTaskModel, previous: StillhouseTaskModel) -> InitialisationReport:
    """As `initialise_from_teacher` in lower layers and leading units; where the previous student is the smaller one,
    it becomes the leading part and the rest stays as built.

    Raises:
        InitialisationError: another vocabulary; nothing is changed then.
    """
    return _initialise(student, previous, LayerChoice.LOWER, _UnitChoice(Importance()), may_grow=True)


def chosen_layers(choice: LayerChoice, of_teacher: int, of_student: int) -> tuple[int, ...]:
    """The teacher's layer of each student layer, counted from 0; of_student <= of_teacher."""
    match choice:
        case LayerChoice.LOWER:
            return tuple(range(of_student))
        case LayerChoice.UNIFORM:
            return tuple((index + 1) * of_teacher // of_student - 1 for index in range(of_student))
        case LayerChoice.UPPER:
            return tuple(range(of_teacher - of_student, of_teacher))
        case _:
            assert_never(choice)


def _initialise(
    student: StillhouseTaskModel,
    teacher: StillhouseTaskModel,
    choice: LayerChoice,
    units: _UnitChoice,
    *,
    may_grow: bool,
) -> InitialisationReport:
    small, large = architecture_of(student.config), architecture_of(teacher.config)
    chosen: tuple[int, ...] = ()
    if bool(small.bottleneck_size) == bool(large.bottleneck_size):
        if not may_grow:
            _at_most(small, large, ("layers",))
        chosen = chosen_layers(choice, large.layers, min(small.layers, large.layers))
    _check(small, large, chosen, may_grow)
    check_importance(units.importance, large)
    transfer = _Transfer(student, teacher, units)
    with torch.no_grad():
        transfer.embeddings()
        for index, of_teacher in enumerate(chosen):
            transfer.block(index, of_teacher, choice)
        transfer.pooler()
        transfer.head()
    return transfer.report(chosen)


def _check(small: Architecture, large: Architecture, chosen: Sequence[int], may_grow: bool) -> None:
    if small.vocabulary_size != large.vocabulary_size:
        raise InitialisationError(
            f"the student's vocabulary_size of {small.vocabulary_size} is not the teacher's {large.vocabulary_size}"
        )
    if may_grow:
        return
    _at_most(small, large, ("hidden_size", "max_positions", "token_types"))
    if chosen:
        _at_most(small, large, ("bottleneck_size", "head_size"))
    for index, layer in enumerate(chosen):
        pairs = {
            "heads": (small.heads_by_layer[index], large.heads_by_layer[layer]),
            "ffn_size": (small.ffn_sizes_by_layer[index], large.ffn_sizes_by_layer[layer]),
        }
        for name, (mine, theirs) in pairs.items():
            if mine > theirs:
                raise InitialisationError(
                    f"the student's {name} of {mine} in layer {index} is more than the teacher's {theirs} in layer"
                    f" {layer}"
                )


def _at_most(small: Architecture, large: Architecture, names: Iterable[str]) -> None:
    for name in names:
        mine, theirs = getattr(small, name), getattr(large, name)
        if mine > theirs:
            raise InitialisationError(f"the student's {name} of {mine} is more than the teacher's {theirs}")


@dataclass(frozen=True, slots=True)
class _Units:
    """Along one axis the teacher's units that are kept, and the student's that they become.

    `gain` multiplies what reads only the kept.
    """

    kept: Tensor
    places: Tensor
    gain: float = 1.0


@dataclass(frozen=True, slots=True)
class _UnitChoice:
    """Which units are kept, and how what reads them is rescaled."""

    importance: Importance
    descending: bool = False
    rescaling: Rescaling = Rescaling.SUM

    def of_hidden(self, of_teacher: int, of_student: int, scores: Tensor | None = None) -> _Units:
        """Of hidden units, or of a bottleneck's."""
        return self._chosen(of_teacher, of_student, scores, 1.0 if self.rescaling is Rescaling.SUM else 0.5)

    def of_inner(self, of_teacher: int, of_student: int, scores: Tensor | None = None) -> _Units:
        """Of heads, of the units of a head, or of neurons."""
        return self._chosen(of_teacher, of_student, scores, 1.0 if self.rescaling is Rescaling.SUM else 0.0)

    def _chosen(self, of_teacher: int, of_student: int, scores: Tensor | None, power: float) -> _Units:
        weights = torch.ones(of_teacher) if scores is None else scores.detach().cpu()
        weights = weights.double()
        count = min(of_teacher, of_student)
        kept = weights.argsort(descending=True, stable=True)[:count]
        if not self.descending:
            kept = kept.sort().values
        mass = float(weights[kept].sum())
        gain = (float(weights.sum()) / mass) ** power if count < of_teacher and mass > 0 else 1.0
        return _Units(kept, torch.arange(count), gain)


def _leading(of_teacher: int, of_student: int) -> _Units:
    count = min(of_teacher, of_student)
    return _Units(torch.arange(count), torch.arange(count))


class _Transfer:
    """The state of one initialisation: what is kept, and what has been written."""

    def __init__(self, student: StillhouseTaskModel, teacher: StillhouseTaskModel, units: _UnitChoice) -> None:
        self._student, self._teacher = student, teacher
        self._small, self._large = architecture_of(student.config), architecture_of(teacher.config)
        self._units = units
        self._hidden = units.of_hidden(self._large.hidden_size, self._small.hidden_size, units.importance.hidden)
        self._embedding_error: float | None = None
        self._written: set[int] = set()

    def report(self, layers: tuple[int, ...]) -> InitialisationReport:
        written = {name: id(weight) in self._written for name, weight in self._student.named_parameters()}
        return InitialisationReport(
            copied=tuple(name for name, is_written in written.items() if is_written),
            random=tuple(name for name, is_written in written.items() if not is_written),
            layers=layers,
            hidden_units=tuple(self._hidden.kept.tolist()),
            embedding_error=self._embedding_error,
        )

    def embeddings(self) -> None:
        mine, theirs = self._student.encoder.embeddings, self._teacher.encoder.embeddings
        small, large = self._small, self._large
        if self._words_alike():
            rows = _all(large.vocabulary_size)
            self._copy(mine.word.weight, theirs.word.weight, rows, self._word_units())
            if mine.projection is not None and theirs.projection is not None:
                self._linear(mine.projection, theirs.projection, self._hidden, _all(theirs.projection.in_features))
        else:
            self._factorise()
        rows = _leading(large.max_positions, small.max_positions)
        self._copy(mine.position.weight, theirs.position.weight, rows, self._hidden)
        if theirs.token_type is not None and mine.token_type is not None:
            types = _leading(large.token_types, small.token_types)
            self._copy(mine.token_type.weight, theirs.token_type.weight, types, self._hidden)
        elif theirs.token_type is not None:
            # To the words it would also change the masked-LM head, which is tied to them.
            type_zero = theirs.token_type.weight[0, self._hidden.kept].to(mine.position.weight)
            mine.position.weight[:, self._hidden.places] += type_zero
        self._norm(mine.norm, theirs.norm, self._hidden)

    def block(self, index: int, of_teacher: int, choice: LayerChoice) -> None:
        mine, theirs = blocks_of(self._student)[index], blocks_of(self._teacher)[of_teacher]
        hidden, inner = self._hidden, self._hidden
        if self._large.bottleneck_size:
            inner = self._units.of_hidden(self._large.bottleneck_size, self._small.bottleneck_size)
        self._normed_linear(mine.bottleneck, theirs.bottleneck, inner, hidden)
        self._normed_linear(mine.shared, theirs.shared, inner, hidden)
        self._normed_linear(mine.expansion, theirs.expansion, hidden, inner)
        self._attention(mine.attention, theirs.attention, inner, _of_layer(self._units.importance.heads, of_teacher))
        scores = _of_layer(self._units.importance.neurons, of_teacher)
        self._feed_forwards(stacks_of(mine), stacks_of(theirs), inner, scores, choice)

    def pooler(self) -> None:
        mine, theirs = self._student.encoder.pooler, self._teacher.encoder.pooler
        if mine is not None and theirs is not None:
            self._linear(mine, theirs, self._hidden, self._hidden)

    def head(self) -> None:
        student, teacher = self._student, self._teacher
        if isinstance(student, Classifying) and isinstance(teacher, Classifying):
            if self._classifiers_agree():
                self._linear(student.classifier, teacher.classifier, _all(student.num_labels), self._hidden)
        elif isinstance(student, StillhouseForMaskedLM) and isinstance(teacher, StillhouseForMaskedLM):
            self._copy(student.bias, teacher.bias, _all(self._large.vocabulary_size))
            if self._words_alike():
                self._linear(student.transform, teacher.transform, self._word_units(), self._hidden)
                self._norm(student.norm, teacher.norm, self._word_units())

    def _classifiers_agree(self) -> bool:
        student, teacher = self._student, self._teacher
        if type(student) is not type(teacher):
            return False
        if student.num_labels != teacher.num_labels:
            return False
        is_named = not isinstance(student, StillhouseForQuestionAnswering) and student.num_labels > 1
        if is_named and not _same_classes(labels_of(student.config), labels_of(teacher.config)):
            return False
        return not isinstance(student, StillhouseForSequenceClassification) or self._texts_pooled_alike()

    def _texts_pooled_alike(self) -> bool:
        pooling = self._student.config.pooling
        same_vector = pooling != Pooling.CLS.value or self._small.pooler is self._large.pooler
        return same_vector and pooling == self._teacher.config.pooling

    def _words_alike(self) -> bool:
        """Whether both models' word embeddings are hidden units, or both are of one width and read alike."""
        mine, theirs = self._student.encoder.embeddings, self._teacher.encoder.embeddings
        if mine.projection is None or theirs.projection is None:
            return mine.projection is theirs.projection
        return (mine.trigram, mine.word.embedding_dim) == (theirs.trigram, theirs.word.embedding_dim)

    def _word_units(self) -> _Units:
        mapped = self._student.encoder.embeddings.projection is not None
        return _all(self._large.word_size) if mapped else self._hidden

    def _factorise(self) -> None:
        """Word embeddings of another width or kind than the teacher's.

        T (V, thirds * D) is what the teacher's words add to the kept hidden units: of a trigram the token itself and,
        where the student reads its neighbours as well, they too. With the E eigenvectors P (E, thirds * D) of T'T
        with the largest eigenvalues, T P' P is the nearest table of rank E: words T P', projection P.
        """
        mine, theirs = self._student.encoder.embeddings, self._teacher.encoder.embeddings
        kept, places = self._hidden.kept.to(theirs.word.weight.device), self._hidden.places
        thirds = [MIDDLE] if not (mine.trigram and theirs.trigram) else [0, MIDDLE, 2]
        tables = _tables(theirs.word, theirs.projection, theirs.trigram)
        table = torch.cat([tables[third][:, kept] for third in thirds], dim=1)
        bias = torch.zeros(len(kept)) if theirs.projection is None else theirs.projection.bias[kept]
        self._written.add(id(mine.word.weight))
        if mine.projection is None:
            mine.word.weight[:, places] = (table + bias.to(table)).to(mine.word.weight)
            return
        _, vectors = torch.linalg.eigh(table.T @ table)
        basis = vectors.flip(1)[:, : mine.word.embedding_dim].T
        words, rank = table @ basis.T, len(basis)
        self._embedding_error = float((table - words @ basis).norm() / table.norm().clamp(min=1e-30))
        mine.word.weight.zero_()
        mine.word.weight[:, :rank] = words.to(mine.word.weight)
        maps = mine.projection.weight.view(len(mine.projection.weight), -1, mine.word.embedding_dim)
        if mine.trigram:
            maps[places, :, :rank] = 0
        for third, part in zip(thirds if mine.trigram else [0], torch.split(basis, len(kept), dim=1), strict=True):
            maps[places, third, :rank] = part.T.to(maps)
        mine.projection.bias[places] = bias.to(mine.projection.bias)
        self._written |= {id(mine.projection.weight), id(mine.projection.bias)}

    def _attention(self, mine: Attention, theirs: Attention, inner: _Units, scores: Tensor | None) -> None:
        self._norm(mine.norm, theirs.norm, inner)
        if not (mine.heads and theirs.heads):
            return
        heads = self._units.of_inner(theirs.heads, mine.heads, scores)
        sizes = theirs.head_size, mine.head_size
        width = _within(heads, self._units.of_inner(*sizes), *sizes)
        here, there = reads_of(self._small), reads_of(self._large)
        for name in ("query", "key", "value"):
            if here[name] == there[name]:
                read = self._hidden if here[name] == "hidden" else inner
                self._linear(getattr(mine, name), getattr(theirs, name), width, read)
        self._linear(mine.output, theirs.output, inner, width)

    def _feed_forwards(
        self,
        mine: Sequence[FeedForward],
        theirs: Sequence[FeedForward],
        inner: _Units,
        scores: Tensor | None,
        choice: LayerChoice,
    ) -> None:
        chosen = chosen_layers(choice, len(theirs), min(len(mine), len(theirs)))
        by_stack = None if scores is None else scores.reshape(len(theirs), -1)
        for target, stack in zip(mine, chosen, strict=False):
            source = theirs[stack]
            self._norm(target.norm, source.norm, inner)
            if target.has_neurons and source.has_neurons:
                stack_scores = None if by_stack is None else by_stack[stack]
                sizes = source.up.out_features, target.up.out_features
                neurons = self._units.of_inner(*sizes, stack_scores)
                self._linear(target.up, source.up, neurons, inner)
                self._linear(target.down, source.down, inner, neurons)
        self._pass_through(mine[len(chosen) - 1 :])

    def _pass_through(self, stacks: Sequence[FeedForward]) -> None:
        """Lets all but the first of these stacks change nothing.

        A norm of a norm of unit weights is that norm: the first's weights move to the last, and all others become 1.
        """
        first, *further = stacks
        if not further:
            return
        for stack in further:
            if stack.has_neurons:
                self._fill(stack.down, 0.0)
        for weight, last in zip(first.norm.parameters(), further[-1].norm.parameters(), strict=True):
            last.copy_(weight)
            self._written.add(id(last))
        for stack in stacks[:-1]:
            self._fill(stack.norm, 1.0)

    def _fill(self, module: nn.Module, value: float) -> None:
        """Weights of this value, biases of 0."""
        for name, weight in module.named_parameters():
            weight.fill_(value if name == "weight" else 0.0)
            self._written.add(id(weight))

    def _normed_linear(
        self, mine: NormedLinear | None, theirs: NormedLinear | None, outputs: _Units, inputs: _Units
    ) -> None:
        if mine is not None and theirs is not None:
            self._linear(mine.linear, theirs.linear, outputs, inputs)
            self._norm(mine.norm, theirs.norm, outputs)

    def _linear(self, mine: nn.Linear, theirs: nn.Linear, outputs: _Units, inputs: _Units) -> None:
        self._copy(mine.weight, theirs.weight, outputs, inputs, gain=inputs.gain)
        self._copy(mine.bias, theirs.bias, outputs)

    def _norm(self, mine: nn.Module, theirs: nn.Module, units: _Units) -> None:
        for target, source in zip(mine.parameters(), theirs.parameters(), strict=True):
            self._copy(target, source, units)

    def _copy(self, target: Tensor, source: Tensor, *axes: _Units, gain: float = 1.0) -> None:
        part = source.detach()
        for axis, units in enumerate(axes):
            part = part.index_select(axis, units.kept.to(part.device))
        places = [units.places.view(-1, *(1,) * (len(axes) - 1 - axis)) for axis, units in enumerate(axes)]
        target[tuple(places)] = (part * gain).to(target)
        self._written.add(id(target))


def _same_classes(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Whether as many classes have the same names, or one side gave them none."""
    unnamed = tuple(f"LABEL_{index}" for index in range(len(mine)))
    return mine == theirs or unnamed in (mine, theirs)


def _all(count: int) -> _Units:
    return _leading(count, count)


def _within(outer: _Units, inner: _Units, of_teacher: int, of_student: int) -> _Units:
    """Units inside of units, `of_teacher` and `of_student` inside of each, as flat indices."""
    kept = outer.kept[:, None] * of_teacher + inner.kept
    places = outer.places[:, None] * of_student + inner.places
    return _Units(kept.flatten(), places.flatten(), outer.gain * inner.gain)


def _of_layer(scores: tuple[Tensor, ...] | None, layer: int) -> Tensor | None:
    return None if scores is None else scores[layer]


def _tables(word: nn.Embedding, projection: nn.Linear | None, trigram: bool) -> dict[int, Tensor]:
    """What each token adds to the hidden units (V, D), without bias: as the next one, itself and the one before."""
    words = word.weight.detach().double()
    if projection is None:
        return {MIDDLE: words}
    maps = torch.split(projection.weight.detach().double(), word.embedding_dim, dim=1)
    return {third if trigram else MIDDLE: words @ each.T for third, each in enumerate(maps)}
