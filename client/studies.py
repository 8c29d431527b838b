"""Studies over REST."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote
from uuid import uuid4

from client.artefacts import Artefacts
from client.decoding import decoded
from client.study import Study
from client.transport import Transport
from protocol.study import StudySpec
from protocol.views import CreateStudy, FrontView, PreviewView, StudyView, TrialView


class Studies:
    """`client.studies`. `view`, `trials`, `trial` and `front` are one request each; `Study` is made of them."""

    def __init__(self, transport: Transport, artefacts: Artefacts) -> None:
        self._transport, self._artefacts = transport, artefacts
        self.pause = transport.pause

    def create(self, spec: StudySpec | Mapping[str, object]) -> Study:
        """Start this study, or find the one that was started with the same name and settings.

        One of this name that failed before its first trial is started afresh, with these settings. Sent again where no
        answer came, it is one study all the same.

        Args:
            spec: or the words of a study file, as a mapping.

        Raises:
            ProblemError: code `study_differs`: the name is taken by a study with other settings; its `errors` name
                them. Code `invalid`: it is no study; its `errors` name the keys.
        """
        # One key for all attempts: the service knows by it that they are one.
        answer = self._transport.call("POST", "/studies", json=_message(spec), headers={"Idempotency-Key": uuid4().hex})
        return self._study(decoded(StudyView, answer))

    def list(self) -> tuple[Study, ...]:
        """Every study, the newest first."""
        pages = self._transport.pages("/studies")
        return tuple(self._study(view) for page in pages for view in decoded(tuple[StudyView, ...], page))

    def get(self, name: str) -> Study:
        """Raises: ProblemError: there is none of this name; the message suggests the nearest."""
        return self._study(self.view(name))

    def view(self, name: str) -> StudyView:
        return decoded(StudyView, self._transport.call("GET", _path(name)))

    def trials(self, name: str) -> tuple[TrialView, ...]:
        """Every trial, by number."""
        pages = self._transport.pages(f"{_path(name)}/trials")
        return tuple(trial for page in pages for trial in decoded(tuple[TrialView, ...], page))

    def trial(self, name: str, number: int) -> TrialView:
        return decoded(TrialView, self._transport.call("GET", f"{_path(name)}/trials/{number}"))

    def front(self, name: str) -> FrontView:
        return decoded(FrontView, self._transport.call("GET", f"{_path(name)}/front"))

    def preview(self, spec: StudySpec | Mapping[str, object]) -> PreviewView:
        """How large the study's search space is; starts nothing."""
        return decoded(PreviewView, self._transport.call("POST", "/preview", json=_message(spec)))

    def _study(self, view: StudyView) -> Study:
        return Study(self, self._artefacts, view)


def _message(spec: StudySpec | Mapping[str, object]) -> dict[str, object]:
    values = spec.canonical() if isinstance(spec, StudySpec) else dict(spec)
    return CreateStudy(spec=values).model_dump(mode="json")


def _path(name: str) -> str:
    return f"/studies/{quote(name, safe='')}"
