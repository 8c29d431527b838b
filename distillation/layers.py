"""A term that compares layers: which ones, through which projections, by which loss."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from distillation.attention import (
    attention_cross_entropy,
    attention_kl,
    attention_mean_mse,
    attention_mse,
    attention_summed_mse,
)
from distillation.batches import Batch
from distillation.decisions import Needs
from distillation.errors import TeacherError
from distillation.matching import Pairs, match
from distillation.recipe import RELATIONS, Knowledge, LossName, Matching, Term
from distillation.relations import feature_gram, relation_heads_that_fit, relations_kl, token_gram
from distillation.states import feature_map, hidden_cosine, hidden_mse, pkd
from distillation.transport import emd
from encoders.build import architecture_of
from encoders.modeling_stillhouse import Projections, StillhouseOutput, StillhouseTaskModel
from search_space import Architecture

STATES = {
    LossName.MSE: hidden_mse,
    LossName.COSINE: hidden_cosine,
    LossName.PKD: pkd,
    LossName.FEATURE_MAP: feature_map,
}
MAPS = {
    LossName.KL: attention_kl,
    LossName.CROSS_ENTROPY: attention_cross_entropy,
    LossName.MSE: attention_mse,
    LossName.SUMMED_MSE: attention_summed_mse,
    LossName.MEAN_MSE: attention_mean_mse,
}
RELATED = {
    Knowledge.QUERY_RELATIONS: "query",
    Knowledge.KEY_RELATIONS: "key",
    Knowledge.VALUE_RELATIONS: "value",
}
EMBEDDINGS = -1
"""The embeddings as a layer below the first."""


class LayerTerm(nn.Module):
    """The mean over its pairs, or the cheapest transport of all with all, of one loss.

    States of a student of another width pass through a linear map of their own, which is learned and not part of the
    student. Where a student starts from some of the teacher's units the map starts by leaving them there.
    """

    def __init__(
        self,
        term: Term,
        pairs: Pairs,
        teacher: Architecture,
        student: Architecture,
        hidden_units: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.term = term
        self.pairs = pairs
        self._relation_heads = (
            [_relation_heads(term, pair, teacher, student) for pair in pairs] if term.knowledge in RELATIONS else []
        )
        self.projections = nn.ModuleDict()
        if _is_projected(term) and student.hidden_size != teacher.hidden_size:
            # Transport moves every student layer to many of the teacher's: its own map serves them all.
            for key in dict.fromkeys(self._key(pair) for pair in pairs):
                self.projections[key] = _projection(student.hidden_size, teacher.hidden_size, hidden_units)

    @property
    def needs(self) -> Needs:
        """Of the teacher."""
        layers = frozenset(of_teacher for of_teacher, _ in self.pairs)
        if self.term.knowledge is Knowledge.ATTENTION:
            return Needs(attentions=layers)
        if self.term.knowledge in RELATIONS:
            return Needs(projections=layers)
        return Needs(hidden_states=frozenset(layer + 1 for layer in layers))

    def forward(self, learned: StillhouseOutput, taught: StillhouseOutput, batch: Batch) -> Tensor:
        """The term's value before its weight, a scalar."""
        losses = torch.stack([self._loss(index, learned, taught, batch) for index in range(len(self.pairs))])
        if self.term.matching is Matching.EMD:
            rows = 1 + max(of_teacher for of_teacher, _ in self.pairs)
            return emd(losses.reshape(rows, -1))
        return losses.mean()

    def _loss(self, index: int, learned: StillhouseOutput, taught: StillhouseOutput, batch: Batch) -> Tensor:
        of_teacher, of_student = self.pairs[index]
        term, mask_BL = self.term, batch.attention_mask
        if term.knowledge in RELATIONS:
            own, other = _projected(learned, of_student), _projected(taught, of_teacher)
            heads = self._relation_heads[index]
            if term.knowledge is Knowledge.ATTENTION_RELATIONS:
                keys = (own.key, other.key)
                return relations_kl(own.query, other.query, mask_BL, heads, keys=keys).mean()
            side = RELATED[term.knowledge]
            return relations_kl(getattr(own, side), getattr(other, side), mask_BL, heads).mean()
        if term.knowledge is Knowledge.ATTENTION:
            compare = MAPS[_loss_of(term)]
            return compare(_map(learned, of_student), _map(taught, of_teacher), mask_BL).mean()
        own_BLD, other_BLD = _states(learned, of_student).float(), _states(taught, of_teacher)
        key = self._key(self.pairs[index])
        if key in self.projections:
            own_BLD = self.projections[key](own_BLD)
        return _state_loss(term)(own_BLD, other_BLD, mask_BL).mean()

    def _key(self, pair: tuple[int, int]) -> str:
        return str(pair[1]) if self.term.matching is Matching.EMD else f"{pair[0]} {pair[1]}"


def layer_term(
    term: Term,
    teacher: StillhouseTaskModel,
    student: StillhouseTaskModel,
    hidden_units: tuple[int, ...] = (),
    block: int | None = None,
) -> LayerTerm | None:
    """The term between these two; None where it says nothing to the block.

    Raises:
        TeacherError: their layers cannot be matched, or these cannot be compared in this way.
    """
    large, small = architecture_of(teacher.config), architecture_of(student.config)
    pairs = _pairs(term, large.layers, small.layers)
    if block is not None:
        pairs = tuple(pair for pair in pairs if pair[1] == block or (pair[1] == EMBEDDINGS and block == 0))
    for pair in pairs:
        _check(term, pair, large, small)
    return LayerTerm(term, pairs, large, small, hidden_units) if pairs else None


def _pairs(term: Term, teacher_layers: int, student_layers: int) -> Pairs:
    if term.knowledge is Knowledge.EMBEDDINGS:
        return ((EMBEDDINGS, EMBEDDINGS),)
    if term.matching is None:
        raise ValueError(f"{term.knowledge} matches no layers")
    pairs = match(term.matching, teacher_layers=teacher_layers, student_layers=student_layers)
    if term.embeddings:
        pairs = ((EMBEDDINGS, EMBEDDINGS), *pairs)
    return pairs[::-1][:: term.every][::-1]


def _check(term: Term, pair: tuple[int, int], large: Architecture, small: Architecture) -> None:
    """Raises: TeacherError."""
    if term.knowledge is not Knowledge.ATTENTION and term.knowledge not in RELATIONS:
        return
    heads = {}
    for name, shape, layer in (("teacher", large, pair[0]), ("student", small, pair[1])):
        heads[name] = shape.heads_by_layer[layer]
        if not heads[name]:
            raise TeacherError(f"{term.knowledge}: layer {layer} of the {name} has no heads; match other layers")
    if term.knowledge is Knowledge.ATTENTION:
        if heads["teacher"] != heads["student"] and term.loss not in (LossName.SUMMED_MSE, LossName.MEAN_MSE):
            raise TeacherError(
                f"attention by {term.loss}: layer {pair[1]} of the student has {heads['student']} heads,"
                f" layer {pair[0]} of the teacher {heads['teacher']}; use {LossName.MEAN_MSE}, or"
                f" {Knowledge.ATTENTION_RELATIONS}"
            )
        return
    for name, shape in (("teacher", large), ("student", small)):
        width = heads[name] * shape.head_size
        if term.relation_heads is not None and width % term.relation_heads:
            raise TeacherError(
                f"{term.knowledge}: relation_heads of {term.relation_heads} do not divide the {name}'s {width} units"
            )


def _relation_heads(term: Term, pair: tuple[int, int], large: Architecture, small: Architecture) -> int:
    if term.relation_heads is not None:
        return term.relation_heads
    heads = large.heads_by_layer[pair[0]]
    widths = small.heads_by_layer[pair[1]] * small.head_size, heads * large.head_size
    if term.knowledge is not Knowledge.ATTENTION_RELATIONS:
        return relation_heads_that_fit(*widths)
    common = math.gcd(*widths)
    return max(count for count in range(1, min(heads, common) + 1) if common % count == 0)


def _is_projected(term: Term) -> bool:
    """Attention and relations, and Gram matrices over tokens, do not depend on the width."""
    return term.knowledge in (Knowledge.EMBEDDINGS, Knowledge.HIDDEN_STATES, Knowledge.FEATURE_GRAM)


def _state_loss(term: Term) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    if term.knowledge is Knowledge.TOKEN_GRAM:
        return token_gram
    return feature_gram if term.knowledge is Knowledge.FEATURE_GRAM else STATES[_loss_of(term)]


def _loss_of(term: Term) -> LossName:
    if term.loss is None:
        raise ValueError(f"{term.knowledge} has no loss")
    return term.loss


def _states(output: StillhouseOutput, layer: int) -> Tensor:
    if output.hidden_states is None:
        raise ValueError("the output has no hidden states")
    return output.hidden_states[layer + 1]


def _map(output: StillhouseOutput, layer: int) -> Tensor:
    maps = None if output.attentions is None else output.attentions[layer]
    if maps is None:
        raise ValueError(f"the output has no attention map of layer {layer}")
    return maps


def _projected(output: StillhouseOutput, layer: int) -> Projections:
    found = None if output.projections is None else output.projections[layer]
    if found is None:
        raise ValueError(f"the output has no projections of layer {layer}")
    return found


def _projection(student_size: int, teacher_size: int, hidden_units: tuple[int, ...]) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):  # what it draws here is overwritten, and nobody's to miss
        linear = nn.Linear(student_size, teacher_size)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    units = hidden_units or tuple(range(min(student_size, teacher_size)))
    with torch.no_grad():
        for own, other in enumerate(units):
            linear.weight[other, own] = 1.0
    return linear
