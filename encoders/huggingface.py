"""Models and tokenizers from a local folder or the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from encoders.bert import architecture_of_bert, config_of_bert, encoder_tensors
from encoders.build import architecture_of, build_from, config_of, head_of, labels_of
from encoders.errors import CheckpointError, SourceNotFoundError, UnsupportedModelError
from encoders.modeling_stillhouse import StillhouseConfig, StillhouseForSequenceClassification
from encoders.values import Head
from encoders.weights import fit, read
from search_space import InvalidArchitectureError


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedEncoder:
    """A model read from elsewhere, on the CPU, in float32 and in evaluation mode.

    `has_task_head` says whether the classifier's weights are the source's. Otherwise they are random, and the model
    must be fine-tuned before it can teach logits: a BERT's own classifier stands on a pooler that this family does not
    have, and a Stillhouse model's may be of another task.
    """

    model: StillhouseForSequenceClassification
    has_task_head: bool
    source: str


def load_pretrained(
    source: str,
    *,
    revision: str | None = None,
    head: Head | None = None,
    labels: Sequence[str] | None = None,
    seed: int = 0,
) -> ImportedEncoder:
    """The model in a local folder, or of this id on the hub.

    Model types: `bert`, with all that shares its layout (TinyBERT, MiniLM), and `stillhouse`. Only safetensors are
    read and no code of the source is run.

    Args:
        head: the head wanted. Without one a Stillhouse model keeps its own; a BERT gets mean pooling and as many
            classes as its configuration names.
        labels: the names of the classes, when a head is wanted.
        seed: of the weights of a new classifier.

    Raises:
        SourceNotFoundError: neither a folder nor to be had from the hub (now offline, perhaps).
        UnsupportedModelError: a model type or setting outside this family.
        CheckpointError: weights that do not fit, or no safetensors.
        EncoderError: `labels` do not name each class once.
    """
    values = _json(_required(source, "config.json", revision))
    model_type = str(values.get("model_type"))
    reader = READERS.get(model_type)
    if reader is None:
        raise UnsupportedModelError(
            f"{source}: models of type {model_type!r} are not supported; supported are {', '.join(READERS)}"
        )
    return reader(_Source(source, revision, values), head, labels, seed)


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
    own = head_of(config)
    keeps_head = head in (None, own) and (labels is None or tuple(labels) == labels_of(config))
    tensors = source.tensors()
    if keeps_head:
        model = build_from(config, seed=seed)
        fit(model, tensors, source.name)
    else:
        config = config_of(architecture_of(config), head or own, labels, layer_norm_eps=config.layer_norm_eps)
        model = build_from(config, seed=seed)
        prefix = "encoder."
        encoder = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        fit(model.encoder, encoder, source.name)
    return ImportedEncoder(model=model, has_task_head=keeps_head, source=source.name)


def _stillhouse_config(source: _Source) -> StillhouseConfig:
    try:
        config = StillhouseConfig(**{name: value for name, value in source.config.items() if name != "model_type"})
        architecture_of(config)
        head_of(config)
    except (ValueError, InvalidArchitectureError) as error:
        raise UnsupportedModelError(f"{source.name}: {error}") from error
    config.dtype = None  # models are trained in float32, whatever they were saved in
    return config


def _read_bert(source: _Source, head: Head | None, labels: Sequence[str] | None, seed: int) -> ImportedEncoder:
    theirs = config_of_bert(source.config, source.name)
    wanted = head or Head(classes=max(2, theirs.num_labels or 2))
    config = config_of(architecture_of_bert(theirs), wanted, labels, layer_norm_eps=theirs.layer_norm_eps)
    config.dropout = float(theirs.hidden_dropout_prob)
    model = build_from(config, seed=seed)
    fit(model.encoder, encoder_tensors(source.tensors(), source.name), source.name)
    return ImportedEncoder(model=model, has_task_head=False, source=source.name)


READERS: dict[str, Callable[[_Source, Head | None, Sequence[str] | None, int], ImportedEncoder]] = {
    "bert": _read_bert,
    "stillhouse": _read_stillhouse,
}


def _tensors(source: str, revision: str | None) -> dict[str, Tensor]:
    whole = _fetch(source, "model.safetensors", revision)
    if whole is not None:
        return read(whole)
    index = _fetch(source, "model.safetensors.index.json", revision)
    if index is None:
        raise CheckpointError(
            f"{source} has no model.safetensors; pickled weights (pytorch_model.bin) are not read, convert them first"
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
