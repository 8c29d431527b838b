"""What `MODEL` and `--architecture` name: something that can be measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cli.errors import BadInputError
from cli.paths import expanded
from encoders.values import Head, Pooling
from protocol.errors import StudyFileError
from protocol.study_file import load_architecture, parse_architecture
from search_space import KNOWN, Architecture, Pooler
from search_space.errors import unknown

CLASSES = 2
"""Of the head of what has none of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Without a `checkpoint`, which is a folder, it gets random weights. `tokenizer` is a folder or a hub's id."""

    name: str
    architecture: Architecture
    head: Head
    checkpoint: Path | None = None
    tokenizer: str | None = None
    notes: tuple[str, ...] = ()


def find_model(name: str | None, architecture: str | None) -> Model:
    """The model of this name, or of this architecture in YAML or in a file of it.

    A name is a folder of ours or of Hugging Face, a known architecture's, or an id on the hub.

    Raises:
        BadInputError: none or both are given, there is no such model, or it is none that can be measured.
    """
    if (name is None) == (architecture is None):
        raise BadInputError("name one model: MODEL (a folder, a hub's id or a known name), or --architecture")
    if architecture is not None:
        return _shaped(architecture)
    assert name is not None
    if not name:
        raise BadInputError("MODEL is empty; name a folder, a hub's id or a known name")
    path = expanded(name)
    if path.is_dir():
        return _read(str(path))
    if name in KNOWN:
        return _random(name, KNOWN[name])
    if path.exists():
        raise BadInputError(f"{name} is a file; a model is a folder with config.json and model.safetensors")
    return _read(name)


def _shaped(text: str) -> Model:
    try:
        if text.lstrip().startswith("{"):
            shape = parse_architecture(text, origin="--architecture")
        else:
            shape = load_architecture(expanded(text))
    except StudyFileError as error:
        raise BadInputError(str(error)) from error
    return _random(shape.label, shape)


def _random(name: str, architecture: Architecture) -> Model:
    pooling = Pooling.MEAN if architecture.pooler is Pooler.NONE else Pooling.CLS
    head = Head(classes=CLASSES, pooling=pooling)
    return Model(name=name, architecture=architecture, head=head, notes=("its weights are random",))


def _read(source: str) -> Model:
    try:
        from encoders.build import architecture_of, head_of
        from encoders.errors import EncoderError, SourceNotFoundError
        from encoders.huggingface import folder_of, load_pretrained
    except ImportError as error:
        raise BadInputError(
            f"measuring needs the `worker` extra: pip install 'stillhouse[worker]' ({error})"
        ) from error
    try:
        imported = load_pretrained(source)
        folder = folder_of(source)
    except SourceNotFoundError as error:
        known = "" if Path(source).is_dir() else f"; {unknown('model', source, KNOWN)}"
        raise BadInputError(f"{error}{known}") from error
    except EncoderError as error:
        raise BadInputError(str(error)) from error
    config = imported.model.config
    notes = () if imported.has_task_head else ("it has no head of a known kind: it gets a new one",)
    return Model(
        name=source,
        architecture=architecture_of(config),
        head=head_of(config),
        checkpoint=folder,
        tokenizer=source,
        notes=(*imported.notes, *notes),
    )
