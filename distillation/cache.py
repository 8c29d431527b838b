"""What is computed of a teacher, on disk: once for all trials on a machine that train on the same texts.

    FOLDER/KEY/reading             held shared by who reads, exclusively by who removes
    FOLDER/KEY/writing             held exclusively by who looks what is there, and computes what is not
    FOLDER/KEY/logits.npy          one row for each text, or for each token
    FOLDER/KEY/hidden-3.npy        one row for each token: the states after layer 3, from 1; 0 are the embeddings
    FOLDER/KEY/query-0.npy         one row for each token: the queries of layer 0, head after head
    FOLDER/KEY/SHA256.safetensors  small tensors, such as the importance of units, under the hash of their file

KEY is a hash of all that the numbers depend on: the teacher's weights, the data, where texts are cut. Rows are found by
an example's index, never by a step: every epoch sees its own teacher.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distillation.batches import Batch, Encoded
from distillation.checkpoint import training_name
from distillation.decisions import Answers, Needs, decisions
from distillation.encoding import Integers
from distillation.errors import Interrupted
from distillation.observer import Observer
from distillation.teaching import LiveTeaching, Teaching
from encoders.build import architecture_of, head_of
from encoders.modeling_stillhouse import Projections, StillhouseOutput, StillhouseTaskModel
from encoders.values import POOLING, HeadKind
from encoders.weights import read, save_tensors

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH_SIZE = 64
ASK_EVERY_S = 0.2
BYTES = 4
"""Of a number: float32, so that what is read is what was computed."""
SUFFIX = ".safetensors"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A folder, and the most bytes that all of it may take."""

    folder: Path
    budget_bytes: int

    def teaching(
        self, teacher: StillhouseTaskModel, encoded: Encoded, needs: Needs, *, content: str, observer: Observer
    ) -> Teaching:
        """The teacher of these texts, from disk where that can hold what is needed; else it computes on every batch.

        What is missing is computed now, on the teacher's device. `content` identifies texts, tokens and their order.

        Raises:
            Interrupted: the observer asked for it.
        """
        live = LiveTeaching(teacher)
        parts = _parts(teacher, needs)
        if parts is None:
            return live
        rows = {part.name: _rows(part, encoded) for part in parts}
        size = sum(BYTES * rows[part.name] * part.width for part in parts)
        if size > self.budget_bytes:
            return live
        entry = self.folder / training_name(teacher, "outputs", content, len(encoded), int(encoded.lengths.sum()))
        try:
            with _reading(entry, observer) as held:
                with _writing(entry, observer):
                    missing = [part for part in parts if not (entry / part.file).exists()]
                    if missing:
                        self._make_room(entry, sum(BYTES * rows[part.name] * part.width for part in missing))
                        _fill(entry, missing, rows, live, encoded, observer)
                arrays = {part.name: np.load(entry / part.file, mmap_mode="r") for part in parts}
                teaching = CachedTeaching(teacher, encoded, arrays)
                # Held as long as the teaching lives: what is being read is not removed.
                weakref.finalize(teaching, held.pop_all().close)
        except OSError as error:
            # A full disk, say: slower, and no reason to fail.
            log.warning("the teacher's outputs are not kept: %s", error)
            return live
        return teaching

    def tensors(self, key: str, compute: Callable[[], dict[str, Tensor]], *, observer: Observer) -> dict[str, Tensor]:
        """What `compute` gives, bit for bit, from disk where it has been computed before under this key.

        `key` is a hash of all that it depends on. It is held in memory: what takes no small part of the budget is not
        for here.

        Raises:
            Interrupted: the observer asked for it while another process computed; or as `compute`.
        """
        if not self.budget_bytes:
            return compute()
        entry, found = self.folder / key, None
        try:
            with _reading(entry, observer), _writing(entry, observer):
                found = _whole(entry)
                if found is None:
                    found = compute()
                    self._make_room(entry, sum(tensor.nbytes for tensor in found.values()))
                    _save(entry, found)
        except OSError as error:
            log.warning("what was computed of the teacher is not kept: %s", error)
        return compute() if found is None else found

    def _make_room(self, kept: Path, size_bytes: int) -> None:
        """Removes what was used longest ago and nobody reads, until the new bytes fit."""
        entries = sorted(self.folder.iterdir(), key=lambda entry: entry.stat().st_mtime)
        total = size_bytes + sum(_size(entry) for entry in entries)
        for entry in entries:
            if total <= self.budget_bytes:
                return
            if entry != kept:
                total -= _remove(entry)
        if total > self.budget_bytes:
            raise OSError(f"{self.folder} is full of what others read: {total} of {self.budget_bytes} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One array of an entry: `width` numbers for each token, or for each text."""

    name: str
    width: int
    by_token: bool = True

    @property
    def file(self) -> str:
        return f"{self.name}.npy"


class CachedTeaching:
    """Reads the rows of a batch's texts."""

    def __init__(
        self,
        model: StillhouseTaskModel,
        encoded: Encoded,
        arrays: Mapping[str, Floats],
    ) -> None:
        self.model = model
        self._kind = encoded.kind
        self._arrays = arrays
        self._starts = _starts(encoded)
        self._layers = architecture_of(model.config)

    def __call__(self, batch: Batch, needs: Needs) -> Answers:
        """`needs` are among those that the teaching was made for."""
        indices = batch.indices.cpu().numpy()
        real = batch.attention_mask.cpu().numpy().astype(bool)
        tokens = np.where(real, self._starts[indices][:, None] + np.arange(real.shape[1])[None, :], 0)
        found = {
            part.name: torch.from_numpy(self._arrays[part.name][tokens if part.by_token else indices])
            for part in _there(_parts(self.model, needs))
        }
        output = self._output({name: tensor.to(batch.input_ids.device) for name, tensor in found.items()})
        return Answers(decisions(output, batch, self._kind), output)

    def _output(self, found: Mapping[str, Tensor]) -> StillhouseOutput:
        nothing = torch.empty(0)  # layers that nobody asked for
        shape = self._layers
        return StillhouseOutput(
            logits=found.get("logits"),
            start_logits=found["start"][..., 0] if "start" in found else None,
            end_logits=found["end"][..., 0] if "end" in found else None,
            hidden_states=tuple(found.get(f"hidden-{index}", nothing) for index in range(shape.layers + 1)),
            projections=tuple(self._projections(found, layer) for layer in range(shape.layers)),
        )

    def _projections(self, found: Mapping[str, Tensor], layer: int) -> Projections | None:
        if f"query-{layer}" not in found:
            return None
        heads = self._layers.heads_by_layer[layer]
        sides = (found[f"{side}-{layer}"] for side in Projections._fields)
        return Projections(*(side.reshape(*side.shape[:2], heads, -1).transpose(1, 2) for side in sides))


def _parts(teacher: StillhouseTaskModel, needs: Needs) -> list[Part] | None:
    """What must be kept; None where that cannot be: maps of L x L for each head, words that are masked anew."""
    head, shape = head_of(teacher.config), architecture_of(teacher.config)
    if needs.attentions or head.kind is HeadKind.MASKED_LM:
        return None
    if head.kind is HeadKind.QUESTION_ANSWERING:
        parts = [Part(name="start", width=1), Part(name="end", width=1)]
    else:
        parts = [Part(name="logits", width=max(1, head.classes), by_token=head.kind not in POOLING)]
    parts += [Part(name=f"hidden-{index}", width=shape.hidden_size) for index in sorted(needs.hidden_states)]
    for layer in sorted(needs.projections):
        width = shape.heads_by_layer[layer] * shape.head_size
        parts += [Part(name=f"{side}-{layer}", width=width) for side in Projections._fields]
    return parts


def _fill(
    entry: Path, parts: list[Part], rows: Mapping[str, int], live: Teaching, encoded: Encoded, observer: Observer
) -> None:
    """Writes the arrays, each whole or not at all."""
    needs = Needs(
        hidden_states=frozenset(int(part.name[7:]) for part in parts if part.name.startswith("hidden-")),
        projections=frozenset(int(part.name[6:]) for part in parts if part.name.startswith("query-")),
    )
    device = next(live.model.parameters()).device
    observer.stage("computing the teacher's outputs")
    with TemporaryDirectory(dir=entry, prefix=".partial-") as folder:
        arrays = {
            part.name: np.lib.format.open_memmap(
                Path(folder) / part.file, mode="w+", dtype=np.float32, shape=(rows[part.name], part.width)
            )
            for part in parts
        }
        starts = _starts(encoded)
        for indices, batch in encoded.by_length(BATCH_SIZE):
            if observer.should_stop():
                raise Interrupted("stopped while the teacher's outputs were computed")
            output = live(batch.to(device), needs).output
            real = batch.attention_mask.numpy().astype(bool)
            tokens = (starts[indices][:, None] + np.arange(real.shape[1])[None, :])[real]
            for part in parts:
                values = _values(part, output).float().cpu().numpy()
                arrays[part.name][tokens if part.by_token else indices] = values[real] if part.by_token else values
        for part in parts:
            arrays[part.name].flush()
            (Path(folder) / part.file).rename(entry / part.file)


def _values(part: Part, output: StillhouseOutput) -> Tensor:
    """(B, L, width), or (B, width)."""
    kind, _, index = part.name.partition("-")
    if kind == "hidden":
        return _there(output.hidden_states)[int(index)]
    if kind in Projections._fields:
        projections: Projections = _there(_there(output.projections)[int(index)])
        heads_BHLK: Tensor = getattr(projections, kind)
        return heads_BHLK.transpose(1, 2).flatten(start_dim=2)
    if kind in ("start", "end"):
        return _there(output.start_logits if kind == "start" else output.end_logits)[..., None]
    return _there(output.logits)


def _there(value: T | None) -> T:
    if value is None:
        raise ValueError("the teacher did not compute what was asked for")
    return value


def _rows(part: Part, encoded: Encoded) -> int:
    return int(encoded.lengths.sum()) if part.by_token else len(encoded)


def _starts(encoded: Encoded) -> Integers:
    starts: Integers = np.concatenate(([0], np.cumsum(encoded.lengths)[:-1]))
    return starts


@contextmanager
def _reading(entry: Path, observer: Observer) -> Iterator[ExitStack]:
    """Within, or until what is given is closed, nobody removes the entry."""
    entry.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        reading = held.enter_context((entry / "reading").open("ab"))
        _wait_for(reading.fileno(), fcntl.LOCK_SH, observer)
        os.utime(entry)
        yield held


@contextmanager
def _writing(entry: Path, observer: Observer) -> Iterator[None]:
    """Within, nobody else writes there."""
    with (entry / "writing").open("ab") as writing:
        _wait_for(writing.fileno(), fcntl.LOCK_EX, observer)
        yield


def _whole(entry: Path) -> dict[str, Tensor] | None:
    """The tensors that are kept there; what was damaged is removed."""
    for path in entry.glob(f"*{SUFFIX}"):
        if _hash(path) == path.stem:
            return read(path)
        path.unlink()
    return None


def _save(entry: Path, tensors: Mapping[str, Tensor]) -> None:
    written = entry / "written"
    save_tensors(tensors, written)
    written.rename(entry / f"{_hash(written)}{SUFFIX}")


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _wait_for(handle: int, lock: int, observer: Observer) -> None:
    while True:
        try:
            fcntl.flock(handle, lock | fcntl.LOCK_NB)
        except BlockingIOError:
            if observer.should_stop():
                raise Interrupted("stopped while another process computed the same of the teacher") from None
            time.sleep(ASK_EVERY_S)
        else:
            return


def _size(entry: Path) -> int:
    return sum(path.stat().st_size for path in entry.rglob("*") if path.is_file())


def _remove(entry: Path) -> int:
    """The bytes that this made free: none where somebody reads."""
    try:
        with (entry / "reading").open("ab") as reading:
            fcntl.flock(reading, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = _size(entry)
            shutil.rmtree(entry)
    except OSError:
        return 0
    return size
