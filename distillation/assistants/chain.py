"""A distillation by its recipe's schedule: from the teacher over assistants to the student, stage by stage.

`minidisc`: the teacher's slices learn together; one of them becomes the assistant (see `tradeoff.py`) and teaches the
student, which starts from the same shared weights, together with what is smaller than the assistant. A student that is
no slice of the teacher starts from these weights as the recipe says and learns alone. `maxidisc`: every assistant
learns alone and teaches a student alone; the best student is kept. Every stage has as many steps as the recipe.

References: arXiv:2205.14570.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, assert_never

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from torch import Tensor, nn

from distillation.assistants.candidates import Candidates, Points, importance_by_labels
from distillation.assistants.grid import hull, share_of
from distillation.assistants.importance import importance_of_tensors, tensors_of
from distillation.assistants.journal import Journal, StageObserver
from distillation.assistants.slices import extract, skeleton_of
from distillation.assistants.stage import Learned, Settings, train_slices
from distillation.assistants.tradeoff import TARGET, Assistance, Round, best, check_metric, merit
from distillation.batches import Encoded
from distillation.cache import Cache
from distillation.checkpoint import training_name, weights_hash
from distillation.criterion import Pupil
from distillation.data import PreparedData
from distillation.described import described
from distillation.distil import Distilled, check, distil, importance_of
from distillation.observer import Observer, Unobserved
from distillation.plan import plan
from distillation.recipe import FROM_TEACHER, Recipe
from distillation.schedule import ScheduleKind
from distillation.start import Origin
from distillation.teaching import LiveTeaching
from distillation.trainer import CHECKPOINT_EVERY_S, move
from distillation.values import Estimate
from encoders.build import build, head_of, labels_of
from encoders.importance import Importance
from encoders.initialisation import LayerChoice, initialise_from_teacher
from encoders.modeling_stillhouse import StillhouseTaskModel
from search_space import Architecture

T = TypeVar("T")


def distil_by_schedule(
    data: PreparedData,
    teacher: StillhouseTaskModel,
    architecture: Architecture,
    recipe: Recipe,
    *,
    steps: int,
    seed: int,
    folder: Path,
    resume: Path | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    observer: Observer | None = None,
    device: str = "cpu",
    previous: StillhouseTaskModel | None = None,
    cache: Cache | None = None,
) -> Distilled:
    """Distils a student of this architecture by the recipe's schedule, every stage in so many steps.

    The arguments are those of `distil`, and so is the promise: equal arguments give equal weights on the CPU with equal
    threads, however often the work was stopped and resumed, in whatever stage. The cache is the teacher's alone:
    what assistants say is needed once.

    Raises:
        TeacherError: as `distil`; no candidate for assistant is larger than the student, or the task's metric is none
            to choose by.
        InitialisationError, Interrupted, DivergedError, CheckpointError, SaveError: as `distil`.
    """
    if recipe.schedule.kind is ScheduleKind.DIRECT:
        return distil(
            data,
            teacher,
            architecture,
            recipe,
            steps=steps,
            seed=seed,
            folder=folder,
            resume=resume,
            checkpoint_every_s=checkpoint_every_s,
            observer=observer,
            device=device,
            previous=previous,
            cache=cache,
        )
    check(data, teacher, architecture, recipe, previous)
    check_metric(data.task.metric)
    place = torch.device(device)
    models = nn.ModuleList([teacher] if previous is None else [teacher, previous])
    parts = (data.content_hash, architecture.key, asdict(recipe), steps, seed)
    told = observer or Unobserved()
    is_first = Accelerator(cpu=place.type == "cpu").is_main_process
    journal = Journal(folder, training_name(models, *parts), resume, told, is_first=is_first)
    watched = StageObserver(told, journal)
    settings = Settings(
        data=data,
        recipe=recipe,
        steps=steps,
        seed=seed,
        device=place,
        observer=watched,
        checkpoint_every_s=checkpoint_every_s,
    )
    return _Chain(
        settings=settings,
        observer=watched,
        journal=journal,
        teacher=teacher,
        target=architecture,
        previous=previous,
        cache=cache,
    ).run()


@dataclass(frozen=True, kw_only=True)
class _Chain:
    """One distillation: what it is of, and what its stages have left in the journal."""

    settings: Settings
    observer: StageObserver
    journal: Journal
    teacher: StillhouseTaskModel
    target: Architecture
    previous: StillhouseTaskModel | None
    cache: Cache | None

    def run(self) -> Distilled:
        self._check_student()
        kind = self.settings.recipe.schedule.kind
        match kind:
            case ScheduleKind.MINIDISC:
                return self._minidisc()
            case ScheduleKind.MAXIDISC:
                return self._maxidisc()
            case ScheduleKind.DIRECT:
                raise AssertionError("the teacher alone needs no chain")
            case _:
                assert_never(kind)

    def _check_student(self) -> None:
        """Before its assistants learn: whether they can teach a student that is no slice, and how it starts.

        Raises:
            TeacherError, InitialisationError: as `distil`.
        """
        if self.candidates.is_slice:
            return
        settings, recipe = self.settings, self.settings.recipe
        if recipe.initialisation in FROM_TEACHER:
            student = build(self.target, head_of(self.teacher.config), labels_of(self.teacher.config))
            initialise_from_teacher(student, self.teacher, layers=LayerChoice(recipe.initialisation.value))
        pupil = Pupil(model=skeleton_of(self.teacher, self.target))
        for _, shape in self.candidates.smaller_than(self.candidates.whole):
            plan(recipe, pupil, LiveTeaching(skeleton_of(self.teacher, shape)), steps=settings.steps)

    # --- minidisc: one assistant after the other, each found in one trial

    def _minidisc(self) -> Distilled:
        supernet = self.candidates.supernet(self.candidates.smaller_than(self.candidates.whole))
        initial = weights_hash(extract(supernet, self.target)) if self.candidates.is_slice else ""
        teacher, largest, rounds = self.teacher, self.candidates.whole, list[Round]()
        for number in range(self.settings.recipe.schedule.iterations):
            points = self.candidates.smaller_than(largest)
            if not any(self.candidates.may_assist(shape) for _, shape in points):
                break  # nothing lies between the assistant before and the student
            found, learned = self._round(f"round-{number}", supernet, points, teacher)
            rounds.append(found)
            if found.chosen is None:
                own = [point.architecture for point in found.points].index(self.target)
                kept = replace(learned, best=learned.best[own : own + 1], seconds=0.0)
                return self._distilled(extract(supernet, self.target), kept, initial, Assistance(rounds=tuple(rounds)))
            largest = found.points[found.chosen].architecture
            teacher = extract(supernet, largest)
        points = self.candidates.smaller_than(largest) if self.candidates.is_slice else ()
        initial, learned, student = self._student(supernet, teacher, points)
        assistance = Assistance(rounds=tuple(rounds), together=tuple(shape for _, shape in points))
        return self._distilled(student, learned, initial, assistance)

    def _round(
        self, key: str, supernet: StillhouseTaskModel, points: Points, teacher: StillhouseTaskModel
    ) -> tuple[Round, Learned]:
        """The candidates, learned together and judged; the supernet ends with the weights that were kept."""
        noted = self.journal.note(key)
        if noted is None:
            self._tell(f"looking for an assistant among {len(points)} slices")
            learned = self._train(supernet, points, teacher, lambda found: self._merit(points, found))
            judged = self.candidates.judged(points, learned.best)
            place = best(judged, self.candidates.may_be_chosen(points))
            made = Round(points=judged, chosen=None if points[place][1] == self.target else place)
            self.journal.keep(key, {"round": asdict(made), "learned": asdict(learned)})
            self.journal.keep("supernet", True, supernet.state_dict())
            self.journal.next()
            noted = self.journal.note(key)
        else:
            supernet.load_state_dict(self.journal.tensors("supernet"))
        return _described(Round, noted["round"]), _described(Learned, noted["learned"])

    # --- maxidisc: every assistant, and a student of each

    def _maxidisc(self) -> Distilled:
        assistants = tuple(point for point in self.candidates.grid if self.candidates.may_assist(point[1]))
        rounds = [self._pair(number, point) for number, point in enumerate(assistants)]
        place = self._winner(len(rounds))
        noted = self.journal.note(f"student-{place}")
        student = build(self.target, head_of(self.teacher.config), labels_of(self.teacher.config))
        student.load_state_dict(self.journal.tensors("student"))
        learned = replace(_described(Learned, noted["learned"]), seconds=0.0)
        return self._distilled(student, learned, noted["initial"], Assistance(rounds=tuple(rounds)))

    def _pair(self, number: int, point: tuple[float, Architecture]) -> Round:
        """An assistant and its student, of which the best so far is kept."""
        noted = self.journal.note(f"student-{number}")
        if noted is not None:
            return _described(Round, noted["round"])
        supernet = self.candidates.supernet((point,))
        found = self._assistant(number, supernet, point)
        initial, learned, student = self._student(supernet, extract(supernet, point[1]), ((TARGET, self.target),))
        own = replace(found.points[0], student=learned.best[0])
        made = replace(found, points=(own,))
        values = {"round": asdict(made), "learned": asdict(learned), "initial": initial}
        self.journal.keep(f"student-{number}", values)
        if self._winner(number + 1) == number:
            self.journal.keep("student", True, student.state_dict())
        self.journal.forget("supernet")
        self.journal.next()
        return made

    def _assistant(self, number: int, supernet: StillhouseTaskModel, point: tuple[float, Architecture]) -> Round:
        key, points = f"assistant-{number}", (point,)
        noted = self.journal.note(key)
        if noted is not None:
            supernet.load_state_dict(self.journal.tensors("supernet"))
            return _described(Round, noted["round"])
        share = share_of(point[1], self.candidates.whole)
        self._tell(f"distilling the assistant {point[1].label} ({share:.0%} of the teacher)")
        learned = self._train(supernet, points, self.teacher, lambda found: found[0])
        judged = self.candidates.judged(points, learned.best)
        made = Round(points=judged, chosen=0)
        self.journal.keep(key, {"round": asdict(made), "learned": asdict(learned)})
        self.journal.keep("supernet", True, supernet.state_dict())
        self.journal.next()
        return made

    def _winner(self, count: int) -> int:
        """Of so many students the first that is as good as the best."""
        notes = [self.journal.note(f"student-{number}") for number in range(count)]
        values = [note["learned"]["best"][0]["value"] for note in notes]
        return values.index(max(values))

    # --- what both do

    def _student(
        self, supernet: StillhouseTaskModel, teacher: StillhouseTaskModel, points: Points
    ) -> tuple[str, Learned, StillhouseTaskModel]:
        """Hash before the first step, how it learned, and the student; of a slice together with the other points."""
        if not self.candidates.is_slice:
            return self._other_student(supernet, teacher)
        self._tell("distilling the student from its assistant")
        part = extract(supernet, hull(shape for _, shape in points))
        place = [shape for _, shape in points].index(self.target)
        initial = weights_hash(extract(part, self.target))
        learned = self._train(part, points, teacher, lambda found: found[place])
        return initial, replace(learned, best=learned.best[place : place + 1]), extract(part, self.target)

    def _other_student(
        self, supernet: StillhouseTaskModel, teacher: StillhouseTaskModel
    ) -> tuple[str, Learned, StillhouseTaskModel]:
        """One that is no slice of the teacher: it starts from the most important heads and neurons, the leading ones,
        and learns alone.
        """
        settings, recipe = self.settings, self.settings.recipe
        self.observer.shown = None
        made = distil(
            settings.data,
            teacher,
            self.target,
            recipe,
            steps=settings.steps,
            seed=settings.seed,
            folder=self.journal.training(),
            resume=self.journal.resumed(),
            checkpoint_every_s=settings.checkpoint_every_s,
            observer=settings.observer,
            device=str(settings.device),
            previous=self.previous,
            origin=Origin(model=supernet, importance=self._sorted_importance()),
        )
        learned = Learned(best=(made.selection,), curve=made.curve, seconds=made.seconds, is_cached=False)
        return made.initial_weights, learned, made.model

    def _train(
        self,
        supernet: StillhouseTaskModel,
        points: Points,
        teacher: StillhouseTaskModel,
        merit_of: Callable[[Sequence[Estimate]], Estimate],
    ) -> Learned:
        return train_slices(
            self.settings,
            supernet,
            [shape for _, shape in points],
            teacher,
            merit=merit_of,
            folder=self.journal.training(),
            resume=self.journal.resumed(),
            cache=self.cache if teacher is self.teacher else None,
        )

    def _distilled(
        self, student: StillhouseTaskModel, learned: Learned, initial: str, assistance: Assistance
    ) -> Distilled:
        ended = self._ended(len(assistance.rounds))
        return Distilled(
            model=student,
            selection=learned.best[0],
            curve=learned.curve,
            steps=self.settings.steps,
            seconds=learned.seconds + sum(each.seconds for each in ended),
            initial_weights=initial,
            is_cached=learned.is_cached or any(each.is_cached for each in ended),
            assistance=assistance,
        )

    def _ended(self, rounds: int) -> list[Learned]:
        """How the stages went that the journal has."""
        keys = [f"{name}-{number}" for name in ("round", "assistant", "student") for number in range(rounds)]
        notes = [note for note in map(self.journal.note, keys) if note is not None]
        return [_described(Learned, note["learned"]) for note in notes]

    def _tell(self, name: str) -> None:
        self.observer.shown = None
        self.settings.observer.stage(name)

    @cached_property
    def _importance(self) -> Importance:
        """Computed once: elsewhere it might come out in another order."""
        if self.journal.note("importance") is None:
            self.observer.shown = None
            settings, place = self.settings, str(self.settings.device)
            found = importance_by_labels(
                settings.data, self.teacher, settings.recipe, place, observer=settings.observer, cache=self.cache
            )
            self.journal.keep("importance", True, tensors_of(found))
        return importance_of_tensors(self.journal.tensors("importance"))

    @cached_property
    def candidates(self) -> Candidates:
        return Candidates(
            teacher=self.teacher, target=self.target, recipe=self.settings.recipe, importance=self._importance
        )

    def _sorted_importance(self) -> Importance:
        """Of the supernet's units, whose heads and neurons are in its order."""
        found = self._importance
        return Importance(
            hidden=self._hidden_importance(),
            heads=tuple(layer.sort(descending=True).values for layer in found.heads or ()),
            neurons=tuple(layer.sort(dim=1, descending=True).values for layer in found.neurons or ()),
        )

    def _merit(self, points: Points, estimates: Sequence[Estimate]) -> Estimate:
        judged = self.candidates.judged(points, estimates)
        place = best(judged, self.candidates.may_be_chosen(points))
        self.observer.shown = judged[place].selection.value
        return merit(judged[place])

    def _hidden_importance(self) -> Tensor | None:
        """Of the teacher's hidden units, by which a narrower student takes them; None for the leading ones."""
        if self.candidates.hides:
            return None  # they are sorted already
        settings, recipe = self.settings, self.settings.recipe
        if recipe.initialisation not in FROM_TEACHER:
            return None
        kind = settings.data.task.kind
        texts = Encoded(settings.data.selection, settings.data.tokenizer, max_length=recipe.max_length, kind=kind)
        move(self.teacher, settings.device)
        found = importance_of(
            self.teacher,
            recipe.units,
            texts,
            settings.device,
            content=settings.data.content_hash,
            cache=self.cache,
            observer=settings.observer,
        )
        move(self.teacher, torch.device("cpu"))
        return None if found is None else found.hidden


def _described(kind: type[T], values: Any) -> T:
    # As it comes back from a file, also where it has just been made.
    made: T = described(kind, json.loads(json.dumps(values)))
    return made
