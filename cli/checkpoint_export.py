"""A checkpoint's folder as a folder for another runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import BadInputError

if TYPE_CHECKING:
    from encoders.imported import ImportedEncoder

MODEL_FILE = "model.onnx"
DEFAULT_LENGTH = 128
"""Tokens of a text in a StableHLO program, or as many as the model can read."""


class Format(StrEnum):
    HUGGINGFACE = "huggingface"
    ONNX = "onnx"
    STABLEHLO = "stablehlo"


TAKEN: Mapping[Format, tuple[str, ...]] = {
    Format.HUGGINGFACE: (),
    Format.ONNX: ("dtype",),
    Format.STABLEHLO: ("batch", "length", "platforms", "dtype"),
}
"""The options that a format has; the other formats take any batch and length."""

DTYPES = {Format.ONNX: ("float32", "float16"), Format.STABLEHLO: ("float32", "bfloat16")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What was asked for; None, and no platforms, for what was not.

    Args:
        batch: texts in a call; None for any number.
        length: tokens of a text, padding included.
    """

    batch: int | None = None
    length: int | None = None
    platforms: tuple[str, ...] = ()
    dtype: str | None = None


def export_checkpoint(checkpoint: Path, form: Format, target: Path, options: ExportOptions) -> list[str]:
    """Writes the checkpoint in that format into a new folder; what was written, and how exact it is, in lines.

    Raises:
        BadInputError: no checkpoint, a folder that is in use, an option that the format does not have, a package that
            is missing, or an export that does not compute what the model computes.
    """
    _check(checkpoint, form, target, options)
    try:
        from encoders.errors import EncoderError

        imported = _imported(checkpoint)
        if target.is_dir():
            target.rmdir()  # empty: an export takes its place whole
        try:
            written, difference = WRITERS[form](imported, checkpoint, target, options)
        except EncoderError as error:
            with suppress(OSError):
                target.rmdir()
            raise BadInputError(f"{checkpoint} was not exported: {error}") from error
    except ImportError as error:
        raise BadInputError(_missing(error)) from error
    except OSError as error:
        raise BadInputError(f"cannot export to {target}: {error.strerror or error}") from error
    lines = [*imported.notes, f"{written}  {target}"]
    if not imported.has_task_head:
        lines.insert(0, f"{checkpoint} has no head of a known kind: the encoder alone is exported")
    return [*lines, f"largest difference from torch on a sample: {difference:.1e} of the largest output"]


def _check(checkpoint: Path, form: Format, target: Path, options: ExportOptions) -> None:
    if not checkpoint.is_dir():
        raise BadInputError(f"no checkpoint at {checkpoint}: there is no such folder")
    given = {name: getattr(options, name) for name in ("batch", "length", "platforms", "dtype")}
    for name in (name for name, value in given.items() if value and name not in TAKEN[form]):
        owners = ", ".join(each for each in Format if name in TAKEN[each])
        raise BadInputError(f"--{name.removesuffix('s')} is no option of {form}, only of {owners}")
    if options.dtype is not None and options.dtype not in DTYPES[form]:
        raise BadInputError(f"--dtype of {form} is one of {', '.join(DTYPES[form])}, got {options.dtype!r}")
    if target.exists() and not target.is_dir():
        raise BadInputError(f"{target} is a file; name a new folder with --to")
    if target.is_dir() and any(target.iterdir()):
        raise BadInputError(f"{target} is not empty; name a new folder with --to")


def _imported(checkpoint: Path) -> ImportedEncoder:
    from encoders.errors import EncoderError
    from encoders.huggingface import load_pretrained
    from encoders.values import Head, Pooling

    try:
        imported = load_pretrained(str(checkpoint))
        if imported.has_task_head:
            return imported
        # Of the encoder alone; under a head that pools the first token it keeps its pooler.
        return load_pretrained(str(checkpoint), head=Head(classes=2, pooling=Pooling.CLS))
    except EncoderError as error:
        raise BadInputError(f"{checkpoint} cannot be exported: {error}") from error


def _huggingface(
    imported: ImportedEncoder, checkpoint: Path, target: Path, options: ExportOptions
) -> tuple[str, float]:
    del options
    from encoders.export import export

    card = checkpoint / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else None
    model = imported.model if imported.has_task_head else imported.model.encoder
    found = export(model, checkpoint, target, text)
    trust = ", loaded with trust_remote_code=True" if found.needs_remote_code else ""
    return f"{found.class_name}{trust}", found.difference


def _onnx(imported: ImportedEncoder, checkpoint: Path, target: Path, options: ExportOptions) -> tuple[str, float]:
    del checkpoint
    from encoders.onnx_export import export_onnx

    model = imported.model if imported.has_task_head else imported.model.encoder
    found = export_onnx(model, target / MODEL_FILE, half=options.dtype == "float16")
    return (
        f"{MODEL_FILE}, opset {found.opset}, {', '.join(found.inputs)} -> {', '.join(found.outputs)}",
        found.difference,
    )


def _stablehlo(imported: ImportedEncoder, checkpoint: Path, target: Path, options: ExportOptions) -> tuple[str, float]:
    from encoders.stablehlo import export_stablehlo

    if not imported.has_task_head:
        raise BadInputError(f"{checkpoint} has no head of a known kind, and a StableHLO program computes its logits")
    length = options.length or min(DEFAULT_LENGTH, imported.model.config.max_positions)
    platforms = options.platforms or ("cpu", "cuda", "tpu")
    found = export_stablehlo(
        imported.model,
        target,
        batch=options.batch,
        length=length,
        platforms=platforms,
        dtype=options.dtype or "float32",
    )
    batch = "any batch" if options.batch is None else f"batch {options.batch}"
    return f"program for {', '.join(platforms)}, {batch} x length {length}", found.difference


Writer = Callable[["ImportedEncoder", Path, Path, ExportOptions], tuple[str, float]]
WRITERS: Mapping[Format, Writer] = {
    Format.HUGGINGFACE: _huggingface,
    Format.ONNX: _onnx,
    Format.STABLEHLO: _stablehlo,
}


def _missing(error: ImportError) -> str:
    """What to install; a message that says so already is kept."""
    if "pip install" in str(error):
        return str(error)
    return f"an export needs the `worker` extra: pip install 'stillhouse[worker]' ({error})"
