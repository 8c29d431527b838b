"""Studies over REST."""

from __future__ import annotations

from urllib.parse import quote

from client.decoding import decoded
from client.transport import Transport
from protocol.study import StudySpec
from protocol.views import CreateStudy, FrontView, PreviewView, StudyView, TrialView


class Studies:
    """`client.studies`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, spec: StudySpec) -> StudyView:
        """Start this study, or find the one that was started with the same name and settings.

        One of this name that failed before its first trial is started afresh, with these settings.

        Raises:
            ProblemError: code `study_differs`: the name is taken by a study with other settings; its `errors` name
                them.
        """
        body = CreateStudy(spec=spec.canonical()).model_dump(mode="json")
        return decoded(StudyView, self._transport.call("POST", "/studies", json=body))

    def list(self) -> tuple[StudyView, ...]:
        return decoded(tuple[StudyView, ...], self._transport.call("GET", "/studies"))

    def get(self, name: str) -> StudyView:
        return decoded(StudyView, self._transport.call("GET", f"/studies/{quote(name, safe='')}"))

    def trials(self, name: str) -> tuple[TrialView, ...]:
        """Every trial, by number."""
        return decoded(tuple[TrialView, ...], self._transport.call("GET", f"/studies/{quote(name, safe='')}/trials"))

    def trial(self, name: str, number: int) -> TrialView:
        return decoded(TrialView, self._transport.call("GET", f"/studies/{quote(name, safe='')}/trials/{number}"))

    def front(self, name: str) -> FrontView:
        return decoded(FrontView, self._transport.call("GET", f"/studies/{quote(name, safe='')}/front"))

    def preview(self, spec: StudySpec) -> PreviewView:
        """How large the study's search space is; starts nothing."""
        body = CreateStudy(spec=spec.canonical()).model_dump(mode="json")
        return decoded(PreviewView, self._transport.call("POST", "/preview", json=body))
