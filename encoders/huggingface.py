"""Models and tokenizers from a local folder or the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from torch import Tensor
from transformers import AutoTokenizer, CamembertConfig, PreTrainedTokenizerBase, RobertaConfig, XLMRobertaConfig

from encoders.bert import Bert
from encoders.build import architecture_of, build_from, config_of, head_of, labels_of
from encoders.distilbert import DistilBert
from encoders.errors import CheckpointError, SourceNotFoundError, UnsupportedModelError
from encoders.layouts import Description, Readable, check_tied, modern, present, translated
from encoders.mobilebert import MobileBert
from encoders.modeling_stillhouse import StillhouseConfig, StillhouseTaskModel
from encoders.roberta import Roberta
from encoders.values import POOLING, Head, Pooling
from encoders.weights import fit, read
from search_space import InvalidArchitectureError, Pooler

READABLE: Mapping[str, Readable] = {
    "bert": Bert(),
    "roberta": Roberta(RobertaConfig),
    "xlm-roberta": Roberta(XLMRobertaConfig),
    "camembert": Roberta(CamembertConfig),
    "distilbert": DistilBert(),
    "mobilebert": MobileBert(),
}
"""Model types of transformers that this family can say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedEncoder:
    """A model read from elsewhere, on the CPU, in float32 and in evaluation mode.

    `has_task_head` says whether the head's weights are the source's. Otherwise they are random, and the model must be
    fine-tuned before it can teach logits. `notes` say where the source's own class computes something else.
    """

    model: StillhouseTaskModel
    has_task_head: bool
    source: str
    notes: tuple[str, ...] = ()


def load_pretrained(
    source: str,
    *,
    revision: str | None = None,
    head: Head | None = None,
    labels: Sequence[str] | None = None,
    seed: int = 0,
) -> ImportedEncoder:
    """The model in a local folder, or of this id on the hub.

    Model types: those of `READABLE`, with all that shares their layout (TinyBERT and MiniLM are of type `bert`), and
    `stillhouse`. Only safetensors are read and no code of the source is run.

    A source's own head is kept if it is the head wanted, and its labels are those wanted, whatever their order and
    case; its outputs come in the order wanted. A new head that pools the first token stands on the source's pooler, if
    it has one; under any other new head there is no pooler.

    Args:
        head: the head wanted. Without one the source keeps its own; where it has none that this family computes
            alike, it gets mean pooling and as many classes as its configuration names.
        labels: the names of the classes.
        seed: of the weights of a new head.

    Raises:
        SourceNotFoundError: neither a folder nor to be had from the hub (now offline, perhaps).
        UnsupportedModelError: a model type or setting outside this family.
        CheckpointError: weights that do not fit, or no safetensors.
        EncoderError: `labels` do not name each class once.
    """
    values = _json(_required(source, "config.json", revision))
    model_type = str(values.get("model_type"))
    opened = _Source(source, revision, values)
    if model_type == StillhouseConfig.model_type:
        return _read_stillhouse(opened, head, labels, seed)
    if model_type not in READABLE:
        known = ", ".join((*READABLE, StillhouseConfig.model_type))
        raise UnsupportedModelError(f"{source}: models of type {model_type!r} are not supported; supported are {known}")
    return _read_other(READABLE[model_type], opened, head, labels, seed)


def load_tokenizer(source: str, *, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer in a local folder, or of this id on the hub; no code of the source is run.

    Raises:
        SourceNotFoundError: no such folder or hub id, or no tokenizer there.
    """
    config_file = _fetch(source, "config.json", revision)
    # AutoTokenizer reads the model's configuration first, and of ours would ask whether it may run the code beside it.
    is_ours = config_file is not None and _json(config_file).get("model_type") == StillhouseConfig.model_type
    folder = Path(source).expanduser()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder if folder.is_dir() else source,
            config=StillhouseConfig() if is_ours else None,
            revision=revision,
            trust_remote_code=False,
        )
    except Exception as error:  # as in `_fetch`, and whatever the parsers of the tokenizer's files raise
        raise SourceNotFoundError(f"no tokenizer could be loaded from {source!r}: {_first_line(error)}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise SourceNotFoundError(f"{source!r} holds a {type(tokenizer).__name__}, not a tokenizer of transformers")
    return tokenizer


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    revision: str | None
    config: Mapping[str, Any]

    def tensors(self) -> dict[str, Tensor]:
        return _tensors(self.name, self.revision)


def _read_stillhouse(source: _Source, head: Head | None, labels: Sequence[str] | None, seed: int) -> ImportedEncoder:
    config = _stillhouse_config(source)
    own = head_of(config) if _has_head(config) else None
    tensors = source.tensors()
    if own is None:
        tensors = {f"encoder.{name}": tensor for name, tensor in tensors.items()}
    order = _order(own, labels_of(config), head, labels)
    wanted = head or own or Head(classes=max(2, len(labels or ())))
    shape = architecture_of(config)
    if order is None:
        shape = replace(shape, pooler=shape.pooler if wanted.pooling is Pooling.CLS else Pooler.NONE)
    names = _names(labels, labels_of(config) if order is not None else None)
    ours = config_of(
        shape,
        wanted,
        names,
        layer_norm_eps=config.layer_norm_eps,
        embedding_norm_eps=config.embedding_norm_eps,
    )
    ours.dropout, ours.attention_dropout = config.dropout, config.attention_dropout
    model = build_from(ours, wanted.kind, seed=seed)
    if order is None and shape.pooler is Pooler.NONE:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("encoder.pooler.")}
    _fill(model, tensors, order, source.name)
    return ImportedEncoder(model=model, has_task_head=order is not None, source=source.name)


def _stillhouse_config(source: _Source) -> StillhouseConfig:
    try:
        config = StillhouseConfig(**{name: value for name, value in source.config.items() if name != "model_type"})
        architecture_of(config)
        if _has_head(config):
            head_of(config)
    except (ValueError, InvalidArchitectureError) as error:
        raise UnsupportedModelError(f"{source.name}: {error}") from error
    return config


def _has_head(config: StillhouseConfig) -> bool:
    return config.architectures != ["StillhouseEncoder"]


def _read_other(
    model_type: Readable, source: _Source, head: Head | None, labels: Sequence[str] | None, seed: int
) -> ImportedEncoder:
    described = model_type.describe(source.config, source.name)
    layout = model_type.layout
    tensors = modern(source.tensors())
    own = described.head
    if own is not None and not _holds(tensors, layout.heads.get(own.kind, {}).values()):
        own = None  # named in the configuration, but not in the file or not of this family
    order = _order(own, described.labels, head, labels)
    wanted = head or own or Head(classes=max(2, described.classes, len(labels or ())))

    found = next((name for name in layout.poolers if present(tensors, layout.prefix, f"{name}.weight")), None)
    pooler = Pooler.NONE
    if wanted.kind in POOLING and wanted.pooling is Pooling.CLS:
        of_found = layout.poolers[found] if found else Pooler.NONE
        pooler = of_found if order is None else described.pooler
    config = config_of(
        replace(described.architecture, pooler=pooler),
        wanted,
        _names(labels, described.labels if order is not None else None),
        layer_norm_eps=described.layer_norm_eps,
        embedding_norm_eps=described.embedding_norm_eps,
    )
    config.dropout, config.attention_dropout = described.dropout, described.attention_dropout
    model = build_from(config, wanted.kind, seed=seed)
    if order is not None:
        check_tied(tensors, layout, source.name)
    ours = translated(
        tensors,
        [name for name in model.state_dict() if order is not None or name.startswith("encoder.")],
        layout,
        kind=wanted.kind if order is not None else None,
        stacks=config.ffn_stacks,
        pooler=found,
        source=source.name,
    )
    positions = "encoder.embeddings.position.weight"
    ours[positions] = ours[positions][described.first_position :]
    _fill(model, ours, order, source.name)
    notes = _notes(described, model)
    return ImportedEncoder(model=model, has_task_head=order is not None, source=source.name, notes=notes)


def _holds(tensors: Mapping[str, Tensor], modules: Iterable[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules for name in tensors)


def _order(
    own: Head | None, own_labels: Sequence[str], wanted: Head | None, labels: Sequence[str] | None
) -> list[int] | None:
    """The source's outputs in the order wanted; None if its head is not kept."""
    if own is None or wanted not in (None, own):
        return None
    order = list(range(len(own_labels)))
    if labels is None:
        return order
    folded = [name.casefold() for name in own_labels]
    asked = [name.casefold() for name in labels]
    if sorted(folded) != sorted(asked) or len(set(folded)) != len(folded):
        return None
    return [folded.index(name) for name in asked]


def _names(labels: Sequence[str] | None, own: Sequence[str] | None) -> Sequence[str] | None:
    return labels if labels is not None else own or None


def _fill(model: StillhouseTaskModel, tensors: dict[str, Tensor], order: list[int] | None, source: str) -> None:
    """Loads the whole model, its outputs in this order; or, without an order, the encoder alone."""
    if order is None:
        prefix = "encoder."
        tensors = {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}
        fit(model.encoder, tensors, source)
        return
    fit(model, tensors, source)
    if order != sorted(order):
        outputs = model.get_submodule("classifier")
        with torch.no_grad():
            for parameter in outputs.parameters():
                parameter.copy_(parameter[order])


def _notes(described: Description, model: StillhouseTaskModel) -> tuple[str, ...]:
    words = model.encoder.embeddings.word.weight
    if described.architecture.trigram and described.padding < len(words) and words[described.padding].any():
        return (
            "in a padded text the source's own class lets the last token read the padding behind it; here every text"
            " gives what it gives alone",
        )
    return ()


def _tensors(source: str, revision: str | None) -> dict[str, Tensor]:
    whole = _fetch(source, "model.safetensors", revision)
    if whole is not None:
        return read(whole)
    index = _fetch(source, "model.safetensors.index.json", revision)
    if index is None:
        raise CheckpointError(
            f"{source} has no model.safetensors; pickled weights (pytorch_model.bin) are not read: load them where"
            " you trust them and save them again with save_pretrained of transformers"
        )
    parts = sorted(set(_json(index)["weight_map"].values()))
    return {name: tensor for part in parts for name, tensor in read(_required(source, part, revision)).items()}


def _required(source: str, file: str, revision: str | None) -> Path:
    path = _fetch(source, file, revision)
    if path is None:
        raise SourceNotFoundError(f"{source!r} has no {file}")
    return path


def _fetch(source: str, file: str, revision: str | None) -> Path | None:
    """The file, downloaded where it must be; None when the source is there but has no such file."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder / file if (folder / file).is_file() else None
    try:
        return Path(hf_hub_download(source, file, revision=revision))
    except Exception as error:  # the hub's client lets its HTTP library's errors through, another one in each version
        # A file that is only missing from the cache may well be on the hub.
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            return None
        raise SourceNotFoundError(
            f"{source!r} is not a local folder, and the hub did not give its {file} (offline?): {_first_line(error)}"
        ) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} must hold a mapping")
    return values


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
