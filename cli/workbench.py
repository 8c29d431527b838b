"""One distillation in this process and this home: prepared once, resumed where it was stopped, reported on once."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformers.utils import logging as transformers_logging

from cli.errors import BadInputError, CliError
from cli.ranks import rank
from distillation.assistants.candidates import importance_by_labels, slice_at, whole_of
from distillation.assistants.chain import distil_by_schedule
from distillation.cache import Cache
from distillation.checkpoint import checkpoints_in, weights_hash
from distillation.data import TOKENIZER, PreparedData, read_data, read_report
from distillation.distil import Distilled, report
from distillation.errors import CheckpointError, DistillationError, TeacherError
from distillation.observer import Observer, Unobserved
from distillation.prepare import DATA, TEACHER, fingerprint
from distillation.provenance import (
    Preparation,
    Surroundings,
    folder_hash,
    provenance_of,
    read_preparation,
    surroundings,
    write_provenance,
)
from distillation.recipe import Recipe
from distillation.teacher import built_in_architecture, read_teacher
from distillation.trainer import move
from distillation.values import BUILT_IN, Fidelity
from encoders.build import architecture_of, head_of, labels_of
from encoders.errors import EncoderError
from encoders.export import export
from encoders.huggingface import load_pretrained
from encoders.modeling_stillhouse import StillhouseTaskModel
from encoders.values import HeadKind
from hardware.cores import available_cores
from hardware.environment import machine
from protocol.jobs import Prepared, PrepareWork
from search_space import Architecture
from worker.card import model_card
from worker.failures import INVALID
from worker.finished import Finished, load_finished, save_finished, training_of
from worker.preparation import keep_prepared, make_prepared, read_prepared
from worker.settings import CACHE_BYTES
from worker.workplace import prepared_folder, preparing, teachers_outputs

log = logging.getLogger(__name__)

CUDA = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """What was prepared, as read from its folder. `outcome` says how good it is."""

    folder: Path
    outcome: Prepared
    data: PreparedData
    teacher: StillhouseTaskModel
    preparation: Preparation


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The student that is wanted. `previous` is the folder of the one it starts from.

    `is_cached` asks for the home's cache of the teacher's outputs.
    """

    name: str
    architecture: Architecture
    recipe: Recipe
    previous: str | None
    fidelity: Fidelity
    steps: int
    seed: int
    device: str
    is_cached: bool = False
    processes: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A checkpoint in its folder; `kind` is its head's."""

    folder: Path
    metric: str
    kind: HeadKind
    needs_remote_code: bool


def set_up(*, device: str, threads: int, processes: int = 1) -> None:
    """Let each of the processes compute with so many threads, 0 for an equal part of the cores.

    Raises:
        BadInputError: there is no such device, or not enough of them.
    """
    if not has(device):
        raise BadInputError(f"--device {device}: torch {torch.__version__} finds no CUDA device here; use --device cpu")
    if device.startswith(CUDA) and processes > torch.cuda.device_count():
        raise BadInputError(
            f"--processes {processes}: there are {torch.cuda.device_count()} GPUs, one for each process"
        )
    torch.set_num_threads(threads or max(1, len(available_cores()) // processes))
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def has(device: str) -> bool:
    return not device.startswith(CUDA) or torch.cuda.is_available()


def here(device: str, processes: int = 1) -> Surroundings:
    """What a distillation on this device, started now, would depend on."""
    accelerator = {"accelerator": torch.cuda.get_device_name(device)} if device.startswith(CUDA) else {}
    return surroundings(machine() | accelerator, device=device, processes=processes)


def teacher_shape(home: Path, work: PrepareWork) -> Architecture:
    """The teacher's architecture, before it is made; only its vocabulary may be another one.

    Raises:
        TeacherError: there is none.
    """
    kept = read_prepared(prepared_folder(home, _fingerprint(work)))
    if kept is not None:
        return kept.architecture
    if work.teacher.model == BUILT_IN:
        return built_in_architecture(1, work.recipe.max_length)
    try:
        return architecture_of(load_pretrained(work.teacher.model, revision=work.teacher.revision).model.config)
    except EncoderError as error:
        raise TeacherError(f"teacher: {error}") from error


def prepared(home: Path, work: PrepareWork, observer: Observer, *, device: str) -> Materials:
    """Data and teacher, taken from the home or prepared into it; goes on where an earlier attempt stopped.

    Raises: as `prepare`.
    """
    name = _fingerprint(work)
    kept = prepared_folder(home, name)
    outcome = read_prepared(kept)
    if outcome is None:
        with preparing(home, name) as checkpoints, _scratch(kept, checkpoints) as folder:
            outcome = keep_prepared(folder, make_prepared(work, folder, checkpoints, observer, device=device), kept)
    return Materials(
        folder=kept,
        outcome=outcome,
        data=read_data(kept / DATA),
        teacher=read_teacher(kept / TEACHER),
        preparation=read_preparation(kept / TEACHER),
    )


def slice_of(
    home: Path, materials: Materials, recipe: Recipe, sparsity: float, observer: Observer, *, device: str
) -> Architecture:
    """The teacher without this share of its heads and of its neurons, the least important ones.

    What each counts is computed once in this home.

    Raises:
        TeacherError: there are no labels to tell importance from.
        Interrupted: the observer asked for it.
    """
    data, teacher = materials.data, materials.teacher
    importance = importance_by_labels(data, teacher, recipe, device, observer=observer, cache=_cache(home))
    return slice_at(whole_of(materials.teacher), importance, recipe, sparsity)


def hashes_of(materials: Materials, previous: str | None) -> dict[str, str | None]:
    """Of what a student is made from, by their names among `Hashes`."""
    return {
        "data": materials.data.content_hash,
        "tokenizer": folder_hash(materials.folder / DATA / TOKENIZER),
        "teacher": weights_hash(materials.teacher),
        "previous": None if previous is None else weights_hash(_previous(previous)),
    }


def distilled(home: Path, materials: Materials, order: Order, observer: Observer) -> Finished:
    """The student, its provenance and how good it is; what ended before is not done again.

    Raises: as `distil_by_schedule`. BadInputError: another process is at it.
    """
    previous = None if order.previous is None else _previous(order.previous)
    folder = _folder(home, materials, order, previous)
    with _alone(folder):
        ended = _ended(folder / "finished", materials, order)
        if ended is not None:
            return ended
        shutil.rmtree(folder / "finished", ignore_errors=True)
        cache = _cache(home) if order.is_cached else None
        student = _student(folder / "checkpoints", materials, order, previous, cache, observer)
        observer.stage("evaluating on the report split")
        score = report(student.model, read_report(materials.folder / DATA), order.recipe, device=order.device)
        move(student.model, torch.device("cpu"))
        provenance = provenance_of(
            student,
            score,
            name=order.name,
            data=materials.data,
            data_folder=materials.folder / DATA,
            preparation=materials.preparation,
            teacher=materials.teacher,
            recipe=order.recipe,
            fidelity=order.fidelity,
            seed=order.seed,
            surroundings=here(order.device, order.processes),
            previous=None if order.previous is None or previous is None else (order.previous, previous),
        )
        finished = Finished(model=student.model, training=training_of(student, score), provenance=provenance)
        save_finished(finished, folder / "finished")
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return finished


def has_ended(home: Path, materials: Materials, order: Order) -> bool:
    """Whether nothing is left to be trained."""
    previous = None if order.previous is None else _previous(order.previous)
    return _ended(_folder(home, materials, order, previous) / "finished", materials, order) is not None


def assist(home: Path, materials: Materials, order: Order) -> None:
    """The part of another process in `distilled`: trains, tells nothing and writes nothing. Raises: as
    `distil_by_schedule`."""
    previous = None if order.previous is None else _previous(order.previous)
    folder = _folder(home, materials, order, previous)
    _student(folder / "checkpoints", materials, order, previous, None, Unobserved())


def exported(finished: Finished, materials: Materials, output: Path) -> Exported:
    """The student as a folder that loads anywhere, with its card and its provenance; all of it, or nothing.

    Raises:
        ExportError: it does not compute what the student computes. OSError: the disk's.
    """
    config, task = finished.model.config, materials.data.task
    kind, provenance = head_of(config).kind, finished.provenance
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.", ignore_cleanup_errors=True) as place:
        # The last part of the name is kept because transformers names the module of the modelling code after it.
        written = Path(place) / output.name
        # As it was prepared: the tokenizer in use remembers where it last cut its texts.
        found = export(finished.model, materials.folder / DATA / TOKENIZER, written)
        if provenance is not None:
            write_provenance(provenance, written)
            card = model_card(
                finished.training,
                name=provenance.name,
                architecture=provenance.architecture,
                recipe=provenance.recipe,
                task=task,
                classes=materials.data.classes,
                teacher=provenance.teacher_architecture,
                teacher_source=provenance.preparation.teacher.model,
                kind=kind,
                assistance=provenance.assistance,
            )
            (written / "README.md").write_text(card, encoding="utf-8")
        if output.is_dir():
            output.rmdir()  # empty, or something has come there meanwhile
        written.rename(output)
    return Exported(folder=output, metric=task.metric, kind=kind, needs_remote_code=found.needs_remote_code)


def forget(home: Path, materials: Materials, order: Order) -> None:
    """Remove what `distilled` keeps of this one."""
    previous = None if order.previous is None else _previous(order.previous)
    folder = _folder(home, materials, order, previous)
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink(missing_ok=True)


@contextmanager
def told(placed: Callable[[str], str] = str) -> Iterator[None]:
    """What goes wrong in the block, in one message; `placed` adds where in a file it was asked for.

    Raises:
        BadInputError: what was asked for cannot be done. CliError: something broke.
    """
    try:
        yield
    except INVALID as error:
        raise BadInputError(placed(" ".join(str(error).split()))) from error
    except (DistillationError, EncoderError, OSError) as error:
        raise CliError(str(error)) from error


def _student(
    folder: Path,
    materials: Materials,
    order: Order,
    previous: StillhouseTaskModel | None,
    cache: Cache | None,
    observer: Observer,
) -> Distilled:
    for resume in (*checkpoints_in(folder), None):
        try:
            return distil_by_schedule(
                materials.data,
                materials.teacher,
                order.architecture,
                order.recipe,
                steps=order.steps,
                seed=order.seed,
                folder=folder,
                resume=resume,
                observer=observer,
                device=_own_device(order),
                previous=previous,
                cache=cache,
            )
        except CheckpointError as error:
            if resume is None:
                raise
            log.warning("%s is of no use: %s", resume, error)
            # Left there, one of a later step would outlive every checkpoint of this training.
            shutil.rmtree(resume, ignore_errors=True)
        except RuntimeError as error:  # whatever the library says that joins the processes
            if order.processes == 1:
                raise
            lost = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise CliError(
                f"the processes of the distillation lost each other, the same command goes on: {lost}"
            ) from error
    raise AssertionError("without a checkpoint there is none that is of no use")


def _cache(home: Path) -> Cache:
    return Cache(folder=teachers_outputs(home), budget_bytes=CACHE_BYTES)


def _own_device(order: Order) -> str:
    """Of several processes each has a GPU of its own."""
    return f"{order.device}:{rank() or 0}" if order.device == CUDA and order.processes > 1 else order.device


def _ended(folder: Path, materials: Materials, order: Order) -> Finished | None:
    config = materials.teacher.config
    try:
        return load_finished(folder, order.architecture, head_of(config), labels_of(config))
    except ValueError as error:  # weights that do not fit, or a description that does not parse
        log.warning("what had ended is of no use: %s", error)
        return None


def _folder(home: Path, materials: Materials, order: Order, previous: StillhouseTaskModel | None) -> Path:
    """Where this distillation, and no other, keeps what it has done."""
    parts = [
        asdict(order),
        materials.data.content_hash,
        weights_hash(materials.teacher),
        None if previous is None else weights_hash(previous),
        torch.get_num_threads(),
    ]
    return home / "distillations" / hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _previous(folder: str) -> StillhouseTaskModel:
    try:
        return load_pretrained(folder).model
    except EncoderError as error:
        raise BadInputError(f"previous: {error}") from error


def _fingerprint(work: PrepareWork) -> str:
    return fingerprint(work.task, work.teacher, work.recipe, work.seed)


@contextmanager
def _scratch(kept: Path, checkpoints: Path | None) -> Iterator[Path]:
    """An empty folder beside where it is kept; another's where another process is at the same preparation."""
    folder = kept.with_name(f".{kept.name}" if checkpoints else f".{kept.name}.{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInputError("another process is at this very distillation; wait for it, or stop it") from None
        yield
    finally:
        os.close(handle)
