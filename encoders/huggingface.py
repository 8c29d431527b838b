"""Models and tokenizers from a local folder or the Hugging Face hub."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import constants, get_session, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from torch import Tensor
from transformers import AutoTokenizer, CamembertConfig, PreTrainedTokenizerBase, RobertaConfig, XLMRobertaConfig

from encoders.bert import Bert
from encoders.distilbert import DistilBert
from encoders.errors import CheckpointError, SourceNotFoundError, UnsupportedModelError, first_line
from encoders.imported import ImportedEncoder, Source, Wanted, read_other, read_own
from encoders.layouts import Readable
from encoders.mobilebert import MobileBert
from encoders.modeling_stillhouse import StillhouseConfig
from encoders.roberta import Roberta
from encoders.settings import check_settings
from encoders.values import Head
from encoders.weights import read

log = logging.getLogger(__name__)

PROBE_S = 5.0
"""How long the hub may take to answer at all."""

READABLE: Mapping[str, Readable] = {
    "bert": Bert(),
    "roberta": Roberta(RobertaConfig),
    "xlm-roberta": Roberta(XLMRobertaConfig),
    "camembert": Roberta(CamembertConfig),
    "distilbert": DistilBert(),
    "mobilebert": MobileBert(),
}
"""Model types of transformers that this family can say."""


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
    if model_type not in (*READABLE, StillhouseConfig.model_type):
        known = ", ".join((*READABLE, StillhouseConfig.model_type))
        raise UnsupportedModelError(f"{source}: models of type {model_type!r} are not supported; supported are {known}")
    check_settings(values, source, with_sizes=model_type != StillhouseConfig.model_type)
    opened = Source(name=source, config=values, tensors=lambda: _tensors(source, revision))
    wanted = Wanted(head=head, labels=None if labels is None else tuple(labels), seed=seed)
    if model_type == StillhouseConfig.model_type:
        return read_own(opened, wanted)
    return read_other(READABLE[model_type], opened, wanted)


def load_tokenizer(source: str, *, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer in a local folder, or of this id on the hub; no code of the source is run.

    Raises:
        SourceNotFoundError: no such folder or hub id, or no tokenizer there.
    """
    config_file = _fetch(source, "config.json", revision)
    # AutoTokenizer reads the model's configuration first, and of ours would ask whether it may run the code beside it.
    is_ours = config_file is not None and _json(config_file).get("model_type") == StillhouseConfig.model_type
    folder = Path(source).expanduser()
    is_folder = folder.is_dir()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder if is_folder else source,
            config=StillhouseConfig() if is_ours else None,
            revision=revision,
            local_files_only=not is_folder and not _hub_answers(),
            trust_remote_code=False,
        )
    except Exception as error:  # as in `_fetch`, and whatever the parsers of the tokenizer's files raise
        raise SourceNotFoundError(f"no tokenizer could be loaded from {source!r}: {first_line(error)}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise SourceNotFoundError(f"{source!r} holds a {type(tokenizer).__name__}, not a tokenizer of transformers")
    # Code that the source names is not run here, and must not be where this tokenizer is saved beside code of ours.
    tokenizer.init_kwargs.pop("auto_map", None)
    return tokenizer


def folder_of(source: str, *, revision: str | None = None) -> Path:
    """The folder on this machine that `load_pretrained` has read this source from.

    Raises:
        SourceNotFoundError: neither a folder nor to be had from the hub.
    """
    return _required(source, "config.json", revision).parent


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
    parts = _parts(index)
    return {name: tensor for part in parts for name, tensor in read(_required(source, part, revision)).items()}


def _parts(index: Path) -> list[str]:
    """The files that an index names: all of them beside it, for a checkpoint is read from one folder."""
    places = _json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{index}: weight_map must be a mapping from tensors to files")
    for name, file in places.items():
        if not isinstance(file, str) or re.fullmatch(r"[^/\\\0:]+\.safetensors", file) is None:
            raise CheckpointError(
                f"{index}: weight_map names {file!r:.60} for {name:.60}; it must be a .safetensors file beside it"
            )
    return sorted(set(places.values()))


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
    is_online = _hub_answers()
    try:
        return Path(hf_hub_download(source, file, revision=revision, local_files_only=not is_online))
    except Exception as error:  # the hub's client lets its HTTP library's errors through, another one in each version
        # A file that is only missing from the cache may well be on the hub.
        if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
            return None
        if isinstance(error, LocalEntryNotFoundError) and not is_online:
            raise SourceNotFoundError(
                f"{source!r} is not a local folder, its {file} is not in the cache of this machine, and the hub"
                f" ({constants.ENDPOINT}) cannot be reached (offline?)"
            ) from error
        raise SourceNotFoundError(
            f"{source!r} is not a local folder, and the hub did not give its {file} (offline?): {first_line(error)}"
        ) from error


def _hub_answers() -> bool:
    """Whether the hub can be asked: found out with one request, where its client would try again for 20 s."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=PROBE_S)
    except Exception as error:  # as in `_fetch`
        log.info("the hub does not answer: %s", first_line(error))
        return False
    return True


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} must hold a mapping")
    return values
