"""What is known of a model type of transformers: its configuration, and where its tensors are in this family.

Each type has one table of names, which import and export both read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import PretrainedConfig

from encoders.errors import CheckpointError, UnsupportedModelError, few
from encoders.modeling_stillhouse import StillhouseConfig
from encoders.values import CLASSIFYING, POOLING, Head, HeadKind, Pooling
from search_space import Architecture, Pooler

Kind = HeadKind | None
"""Of a model; None is an encoder without a head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The names of a model type's tensors.

    A key is a module of ours, or a whole tensor; its value is theirs. `{layer}` is a place in the stack of blocks,
    `{stack}` one among a block's feed-forward layers; the last of these is called `last`, because MobileBERT keeps it
    elsewhere.

    Args:
        prefix: what the encoder's names begin with in a model with a head, and lack in an encoder alone.
        encoder: the encoder's modules, without the pooler.
        poolers: where a pooler may be, the task's own before the encoder's.
        heads: the modules of each kind of head that this family computes alike.
        tied: tensors that must equal another one, where a file has both.
        unread: patterns of what else names may begin with, without the prefix: buffers, heads, parts that theirs has
            and does not use.
    """

    prefix: str
    encoder: Mapping[str, str]
    poolers: Mapping[str, Pooler]
    heads: Mapping[HeadKind, Mapping[str, str]]
    tied: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    def theirs(self, name: str, *, kind: Kind, stacks: int, pooler: str | None = None) -> str:
        """Their name of our tensor, in a model with a head.

        Args:
            stacks: feed-forward layers in a block.
            pooler: their pooler; the first that is known if not given.
        """
        table = {**self.encoder, **(self.heads[kind] if kind else {})}
        table["encoder.pooler"] = pooler or next(iter(self.poolers))
        places = re.match(r"encoder\.layers\.(\d+)\.(?:feed_forward\.(\d+)\.)?", name)
        layer, stack = places.groups() if places else (None, None)
        if layer is not None:
            name = name.replace(f"layers.{layer}.", "layers.{layer}.", 1)
        if stack is not None:
            place = "last" if int(stack) == stacks - 1 else "{stack}"
            name = name.replace(f"feed_forward.{stack}.", f"feed_forward.{place}.", 1)
        if name in table:
            return table[name]
        module, _, leaf = name.rpartition(".")
        return f"{table[module].format(layer=layer, stack=stack)}.{leaf}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A model of another type, in this family's words.

    Args:
        architecture: without the pooler.
        head: the source's own, None if it has none that this family computes alike.
        labels: of its own head.
        classes: as many as its configuration names, whatever its head.
        pooler: what its own head, if of texts, stands on; `none` is a class without any pooler.
        first_position: rows of the position embeddings that no token is ever given.
        padding: the padding token, where an embedding of it would count.
    """

    architecture: Architecture
    head: Head | None
    labels: tuple[str, ...]
    classes: int
    pooler: Pooler
    layer_norm_eps: float
    embedding_norm_eps: float
    dropout: float
    attention_dropout: float
    first_position: int = 0
    padding: int = 0


class Readable(Protocol):
    """A model type that can be imported."""

    @property
    def layout(self) -> Layout: ...

    def describe(self, values: Mapping[str, Any], source: str) -> Description:
        """Of the model whose `config.json` this is.

        Raises:
            UnsupportedModelError: it computes something else than this family; names the setting.
        """


class Writable(Protocol):
    """A model type that can be exported to."""

    @property
    def model_type(self) -> str: ...

    @property
    def layout(self) -> Layout: ...

    @property
    def class_stem(self) -> str:
        """What the names of its classes begin with."""

    def obstacle(self, config: StillhouseConfig, kind: Kind) -> str | None:
        """Why this type cannot say a model of ours, None if it can."""

    def configuration(self, config: StillhouseConfig) -> PretrainedConfig:
        """The shape of theirs."""

    def completed(self, tensors: dict[str, Tensor], theirs: PretrainedConfig) -> dict[str, Tensor]:
        """With what their class has and does not need."""


def parse(config_class: type[PretrainedConfig], values: Mapping[str, Any], source: str) -> Any:
    """A configuration, with their class' defaults for what old files leave out.

    Raises:
        UnsupportedModelError: a value that their class refuses.
    """
    try:
        return config_class.from_dict(dict(values))
    except (StrictDataclassError, TypeError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnsupportedModelError(f"{source}: transformers cannot read its config.json: {first}") from error


def refuse(config: PretrainedConfig, values: Mapping[str, Any], refused: Mapping[str, bool], source: str) -> None:
    """Refuses the settings marked as refused, and those that no type may have.

    Raises:
        UnsupportedModelError: names the setting.
    """
    of_all = {
        "position_embedding_type": values.get("position_embedding_type", "absolute") != "absolute",
        "is_decoder": bool(values.get("is_decoder")),
        "add_cross_attention": bool(values.get("add_cross_attention")),
        "pruned_heads": bool(values.get("pruned_heads")),
        "quantization_config": "quantization_config" in values,
    }
    for name, is_refused in {**refused, **of_all}.items():
        if is_refused:
            setting = values.get(name, getattr(config, name, None))
            raise UnsupportedModelError(
                f"{source}: a model of type {config.model_type!r} with {name} = {setting!r} is not supported"
            )


CLASS_ENDS: Mapping[Kind, str] = {
    None: "Model",
    HeadKind.CLASSIFICATION: "ForSequenceClassification",
    HeadKind.REGRESSION: "ForSequenceClassification",
    HeadKind.TOKEN_CLASSIFICATION: "ForTokenClassification",
    HeadKind.QUESTION_ANSWERING: "ForQuestionAnswering",
    HeadKind.MASKED_LM: "ForMaskedLM",
}
"""How the names of classes end."""

PRE_TRAINING = "ForPreTraining"
"""How the name of a class with a masked-LM head and one for the next sentence ends."""


def own_head(config: PretrainedConfig) -> tuple[Head | None, tuple[str, ...]]:
    """The head that a configuration names, and its labels; None if it has none of this family."""
    architecture = next(iter(config.architectures or ()), "")
    ends = {**{end: kind for kind, end in CLASS_ENDS.items() if kind}, PRE_TRAINING: HeadKind.MASKED_LM}
    kind = next((kind for end, kind in ends.items() if architecture.endswith(end)), None)
    labels = tuple(name for _, name in sorted((config.id2label or {}).items()))
    count = len(labels)
    if kind in POOLING:
        problem = getattr(config, "problem_type", None)
        if problem == "multi_label_classification" or (problem == "regression" and count != 1):
            return None, ()
        kind = HeadKind.REGRESSION if count == 1 else HeadKind.CLASSIFICATION
    is_sayable = {
        HeadKind.TOKEN_CLASSIFICATION: count > 1,
        HeadKind.QUESTION_ANSWERING: count == 2,
        HeadKind.MASKED_LM: bool(getattr(config, "tie_word_embeddings", True)),
    }
    if kind is None or not is_sayable.get(kind, True):
        return None, ()
    head = Head(kind=kind, classes=count if kind in CLASSIFYING else 0, pooling=Pooling.CLS)
    return head, labels if kind in (*CLASSIFYING, HeadKind.REGRESSION) else ()


def modern(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With today's names: checkpoints converted from TensorFlow call a norm's weight gamma and its bias beta."""
    named = {}
    for name, tensor in tensors.items():
        today = re.sub(r"(LayerNorm|layer_norm)\.gamma$", r"\1.weight", name)
        named[re.sub(r"(LayerNorm|layer_norm)\.beta$", r"\1.bias", today)] = tensor
    return named


def present(tensors: Mapping[str, Tensor], prefix: str, name: str) -> str | None:
    """The name under which a file has a tensor: an encoder alone does without the prefix."""
    return next((known for known in (name, name.removeprefix(prefix)) if known in tensors), None)


def translated(
    tensors: Mapping[str, Tensor],
    ours: Iterable[str],
    layout: Layout,
    *,
    kind: Kind,
    stacks: int,
    pooler: str | None,
    source: str,
) -> dict[str, Tensor]:
    """Of a file of theirs, the tensors that ours asks for, by our names.

    Raises:
        CheckpointError: tensors that are missing, or that belong to nothing known; named as in the file.
    """
    wanted = {name: layout.theirs(name, kind=kind, stacks=stacks, pooler=pooler) for name in ours}
    found = {name: present(tensors, layout.prefix, theirs) for name, theirs in wanted.items()}
    missing = sorted(wanted[name] for name, theirs in found.items() if theirs is None)
    if missing:
        raise CheckpointError(f"{source} misses {few(missing)}")
    read = set(found.values())
    poolers = (re.escape(name.removeprefix(layout.prefix)) for name in layout.poolers)
    unread = re.compile("|".join((*layout.unread, *poolers)))
    foreign = [name for name in tensors if name not in read and not unread.match(name.removeprefix(layout.prefix))]
    if foreign:
        raise CheckpointError(f"{source} has tensors that are not of its model type: {few(sorted(foreign))}")
    return {name: tensors[theirs] for name, theirs in found.items() if theirs is not None}


def check_tied(tensors: Mapping[str, Tensor], layout: Layout, source: str) -> None:
    """Raises: CheckpointError: tensors that this family keeps as one differ."""
    for name, other in layout.tied.items():
        pair = [present(tensors, layout.prefix, each) for each in (name, other)]
        if pair[0] and pair[1] and not tensors[pair[0]].equal(tensors[pair[1]]):
            raise CheckpointError(f"{source}: {pair[0]} is not {pair[1]}; an output layer of its own is not supported")


def shape_obstacle(shape: Architecture) -> str | None:
    """What no class of transformers can say."""
    if not shape.is_uniform:
        return "its layers have different sizes"
    if 0 in (shape.heads, shape.ffn_size):
        return "its layers lack heads or feed-forward neurons"
    width = shape.heads_by_layer[0] * shape.head_size
    if width != shape.block_size:
        return f"its heads are {width} wide together, its blocks {shape.block_size}"
    return None


def plain_obstacle(config: StillhouseConfig, shape: Architecture) -> str | None:
    """What BERT and DistilBERT cannot say."""
    obstacles = {
        "it has bottlenecks": shape.bottleneck_size > 0,
        "it has stacked feed-forward layers": shape.ffn_stacks > 1,
        "its word embeddings are mapped": shape.trigram or shape.embedding_size > 0,
        "its norm is not a layer norm": shape.norm.value != "layer_norm",
        "its embedding norm has an eps of its own": config.embedding_norm_eps != config.layer_norm_eps,
    }
    return next((name for name, is_one in obstacles.items() if is_one), None) or shape_obstacle(shape)


def pooler_obstacle(config: StillhouseConfig, kind: Kind, known: tuple[str, ...]) -> str | None:
    """Whether logits of texts are computed from another vector than a pooler of these."""
    if kind not in POOLING:
        return None
    if config.pooling != "cls":
        return f"its pooling is {config.pooling!r}"
    return None if config.pooler in known else f"its pooler is {config.pooler!r}"


def said_alike(config: StillhouseConfig) -> dict[str, Any]:
    """The settings that their configurations call the same."""
    return {"initializer_range": config.initializer_range, "id2label": config.id2label, "label2id": config.label2id}
