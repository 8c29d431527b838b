"""A trained model as a folder that transformers loads anywhere, without this project."""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging

from encoders.errors import ExportError
from encoders.huggingface import load_tokenizer
from encoders.modeling_stillhouse import AUTO_MAP, StillhouseForSequenceClassification
from encoders.weights import save_weights

TEXTS = (
    "A",
    "The whisky rests in oak.",
    "Computes the eigenvalues of a real symmetric matrix, in ascending order, by the QR algorithm (1961).",
    "数 café naïve __init__ \n\t" + "very " * 600 + "long",
)
"""What the reloaded model and the model are compared on: short, plain, mixed, foreign, and longer than any input."""

TOLERANCE = 1e-5
"""Largest difference of a logit, in units of max(1, |logit|)."""


def export(
    model: StillhouseForSequenceClassification,
    tokenizer: Path | PreTrainedTokenizerBase,
    folder: Path,
    card: str | None = None,
) -> None:
    """Writes configuration, weights, modelling code, tokenizer and model card, and proves that they load.

    The folder appears whole or not at all. An older export of this name is replaced. The check runs the folder
    through transformers' Auto classes and compares logits with the model's own.

    Args:
        tokenizer: the tokenizer, or the folder that holds it.
        card: the text of README.md; without one none is written.

    Raises:
        ExportError: the folder exists and is no export, the tokenizer does not fit the model, the disk refused, or
            what was written does not compute what the model computes.
    """
    folder = folder.expanduser().absolute()
    _check_replaceable(folder)
    fitted = _fitted(tokenizer, model)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that moving it into place is a rename. The last part of the name is kept because
        # transformers names the module of the modelling code after it.
        workshop = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".export-"))
    except OSError as error:
        raise ExportError(f"cannot export to {folder}: {error}") from error
    try:
        written = workshop / folder.name
        _write(model, fitted, written, card)
        _verify(model, fitted, written)
        _move(written, folder, workshop)
    except OSError as error:
        raise ExportError(f"cannot export to {folder}: {error}") from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    try:
        is_export = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type") == "stillhouse"
    except (OSError, ValueError, AttributeError):
        is_export = False
    if not is_export:
        raise ExportError(f"{folder} exists and is not an export; choose another folder or remove it")


def _fitted(
    tokenizer: Path | PreTrainedTokenizerBase, model: StillhouseForSequenceClassification
) -> PreTrainedTokenizerBase:
    """A copy of the tokenizer that truncates to what the model can read."""
    fitted = load_tokenizer(str(tokenizer)) if isinstance(tokenizer, Path) else copy.deepcopy(tokenizer)
    if len(fitted) > model.config.vocabulary_size:
        raise ExportError(
            f"the tokenizer has {len(fitted)} tokens, the model's vocabulary_size is {model.config.vocabulary_size}"
        )
    fitted.model_max_length = min(fitted.model_max_length, model.config.max_positions)
    return fitted


def _write(
    model: StillhouseForSequenceClassification, tokenizer: PreTrainedTokenizerBase, folder: Path, card: str | None
) -> None:
    folder.mkdir()
    config = copy.deepcopy(model.config)
    config.auto_map = dict(AUTO_MAP)
    config.architectures = [type(model).__name__]
    config.dtype = model.dtype
    config.save_pretrained(folder)  # and the modelling code with it
    save_weights(model, folder / "model.safetensors")
    _write_tokenizer(tokenizer, folder)
    if card is not None:
        (folder / "README.md").write_text(card, encoding="utf-8")


def _write_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    try:
        tokenizer.save_pretrained(folder)
    except OSError:
        raise
    except Exception as error:  # the Rust library raises a bare Exception for what the disk refuses
        raise OSError(f"cannot write the tokenizer: {error}") from error


def _verify(model: StillhouseForSequenceClassification, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    try:
        with _quiet():
            reloaded = AutoModelForSequenceClassification.from_pretrained(
                folder, trust_remote_code=True, local_files_only=True
            ).to(model.device)
        encoded, again = _encode(tokenizer), _encode(AutoTokenizer.from_pretrained(folder, trust_remote_code=True))
    except (ImportError, RuntimeError, ValueError) as error:
        raise ExportError(f"the export does not load: {error}") from error
    if encoded.keys() != again.keys() or not all(torch.equal(encoded[name], again[name]) for name in encoded):
        raise ExportError("the exported tokenizer does not encode as the tokenizer does")
    expected, found = _logits(model, encoded), _logits(reloaded, encoded)
    if not torch.isfinite(expected).all():
        raise ExportError("the model's logits are not finite; it was not exported")
    difference = float(((found - expected).abs() / expected.abs().clamp(min=1)).max())
    if not difference <= TOLERANCE:
        raise ExportError(f"the reloaded model's logits differ from the model's by {difference:.1e}")


def _encode(tokenizer: PreTrainedTokenizerBase) -> dict[str, Tensor]:
    return dict(tokenizer(list(TEXTS), padding=True, truncation=True, return_tensors="pt"))


def _logits(model: torch.nn.Module, encoded: dict[str, Tensor]) -> Tensor:
    was_training = model.training
    device = next(model.parameters()).device
    model.train(False)
    try:
        with torch.no_grad():
            logits: Tensor = model(**{name: tensor.to(device) for name, tensor in encoded.items()}).logits
    finally:
        model.train(was_training)
    return logits.float().cpu()


def _move(written: Path, folder: Path, workshop: Path) -> None:
    replaced = workshop / f"{folder.name}.replaced"
    if folder.exists():
        folder.rename(replaced)
    try:
        written.rename(folder)
    except OSError:
        if replaced.exists():
            replaced.rename(folder)
        raise


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
