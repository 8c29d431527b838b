"""What a distillation of several stages has done, on disk: each resumes at its stage and step.

A checkpoint of all is a folder `checkpoint-STAGE-STEP`:

    schedule.json       whose it is, which stage runs, and what is known of those that ended
    NAME.safetensors    weights that later stages need
    training/           the running stage's own checkpoint (see `checkpoint.py`), if it has one

Files are linked, not copied, from one to the next: none is ever changed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from distillation.checkpoint import KEPT, checkpoints_in
from distillation.errors import CheckpointError, SaveError
from distillation.files import whole_folder, write_json
from distillation.observer import Observer
from encoders.errors import CheckpointError as WeightsError
from encoders.weights import read, save_tensors

SCHEMA_VERSION = 1
DESCRIPTION = "schedule.json"
TRAINING = "training"


class Journal:
    """Notes and tensors by name, in `folder`, and whole checkpoints of them for the observer.

    Raises:
        CheckpointError: `resume` is not a whole checkpoint of the distillation of this name.
    """

    def __init__(self, folder: Path, name: str, resume: Path | None, observer: Observer, *, is_first: bool) -> None:
        """Of several equal processes only the first writes."""
        self._folder, self._name, self._observer, self._is_first = folder, name, observer, is_first
        self._stage = 0
        self._notes: dict[str, Any] = {}
        self._tensors: dict[str, dict[str, Tensor]] = {}
        self._files: dict[str, Path] = {}
        self._resumed: Path | None = None
        if resume is not None:
            self._read(resume)

    def note(self, key: str) -> Any:
        """What was noted, or None."""
        return self._notes.get(key)

    def tensors(self, key: str) -> Mapping[str, Tensor]:
        """Raises: CheckpointError: they were damaged."""
        return _read_tensors(self._files[key]) if key in self._files else self._tensors[key]

    def keep(self, key: str, note: Any, tensors: Mapping[str, Tensor] | None = None) -> None:
        """Takes it down, in memory until the next checkpoint. The note is a value of JSON."""
        self._notes[key] = note
        if tensors is not None:
            self._tensors[key] = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
            self._files.pop(key, None)

    def forget(self, key: str) -> None:
        """The tensors of this name, which nobody needs any more."""
        self._tensors.pop(key, None)
        self._files.pop(key, None)

    def resumed(self) -> Path | None:
        """The running stage's own checkpoint, if it has one."""
        return self._resumed

    def training(self) -> Path:
        """Where the running stage writes its own checkpoints."""
        return self._folder / f"stage-{self._stage}"

    def next(self) -> None:
        """The stage that ran is over, and what it left is noted."""
        over = self.training()
        self._stage += 1
        self._resumed = None
        self.checkpoint(None, 0)
        if self._is_first:
            shutil.rmtree(over, ignore_errors=True)

    def checkpoint(self, training: Path | None, step: int) -> None:
        """Writes all there is, with the running stage's own checkpoint, and tells the observer.

        Raises:
            SaveError: nothing of this checkpoint is left then; older ones are.
        """
        if not self._is_first:
            return
        target = self._folder / f"checkpoint-{self._stage:03d}-{step:08d}"
        with whole_folder(target) as place:
            for key in self._tensors.keys() | self._files.keys():
                self._write_tensors(key, place / f"{key}.safetensors")
            if training is not None:
                shutil.copytree(training, place / TRAINING, copy_function=_link)
            notes = {"schema_version": SCHEMA_VERSION, "name": self._name, "stage": self._stage, "notes": self._notes}
            write_json(place / DESCRIPTION, notes)
        self._files = {key: target / f"{key}.safetensors" for key in self._tensors.keys() | self._files.keys()}
        self._tensors.clear()
        for old in checkpoints_in(self._folder)[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
        self._observer.checkpointed(target)

    def _write_tensors(self, key: str, path: Path) -> None:
        if key in self._files:
            _link(str(self._files[key]), str(path))
        else:
            save_tensors(self._tensors[key], path)

    def _read(self, resume: Path) -> None:
        path = resume / DESCRIPTION
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            version, name = values["schema_version"], values["name"]
            self._stage, self._notes = int(values["stage"]), dict(values["notes"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{resume} is not a whole checkpoint of a schedule: {error}") from error
        if version != SCHEMA_VERSION:
            raise CheckpointError(f"{path} is of version {version}, this program reads {SCHEMA_VERSION}")
        if name != self._name:
            raise CheckpointError(
                f"{resume} is of another distillation: data, teacher, architecture, recipe, steps or seed differ"
            )
        self._files = {file.stem: file for file in resume.glob("*.safetensors")}
        if (resume / TRAINING).is_dir():
            self._resumed = resume / TRAINING


class StageObserver:
    """Passes on what a stage tells; its checkpoints become those of all stages.

    `shown` is what people see of an evaluation, which is not always what the stage is judged by.
    """

    def __init__(self, observer: Observer, journal: Journal) -> None:
        self._observer, self._journal = observer, journal
        self.shown: float | None = None

    def stage(self, name: str) -> None:
        self._observer.stage(name)

    def step(self, step: int, steps: int, loss: float) -> None:
        self._observer.step(step, steps, loss)

    def evaluated(self, step: int, value: float) -> None:
        self._observer.evaluated(step, value if self.shown is None else self.shown)

    def checkpointed(self, folder: Path) -> None:
        self._journal.checkpoint(folder, int(folder.name.rpartition("-")[2]))

    def should_stop(self) -> bool:
        return self._observer.should_stop()


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return read(path)
    except WeightsError as error:
        raise CheckpointError(str(error)) from error


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        try:
            shutil.copy2(source, target)
        except OSError as error:
            raise SaveError(f"cannot write {target}: {error.strerror or error}") from error
