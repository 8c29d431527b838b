"""Slices of a supernet: models of smaller shapes whose every weight is the leading part of one of its weights.

A slice of importance-sorted units is bit for bit the dense model that is extracted from it: both compute with the same
contiguous tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distillation.errors import TeacherError
from encoders.build import build, head_of, labels_of
from encoders.importance import Importance
from encoders.initialisation import initialise_from_teacher
from encoders.modeling_stillhouse import StillhouseTaskModel
from search_space import Architecture


def supernet_of(teacher: StillhouseTaskModel, shape: Architecture, importance: Importance) -> StillhouseTaskModel:
    """The teacher with its units in the order of their importance, the greatest first: it computes what the teacher
    does, up to rounding.

    `shape` is the teacher's, perhaps without a pooler that its head does not read.

    Raises:
        InitialisationError: the importance is not of this teacher.
    """
    made = build(shape, head_of(teacher.config), labels_of(teacher.config))
    report = initialise_from_teacher(made, teacher, importance=importance, descending=True)
    if report.random:
        raise TeacherError(f"the teacher has no {', '.join(report.random)}")
    return made


def skeleton_of(supernet: StillhouseTaskModel, shape: Architecture) -> StillhouseTaskModel:
    """A model of this shape under the supernet's head, without any memory for its weights."""
    with torch.device("meta"):
        return build(shape, head_of(supernet.config), labels_of(supernet.config))


def slices_of(supernet: nn.Module, skeleton: nn.Module) -> dict[str, Tensor]:
    """The part of each of the supernet's weights that the skeleton has, by its name; gradients reach the supernet."""
    whole = dict(supernet.named_parameters())
    return {
        name: whole[name][tuple(slice(0, size) for size in weight.shape)].contiguous()
        for name, weight in skeleton.named_parameters()
    }


def extract(supernet: StillhouseTaskModel, shape: Architecture) -> StillhouseTaskModel:
    """A dense model of this shape with weights of its own, equal to the slice; on the supernet's device."""
    made = skeleton_of(supernet, shape)
    made.load_state_dict({name: part.detach().clone() for name, part in slices_of(supernet, made).items()}, assign=True)
    made.train(False)
    return made
