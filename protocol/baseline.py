"""Architectures that are named beside their teacher's: baselines, and the student of one distillation."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from search_space import KNOWN, Activation, Architecture, AttentionInput, InvalidArchitectureError, Norm, Pooler
from search_space.architecture import PER_LAYER
from search_space.errors import unknown
from search_space.space import FIXED

SMALLEST = Architecture(
    vocabulary_size=1, layers=1, hidden_size=1, heads=1, head_size=1, ffn_size=1, max_positions=1, token_types=0
)
"""Stands for the teacher while nobody knows it."""


def _sizes(value: object) -> object:
    """Checked here: of a number or a list pydantic would name both, in places that nobody wrote."""
    if value is None or _is_size(value):
        return value
    if isinstance(value, list | tuple) and value and all(_is_size(size) for size in value):
        return tuple(value)
    raise ValueError("must be a whole number, or a list of one for each layer")


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


Sizes = Annotated[int | tuple[int, ...] | None, BeforeValidator(_sizes)]


class ShapeSpec(BaseModel):
    """What a named baseline has of its own; the rest follows from the teacher, or from the known `model`.

    Vocabulary, positions and types are always the teacher's. `heads` and `ffn_size` are one number, or one for each
    layer. Where a teacher whose layers differ gives the rest, it is that of its lower layers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = None
    layers: int | None = None
    hidden_size: int | None = None
    heads: Sizes = None
    head_size: int | None = None
    ffn_size: Sizes = None
    ffn_stacks: int | None = None
    bottleneck_size: int | None = None
    attention_input: AttentionInput | None = None
    embedding_size: int | None = None
    trigram: bool | None = None
    norm: Norm | None = None
    activation: Activation | None = None
    pooler: Pooler | None = None

    def architecture(self, teacher: Architecture) -> Architecture:
        """The baseline of a study with this teacher, that has no pooler where the head does not read it.

        Raises:
            InvalidArchitectureError: nothing can have this shape.
        """
        base = teacher
        if self.model is not None:
            base = replace(KNOWN[self.model], **{name: getattr(teacher, name) for name in FIXED})
            if teacher.pooler is Pooler.NONE:
                base = replace(base, pooler=Pooler.NONE)
        values = {field.name: getattr(base, field.name) for field in fields(base)} | self._own
        for name in PER_LAYER:
            if isinstance(values[name], tuple) and name not in self._own:
                values[name] = values[name][: values["layers"]]
        if not values["bottleneck_size"] and "attention_input" not in self._own:
            values["attention_input"] = AttentionInput.INPUT
        return Architecture(**values)

    @property
    def _own(self) -> dict[str, Any]:
        """What is given; a list of sizes also says how many layers there are."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name != "model"}
        own = {name: value for name, value in given.items() if value is not None}
        lists = [len(own[name]) for name in PER_LAYER if isinstance(own.get(name), tuple)]
        return {"layers": lists[0], **own} if lists else own

    @field_validator("model")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in KNOWN:
            raise ValueError(unknown("model", name, KNOWN))
        return name

    def smallest(self) -> Architecture:
        """This shape under the smallest teacher that allows it. Raises: InvalidArchitectureError: none does."""
        # A teacher has a bottleneck or none: what only one of them allows is said when it is known.
        try:
            return self.architecture(SMALLEST)
        except InvalidArchitectureError:
            if self.bottleneck_size is not None or self.model is not None:
                raise
            return self.architecture(replace(SMALLEST, bottleneck_size=1))

    @model_validator(mode="after")
    def _check(self) -> ShapeSpec:
        self.smallest()
        return self

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only what is given: a field that is added changes no study's digest."""
        return {name: value for name, value in handler(self).items() if value is not None}


def half_depth(teacher: Architecture) -> ShapeSpec:
    """The teacher's lower half; DistilBERT has half of BERT's layers."""
    return ShapeSpec(layers=max(1, teacher.layers // 2))


def read_by_head(teacher: Architecture, *, pools_first_token: bool) -> Architecture:
    """The teacher without a pooler that its head, which is the students' as well, does not read."""
    return teacher if pools_first_token else replace(teacher, pooler=Pooler.NONE)


def beyond(architecture: Architecture, teacher: Architecture) -> str:
    """What the teacher's lower layers and leading units do not have; empty where they have it all."""
    names = ["hidden_size"]
    if bool(architecture.bottleneck_size) == bool(teacher.bottleneck_size):  # else blocks start at random
        names += ["layers", "bottleneck_size", "head_size"]
    for name in names:
        own, most = getattr(architecture, name), getattr(teacher, name)
        if own > most:
            return f"its {name} {own} is beyond the teacher's {most}"
    if len(names) == 1:
        return ""
    for name, sizes, bounds in (
        ("heads", architecture.heads_by_layer, teacher.heads_by_layer),
        ("ffn_size", architecture.ffn_sizes_by_layer, teacher.ffn_sizes_by_layer),
    ):
        for layer, (own, most) in enumerate(zip(sizes, bounds, strict=False)):
            if own > most:
                return f"its {name} {own} in layer {layer} is beyond the teacher's {most}"
    return ""
