"""One study of a service, as an object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from client.arguments import made
from client.artefacts import Artefacts
from client.asked import AskedTrial
from client.errors import StudyFailedError
from client.finalist import Finalist, best, bound
from client.tables import Front, Trials
from protocol.changes import ExtendStudy
from protocol.study import StudySpec
from protocol.views import StudyState, StudyView, TrialState

if TYPE_CHECKING:
    import optuna

    from client.studies import Studies

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
"""Between two looks at a study that is waited for: asking often would disturb latencies that are taken here."""


class Study:
    """`client.studies.get(name)`. What it says is as of the last look; `refresh` looks again."""

    def __init__(self, studies: Studies, artefacts: Artefacts, view: StudyView) -> None:
        self._studies, self._artefacts = studies, artefacts
        self.view = view

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def state(self) -> StudyState:
        return self.view.state

    @property
    def spec(self) -> StudySpec:
        return self.view.spec

    def __repr__(self) -> str:
        spent, of = self.view.spent_trials, self.spec.budget.trials
        return f"<study {self.name}: {self.state}, {spent} of {of} trials, {self.view.front_size} on the front>"

    def refresh(self) -> Study:
        """Itself, as it is now."""
        self.view = self._studies.view(self.name)
        return self

    def watch(self) -> Iterator[StudyView]:
        """The study now and after every change, as they happen, until it has ended or is stopped.

        Raises:
            Unreachable: the service does not answer any more.
        """
        seen = None
        for _ in self._studies.events(self.name):  # also at the first sign of life: nothing was missed before it
            if self.refresh().view != seen:
                seen = self.view
                yield seen
            if self._rests():
                return

    def wait(self, timeout_s: float | None = None) -> Study:
        """Itself, when it has ended or is stopped.

        Raises:
            StudyFailedError: it failed. TimeoutError: it goes on after `timeout_s` of waiting.
        """
        waited_s, pause_s = 0.0, FIRST_PAUSE_S
        while not self.refresh()._rests():
            if timeout_s is not None and waited_s >= timeout_s:
                raise TimeoutError(f"study {self.name} is {self.state} after {waited_s:.0f} s of waiting")
            self._studies.pause(pause_s)
            waited_s += pause_s
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        if self.state is StudyState.FAILED:
            raise StudyFailedError(f"study {self.name} failed: {self.view.error or 'it does not say why'}")
        return self

    def stop(self) -> Study:
        """Itself, stopped: nothing of it is worked on until it is resumed. May be repeated."""
        return self._changed(self._studies.stop(self.name))

    def resume(self) -> Study:
        """Itself, going on where it was stopped."""
        return self._changed(self._studies.resume(self.name))

    def extend(
        self, *, trials: int | None = None, finalists: int | None = None, device_hours: float | None = None
    ) -> Study:
        """Itself, with a larger budget: new totals, not what is added."""
        wanted = made(lambda: ExtendStudy(trials=trials, finalists=finalists, device_hours=device_hours))
        return self._changed(self._studies.extend(self.name, wanted))

    def delete(self) -> None:
        """Remove all that is stored of it; only where it has ended or is stopped."""
        self._studies.delete(self.name)

    def ask(self, *, worker: str = "ask") -> AskedTrial | None:
        """The next trial of an external study, waited for as long as it takes; None when there will be none.

        while (trial := study.ask()) is not None:
            trial.tell({"accuracy": ..., "energy": ...})
        """
        trial = self._studies.ask(self.name, worker=worker)
        if trial is None:
            self.refresh()
        return trial

    def trials(
        self,
        *,
        states: Iterable[TrialState | str] = (),
        constraints: Iterable[str] = (),
        feasible: bool | None = None,
        on_front: bool | None = None,
        sort: str | None = None,
    ) -> Trials:
        """Trials by number, or only those that are asked for.

        Args:
            constraints: such as `"latency_p50 <= 4 ms"`.
            feasible: within the study's own constraints, or out of them.
            sort: a metric, `number` or `created_at`; `-accuracy` has the largest first.
        """
        found = self._studies.trials(
            self.name, states=states, constraints=constraints, feasible=feasible, on_front=on_front, sort=sort
        )
        return Trials(found)

    def front(self, *metrics: str, constraints: Iterable[str] = ()) -> Front:
        """The trials that no other one dominates, by number: in the study's objectives, or in these metrics, and
        within these constraints.
        """
        view = self._studies.front(self.name, metrics=metrics, constraints=constraints)
        on_front = set(view.numbers)
        return Front([trial for trial in self.trials() if trial.number in on_front], view)

    def best(
        self,
        *,
        latency: str | float | None = None,
        parameters: str | float | None = None,
        at_least: str | float | None = None,
    ) -> Finalist:
        """The best finalist within these bounds, as its full distillation did on the selection split.

        Args:
            latency: at most that, `"4 ms"` or seconds, of the quantile that the study judges.
            parameters: at most so many, `"30e6"`.
            at_least: the task's metric on the selection split, or at most that where less is better.

        Raises:
            NoSuchFinalistError: none is; says what there is.
        """
        quantile = f"latency_{self.spec.judged_quantiles[0]}"
        given = [(quantile, latency, False), ("parameters", parameters, False)]
        metric = self.spec.task.metric
        given.append((metric, at_least, not metric.lower_is_better))
        bounds = [bound(name, value, at_least=least) for name, value, least in given if value is not None]
        return best(self.trials(), self.spec, self._artefacts, bounds)

    def to_optuna(self, storage: Any = None) -> optuna.Study:
        """The trials that ended as a study of Optuna, in the memory or in a storage of Optuna.

        Raises:
            MissingPackage: optuna is not installed.
        """
        from client.optuna_export import to_optuna

        return to_optuna(self.spec, self.trials(), storage)

    def to_mlflow(self, tracking_uri: str | None = None, experiment: str | None = None) -> str:
        """Log every trial that ended as a run of MLflow; the experiment's id. May be repeated: runs are not doubled.

        Args:
            tracking_uri: where MLflow keeps runs; by default as its environment says.
            experiment: its name; the study's by default.

        Raises:
            MissingPackage: mlflow is not installed.
        """
        from client.mlflow_runs import to_mlflow

        return to_mlflow(self.spec, self.trials(), tracking_uri, experiment)

    def _changed(self, view: StudyView) -> Study:
        self.view = view
        return self

    def _rests(self) -> bool:
        return self.view.ended_at is not None or self.state in RESTING


RESTING = frozenset({StudyState.COMPLETED, StudyState.FAILED, StudyState.STOPPED})
