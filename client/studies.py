"""Studies over REST."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx

from client.arguments import made, several, study_name
from client.artefacts import Artefacts
from client.asked import AskedTrial
from client.decoding import decoded
from client.errors import ProblemError
from client.events import events
from client.jobs import Jobs
from client.study import Study
from client.transport import Transport
from protocol.changes import ExtendStudy
from protocol.events import Event
from protocol.jobs import Ask, Tell
from protocol.mistakes import shown
from protocol.study import StudySpec
from protocol.views import (
    AskedView,
    CreateStudy,
    FrontView,
    PreviewView,
    StudyView,
    ToldView,
    TrialState,
    TrialView,
)


class Studies:
    """`client.studies`. `view`, `trials`, `trial` and `front` are one request each; `Study` is made of them."""

    def __init__(self, transport: Transport, artefacts: Artefacts, jobs: Jobs) -> None:
        self._transport, self._artefacts, self._jobs = transport, artefacts, jobs
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

    def trials(
        self,
        name: str,
        *,
        states: Iterable[TrialState | str] = (),
        constraints: Iterable[str] = (),
        feasible: bool | None = None,
        on_front: bool | None = None,
        sort: str | None = None,
    ) -> tuple[TrialView, ...]:
        """Trials by number, or those that are asked for; as `Study.trials`."""
        asked = [("state", str(state)) for state in several(states)]
        asked += [("constraint", text) for text in several(constraints)]
        flags = {"feasible": feasible, "on_front": on_front}
        asked += [(key, str(flag).lower()) for key, flag in flags.items() if flag is not None]
        asked += [] if sort is None else [("sort", sort)]
        pages = self._transport.pages(f"{_path(name)}/trials{_query(asked)}")
        return tuple(trial for page in pages for trial in decoded(tuple[TrialView, ...], page))

    def trial(self, name: str, number: int) -> TrialView:
        return decoded(TrialView, self._transport.call("GET", f"{_path(name)}/trials/{number}"))

    def front(self, name: str, *, metrics: Iterable[str] = (), constraints: Iterable[str] = ()) -> FrontView:
        asked = [("metric", metric) for metric in several(metrics)]
        asked += [("constraint", text) for text in several(constraints)]
        return decoded(FrontView, self._transport.call("GET", f"{_path(name)}/front{_query(asked)}"))

    def events(self, name: str, after: int | None = None) -> Iterator[Event | None]:
        """What happens in the study, as it does; None for a sign of life. As `client.events.events`."""
        return events(self._transport, f"{_path(name)}/events", after)

    def stop(self, name: str) -> StudyView:
        return decoded(StudyView, self._transport.call("POST", f"{_path(name)}:stop"))

    def resume(self, name: str) -> StudyView:
        return decoded(StudyView, self._transport.call("POST", f"{_path(name)}:resume"))

    def extend(self, name: str, wanted: ExtendStudy) -> StudyView:
        """Sent again where no answer came: totals that the study has by then are not refused."""
        before = self.view(name)
        try:
            return decoded(StudyView, self._transport.call("POST", f"{_path(name)}:extend", json=wanted.totals))
        except ProblemError:
            now = self.view(name)
            if now.spec != before.spec and wanted.totals.items() <= now.spec.budget.model_dump().items():
                return now
            raise

    def delete(self, name: str) -> None:
        """One that is gone already is deleted, too."""
        self._transport.call("DELETE", _path(name), accept=(httpx.codes.NOT_FOUND,))

    def export(self, name: str, form: str) -> Iterator[bytes]:
        """The trials as a table in this format, block by block: csv, json or parquet."""
        with self._transport.stream(f"{_path(name)}/export?format={quote(form)}") as blocks:
            yield from blocks

    def ask(self, name: str, *, worker: str = "ask") -> AskedTrial | None:
        """As `Study.ask`."""
        while True:
            # One name for all attempts at one request: the service knows by it that they are one.
            message = Ask(worker=worker, request=uuid4().hex)
            body, wait_s = message.model_dump(mode="json"), message.wait_s + 30
            answer = self._transport.call("POST", f"{_path(name)}/trials:ask", json=body, timeout_s=wait_s)
            asked = decoded(AskedView, answer)
            if asked.trials:
                return AskedTrial(asked.trials[0], self, self._jobs)
            if asked.state.ended:
                return None

    def tell(self, name: str, number: int, message: Tell) -> ToldView:
        body = message.model_dump(mode="json")
        return decoded(ToldView, self._transport.call("POST", f"{_path(name)}/trials/{number}:tell", json=body))

    def preview(self, spec: StudySpec | Mapping[str, object]) -> PreviewView:
        """How large the study's search space is; starts nothing."""
        return decoded(PreviewView, self._transport.call("POST", "/preview", json=_message(spec)))

    def _study(self, view: StudyView) -> Study:
        return Study(self, self._artefacts, view)


def _message(spec: StudySpec | Mapping[str, object]) -> dict[str, object]:
    def message() -> dict[str, object]:
        if not isinstance(spec, StudySpec | Mapping):
            raise TypeError(
                f"must be a mapping or a StudySpec, got {shown(spec)}; protocol.study_file.load_study reads a file"
            )
        values = spec.canonical() if isinstance(spec, StudySpec) else dict(spec)
        return CreateStudy(spec=values).model_dump(mode="json")

    return made(message, "study")


def _path(name: str) -> str:
    return f"/studies/{study_name(name)}"


def _query(asked: Sequence[tuple[str, str]]) -> str:
    return f"?{urlencode(asked)}" if asked else ""
