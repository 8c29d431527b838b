"""A finalist's export: chosen by what is asked of it, downloaded, loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from client.arguments import made
from client.artefacts import Artefacts
from client.card import check_owner, complete_card
from client.errors import ClientError, NoSuchFinalistError, installed
from client.tables import Trials
from optimization.values import Constraint, Direction
from protocol.card import FILE
from protocol.jobs import Score
from protocol.metrics import metric_info
from protocol.quantity import format_count, format_seconds, parse_quantity
from protocol.study import StudySpec
from protocol.views import FinalistView, LatencyView, TrialView

if TYPE_CHECKING:
    from transformers import Pipeline, PreTrainedModel, PreTrainedTokenizerBase

AUTO_CLASSES = {
    "classification": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
    "question_answering": "AutoModelForQuestionAnswering",
    "masked_lm": "AutoModelForMaskedLM",
}
PIPELINES = {
    "classification": "text-classification",
    "regression": "text-classification",
    "token_classification": "token-classification",
    "masked_lm": "fill-mask",
}
"""By kind of task; transformers has no pipeline that answers questions any more."""

OWN = "stillhouse"
"""The model type whose code lies beside the weights."""


class Finalist:
    """`study.best(...)`: one student, distilled in full, exported, and judged on the report split."""

    def __init__(self, trial: TrialView, finalist: FinalistView, spec: StudySpec, artefacts: Artefacts) -> None:
        self.trial = trial
        self.view = finalist
        self._spec, self._artefacts = spec, artefacts

    def __repr__(self) -> str:
        told = [self.trial.label]
        told += [] if self.score is None else [f"{self._spec.task.metric} {self.score.value:.3f} on the report split"]
        if self.latency is not None:
            told.append(f"latency p50 {format_seconds(self.latency.p50_s)} {self.latency.source}")
        return f"<finalist {self.number} of {self.trial.study}: {', '.join(told)}>"

    @property
    def number(self) -> int:
        return self.trial.number

    @property
    def latency(self) -> LatencyView | None:
        """Of the exported artefact."""
        return self.view.latency

    @property
    def score(self) -> Score | None:
        """The task's metric on the report split, which nothing was chosen by."""
        return None if self.view.evaluation is None else self.view.evaluation.report

    def download(
        self,
        folder: Path | str | None = None,
        *,
        license: str | None = None,  # noqa: A002 (as hubs call it)
        language: str | None = None,
    ) -> Path:
        """The checkpoint's folder, by default in this user's cache; every file is checked against its SHA-256.

        Its model card is completed: with the latency, where another machine than the one that trained it measured it,
        and with what is said here of licence and language.

        Raises:
            ArtefactError: what arrived is not what its name says, or something else is at `folder`.
        """
        if self.view.export is None:
            raise ClientError(f"trial {self.number} of study {self.trial.study} has no export yet: {self.view.state}")
        check_owner(license, language)
        if folder is None:
            # Named by its content, too: a study that was started afresh under its name has other exports.
            folder = cache_folder() / f"{self.trial.study}-trial-{self.number}-{self.view.export[:12]}"
        target = Path(folder).expanduser().absolute()
        self._artefacts.download_folder(self.view.export, target, changed=(FILE,))
        complete_card(target, self._spec, self.latency, license=license, language=language)
        return target

    def load(
        self, folder: Path | str | None = None, *, trust_remote_code: bool = True
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Download, and load model and tokenizer with transformers.

        Args:
            trust_remote_code: run the one modelling file that lies in the export, where no class of transformers
                computes the same.

        Raises:
            MissingPackage: transformers or torch is not installed.
        """
        transformers = installed("transformers", extra="worker")
        place = self.download(folder)
        trusted = trust_remote_code and _has_own_code(place)
        auto = getattr(transformers, AUTO_CLASSES[self._spec.task.kind])
        model = auto.from_pretrained(place, trust_remote_code=trusted, local_files_only=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, trust_remote_code=trusted, local_files_only=True)
        return model, tokenizer

    def pipeline(self, folder: Path | str | None = None, *, trust_remote_code: bool = True) -> Pipeline:
        """As `load`, as a pipeline: `study.best().pipeline()("a text")`."""
        kind = PIPELINES.get(self._spec.task.kind)
        if kind is None:
            raise ClientError(f"transformers has no pipeline for {self._spec.task.kind}; use load()")
        model, tokenizer = self.load(folder, trust_remote_code=trust_remote_code)
        made: Pipeline = installed("transformers", extra="worker").pipeline(kind, model=model, tokenizer=tokenizer)
        return made


def best(trials: Trials, spec: StudySpec, artefacts: Artefacts, bounds: Iterable[Constraint]) -> Finalist:
    """The finalist within the bounds whose full distillation did best on the selection split.

    The report split decides nothing: it is for publishing.

    Raises:
        NoSuchFinalistError.
    """
    bounds = tuple(bounds)
    found = [
        Finalist(trial, trial.finalist, spec, artefacts)
        for trial in trials
        if trial.finalist is not None and trial.finalist.export is not None
    ]
    within = [one for one in found if all(bound.met(_metrics(one, spec)) for bound in bounds)]
    if not within:
        raise NoSuchFinalistError(_nearest(found, spec, bounds))
    sign = 1 if metric_info(spec.task.metric).better is Direction.MAXIMIZE else -1
    return max(within, key=lambda one: sign * _metrics(one, spec).get(spec.task.metric, -sign * float("inf")))


def bound(metric: str, value: str | float, *, at_least: bool = False) -> Constraint:
    """A bound as people write it, `"4 ms"`, or in base units.

    Raises:
        InvalidArgument: no number, or a unit that does not belong.
    """

    def constraint() -> Constraint:
        number = parse_quantity(value, metric_info(metric).unit) if isinstance(value, str) else float(value)
        return Constraint(metric=metric, bound=number, at_least=at_least)

    return made(constraint, metric)


def cache_folder() -> Path:
    """Where this user's downloads lie."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stillhouse" / "exports"


def _metrics(one: Finalist, spec: StudySpec) -> dict[str, float]:
    """What is known of the finalist itself: its export's latency, its full distillation on the selection split."""
    metrics = {name: value for name, value in one.trial.metrics.items() if name == "parameters"}
    if one.view.evaluation is not None:
        metrics[str(spec.task.metric)] = one.view.evaluation.selection.value
    if one.latency is not None:
        latency = one.latency
        metrics |= {"latency_p50": latency.p50_s, "latency_p90": latency.p90_s, "latency_p99": latency.p99_s}
    return metrics


def _nearest(found: list[Finalist], spec: StudySpec, bounds: tuple[Constraint, ...]) -> str:
    if not found:
        return f"study {spec.name} has no exported finalist yet; study.wait() waits for them"
    asked = " and ".join(
        f"{one.metric} {'>=' if one.at_least else '<='} {_text(one.metric, one.bound)}" for one in bounds
    )
    told = []
    for one in bounds:
        values = [metrics[one.metric] for each in found if one.metric in (metrics := _metrics(each, spec))]
        if values:
            nearest = max(values) if one.at_least else min(values)
            told.append(f"the {'highest' if one.at_least else 'lowest'} {one.metric} is {_text(one.metric, nearest)}")
        else:
            told.append(f"none has a {one.metric}")
    return f"study {spec.name} has no finalist with {asked}: of {len(found)}, {', '.join(told)}"


def _text(metric: str, value: float) -> str:
    match metric_info(metric).unit:
        case "seconds":
            return format_seconds(value)
        case "count":
            return format_count(value)
        case _:
            return f"{value:.3f}"


def _has_own_code(folder: Path) -> bool:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return bool(config.get("model_type") == OWN)
