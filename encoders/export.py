"""A trained model as a folder that transformers loads anywhere, without this project."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from encoders.bert import Bert
from encoders.build import MODELS
from encoders.distilbert import DistilBert
from encoders.errors import ExportError
from encoders.folder import whole_folder
from encoders.huggingface import load_tokenizer
from encoders.layouts import CLASS_ENDS, Kind, Writable
from encoders.mobilebert import MobileBert
from encoders.modeling_stillhouse import (
    AUTO_MAP,
    StillhouseConfig,
    StillhouseEncoder,
    StillhouseModel,
    StillhouseTaskModel,
)
from encoders.values import POOLING, HeadKind
from encoders.weights import save_tensors, save_weights

TEXTS = (
    "A",
    "The whisky rests in oak.",
    "Computes the eigenvalues of a real symmetric matrix, in ascending order, by the QR algorithm (1961).",
    "数 café naïve __init__ \n\t" + "very " * 600 + "long",
)
"""What the reloaded model and the model are compared on: short, plain, mixed, foreign, and longer than any input."""

TOLERANCE = 1e-5
"""Largest difference of an output, in units of max(1, the largest output): another class sums in another order."""

WRITABLE: tuple[Writable, ...] = (DistilBert(), Bert(), MobileBert())
"""The model types of transformers that may say a model of ours; the first that can, does."""

OWN = StillhouseConfig.model_type
EXPORTED_BY = "exported_by"
"""What marks a configuration of another type as written here, so that another export may replace it."""

OUTPUTS = ("logits", "start_logits", "end_logits", "last_hidden_state", "pooler_output")
"""What is compared, of what a model gives."""

AUTO_CLASSES: Mapping[Kind, Any] = {
    None: AutoModel,
    HeadKind.CLASSIFICATION: AutoModelForSequenceClassification,
    HeadKind.REGRESSION: AutoModelForSequenceClassification,
    HeadKind.TOKEN_CLASSIFICATION: AutoModelForTokenClassification,
    HeadKind.QUESTION_ANSWERING: AutoModelForQuestionAnswering,
    HeadKind.MASKED_LM: AutoModelForMaskedLM,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """The class that loads an export, and why none of the other model types does.

    Args:
        model_type: of transformers, or `stillhouse`: our own class, whose code lies beside the weights and is loaded
            with `trust_remote_code=True`.
        obstacles: by model type, for those that were asked before.
        difference: the largest found between an output and the model's, relative to the largest output.
    """

    model_type: str
    class_name: str
    obstacles: Mapping[str, str]
    difference: float

    @property
    def needs_remote_code(self) -> bool:
        return self.model_type == OWN


def export(
    model: StillhouseTaskModel | StillhouseEncoder,
    tokenizer: Path | PreTrainedTokenizerBase,
    folder: Path,
    card: str | None = None,
    *,
    own_class: bool = False,
) -> Export:
    """Writes configuration, weights, tokenizer and model card, and proves that they load.

    The model becomes one of transformers' own classes where one computes the same, else one of ours, with its
    modelling code beside the weights. A pooler that the head does not read is left out, for theirs.

    The folder appears whole or not at all. An older export of this name is replaced. The check runs the folder
    through transformers' Auto classes and compares its outputs with the model's own, in float32.

    Args:
        tokenizer: the tokenizer, or the folder that holds it.
        card: the text of README.md; without one none is written.
        own_class: always export our own class.

    Raises:
        ExportError: the folder exists and is no export, the tokenizer does not fit the model, the disk refused, or
            what was written does not compute what the model computes.
    """
    folder = folder.expanduser().absolute()
    _check_replaceable(folder)
    fitted = _fitted(tokenizer, model)
    target, obstacles = (None, {}) if own_class else _target(model)
    with whole_folder(folder) as written:
        class_name = _write_own(model, written) if target is None else _write_other(model, target, fitted, written)
        _write_tokenizer(fitted, written)
        if card is not None:
            (written / "README.md").write_text(card, encoding="utf-8")
        difference = _verify(model, fitted, written, is_own=target is None)
    return Export(
        model_type=OWN if target is None else target.model_type,
        class_name=class_name,
        obstacles=obstacles,
        difference=difference,
    )


def kind_of(model: StillhouseModel) -> Kind:
    """What stands on the encoder; None for an encoder alone."""
    if isinstance(model, StillhouseEncoder):
        return None
    kind = next(kind for kind, known in MODELS.items() if isinstance(model, known))
    return HeadKind.REGRESSION if kind is HeadKind.CLASSIFICATION and model.num_labels == 1 else kind


def _target(model: StillhouseModel) -> tuple[Writable | None, dict[str, str]]:
    obstacles: dict[str, str] = {}
    for target in WRITABLE:
        obstacle = target.obstacle(model.config, kind_of(model))
        if obstacle is None:
            return target, obstacles
        obstacles[target.model_type] = obstacle
    return None, obstacles


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        is_export = OWN in (config.get("model_type"), config.get(EXPORTED_BY))
    except (OSError, ValueError, AttributeError):
        is_export = False
    if not is_export:
        raise ExportError(f"{folder} exists and is not an export; choose another folder or remove it")


def _fitted(tokenizer: Path | PreTrainedTokenizerBase, model: StillhouseModel) -> PreTrainedTokenizerBase:
    """A copy of the tokenizer that truncates to what the model can read, and gives only what it reads."""
    fitted = load_tokenizer(str(tokenizer)) if isinstance(tokenizer, Path) else copy.deepcopy(tokenizer)
    fitted.init_kwargs.pop("auto_map", None)  # an export names no code but ours
    if len(fitted) > model.config.vocabulary_size:
        raise ExportError(
            f"the tokenizer has {len(fitted)} tokens, the model's vocabulary_size is {model.config.vocabulary_size}"
        )
    added, most = fitted.num_special_tokens_to_add(), model.config.max_positions
    if added > most:
        raise ExportError(f"the tokenizer adds {added} tokens to every text, the model's max_positions is {most}")
    fitted.model_max_length = min(fitted.model_max_length, most)
    if not model.config.token_types:
        fitted.model_input_names = [name for name in fitted.model_input_names if name != "token_type_ids"]
    return fitted


def _write_own(model: StillhouseModel, folder: Path) -> str:
    kind = kind_of(model)
    class_name = StillhouseEncoder.__name__ if kind is None else MODELS[kind].__name__
    config = copy.deepcopy(model.config)
    config.auto_map = dict(AUTO_MAP)
    config.architectures = [class_name]
    config.dtype = model.dtype
    config.save_pretrained(folder)  # and the modelling code with it
    save_weights(model, folder / "model.safetensors")
    return class_name


def _write_other(model: StillhouseModel, target: Writable, tokenizer: PreTrainedTokenizerBase, folder: Path) -> str:
    kind = kind_of(model)
    class_name = target.class_stem + CLASS_ENDS[kind]
    config = target.configuration(model.config)
    config.architectures = [class_name]
    config.dtype = model.dtype
    config.pad_token_id = tokenizer.pad_token_id
    setattr(config, EXPORTED_BY, OWN)
    config.save_pretrained(folder)
    save_tensors(target.completed(_their_tensors(model, target), config), folder / "model.safetensors")
    return class_name


def _their_tensors(model: StillhouseModel, target: Writable) -> dict[str, Tensor]:
    kind = kind_of(model)
    keeps_pooler = kind in (None, *POOLING)
    tensors = {}
    for name, tensor in model.state_dict().items():
        full = name if kind else f"encoder.{name}"
        if full.startswith("encoder.pooler.") and not keeps_pooler:
            continue
        theirs = target.layout.theirs(full, kind=kind, stacks=model.config.ffn_stacks)
        tensors[theirs if kind else theirs.removeprefix(target.layout.prefix)] = tensor.detach().cpu()
    return tensors


def _write_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    try:
        tokenizer.save_pretrained(folder)
    except OSError:
        raise
    except Exception as error:  # the Rust library raises a bare Exception for what the disk refuses
        raise OSError(f"cannot write the tokenizer: {error}") from error


def _verify(model: StillhouseModel, tokenizer: PreTrainedTokenizerBase, folder: Path, *, is_own: bool) -> float:
    try:
        with _quiet():
            reloaded, loading = AUTO_CLASSES[kind_of(model)].from_pretrained(
                folder,
                trust_remote_code=is_own,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        encoded, again = _encode(tokenizer), _encode(AutoTokenizer.from_pretrained(folder, trust_remote_code=is_own))
    except (ImportError, RuntimeError, ValueError) as error:
        raise ExportError(f"the export does not load: {error}") from error
    unfit = {name for key in ("missing_keys", "unexpected_keys", "mismatched_keys") for name in loading[key]}
    if unfit:
        raise ExportError(f"the export's tensors are not its class': {sorted(map(str, unfit))[:5]}")
    if encoded.keys() != again.keys() or not all(torch.equal(encoded[name], again[name]) for name in encoded):
        raise ExportError("the exported tokenizer does not encode as the tokenizer does")
    # Half precision rounds each class' own order of operations; the weights themselves come back exactly.
    whole = model if model.dtype == torch.float32 else copy.deepcopy(model).float()  # type: ignore[no-untyped-call]
    expected, found = _outputs(whole, encoded), _outputs(reloaded.to(model.device), encoded)
    largest = 0.0
    for name, output in expected.items():
        if not torch.isfinite(output).all():
            raise ExportError(f"the model's {name} are not finite; it was not exported")
        difference = float((found[name] - output).abs().max() / output.abs().max().clamp(min=1))
        if not difference <= TOLERANCE:
            raise ExportError(f"the reloaded model's {name} differ from the model's by {difference:.1e}")
        largest = max(largest, difference)
    return largest


def _encode(tokenizer: PreTrainedTokenizerBase) -> dict[str, Tensor]:
    return dict(tokenizer(list(TEXTS), padding=True, truncation=True, return_tensors="pt"))


def _outputs(model: torch.nn.Module, encoded: dict[str, Tensor]) -> dict[str, Tensor]:
    """By name; those of each token only where there is one."""
    was_training = model.training
    device = next(model.parameters()).device
    model.train(False)
    try:
        with torch.no_grad():
            output = model(**{name: tensor.to(device) for name, tensor in encoded.items()})
    finally:
        model.train(was_training)
    mask = encoded["attention_mask"].bool()
    computed = {name: output[name].float().cpu() for name in OUTPUTS if output.get(name) is not None}
    return {name: each[mask] if each.shape[:2] == mask.shape else each for name, each in computed.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars: for models of this size they are only noise on the screen."""
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
