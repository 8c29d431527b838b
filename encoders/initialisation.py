"""A student that starts as a part of its teacher.

| student                         | from the teacher                                                              |
| ------------------------------- | ----------------------------------------------------------------------------- |
| word and position embeddings    | the same rows (of positions the leading ones), leading hidden units           |
| token type embeddings           | leading types, leading hidden units                                           |
| no token types                  | the teacher's type 0 is added to the word embeddings                          |
| layer i                         | layer i: the lower layers                                                     |
| queries, keys, values           | the leading heads, of each head the leading units, from leading hidden units  |
| attention output                | from the same units of the same heads, to leading hidden units                |
| feed-forward                    | the leading neurons, from and to leading hidden units                         |
| norms                           | weights and biases of the leading hidden units                                |
| classifier                      | from leading hidden units; as built where the numbers of classes differ       |

A student of the teacher's own shape computes what the teacher computes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from encoders.build import architecture_of
from encoders.errors import InitialisationError
from encoders.modeling_stillhouse import StillhouseForSequenceClassification
from search_space import Architecture

AT_MOST = ("layers", "hidden_size", "heads", "head_size", "ffn_size", "max_positions", "token_types")
EQUAL = ("vocabulary_size", "activation")


def initialise_from_teacher(
    student: StillhouseForSequenceClassification, teacher: StillhouseForSequenceClassification
) -> None:
    """Overwrites the student's weights with the part of the teacher's that the table above names.

    Raises:
        InitialisationError: the student is larger than the teacher in a dimension, or of another vocabulary or
            activation; nothing is changed then.
    """
    small, large = architecture_of(student.config), architecture_of(teacher.config)
    _check(small, large)
    source = teacher.state_dict()
    with torch.no_grad():
        for name, target in student.state_dict().items():
            if name.startswith("classifier.") and student.num_labels != teacher.num_labels:
                continue
            target.copy_(_part(name, source[name], target, small, large))
        if large.token_types and not small.token_types:
            type_zero = source["encoder.embeddings.token_type.weight"][0, : small.hidden_size]
            student.encoder.embeddings.word.weight.add_(type_zero.to(student.device))


def _check(small: Architecture, large: Architecture) -> None:
    for name in AT_MOST:
        if getattr(small, name) > getattr(large, name):
            raise InitialisationError(
                f"the student's {name} of {getattr(small, name)} is more than the teacher's {getattr(large, name)}"
            )
    for name in EQUAL:
        if getattr(small, name) != getattr(large, name):
            raise InitialisationError(
                f"the student's {name} of {getattr(small, name)} is not the teacher's {getattr(large, name)}"
            )


def _part(name: str, source: Tensor, target: Tensor, small: Architecture, large: Architecture) -> Tensor:
    """The part of a teacher's tensor that has the shape of the student's tensor of this name."""
    of_heads = ("attention.query.", "attention.key.", "attention.value.")
    if any(part in name for part in of_heads):
        # The heads lie behind each other along the outputs: cut each one, not only the last.
        heads = source.reshape(large.heads, large.head_size, *source.shape[1:])
        cut = heads[: small.heads, : small.head_size, ...]
        return _leading(cut.flatten(0, 1), target)
    if name.endswith("attention.output.weight"):
        heads = source.reshape(-1, large.heads, large.head_size)
        cut = heads[:, : small.heads, : small.head_size]
        return _leading(cut.flatten(1, 2), target)
    return _leading(source, target)


def _leading(source: Tensor, target: Tensor) -> Tensor:
    return source[tuple(slice(size) for size in target.shape)]
