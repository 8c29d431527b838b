"""A study as an experiment of MLflow: one run for each trial that ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from client.errors import installed
from protocol.study import StudySpec
from protocol.views import TrialView

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDY, TRIAL = "stillhouse.study", "stillhouse.trial"
"""The tags by which a run is found again."""

PAGE = 1000
EXTRA = "mlflow"


def to_mlflow(
    spec: StudySpec, trials: Iterable[TrialView], tracking_uri: str | None = None, experiment: str | None = None
) -> str:
    """The id of the experiment, by default one named as the study. Trials that have their run already are left alone.

    A run's parameters are the architecture; its metrics are the trial's, at flash fidelity, and of a finalist
    `full_METRIC` on the selection split, `report_METRIC`, and `export_latency_p50` and so on.

    Raises:
        MissingPackage: mlflow is not installed.
    """
    client: MlflowClient = installed("mlflow", extra=EXTRA).MlflowClient(tracking_uri=tracking_uri)
    identity = _experiment(client, experiment or spec.name)
    known = {run.data.tags.get(TRIAL) for run in _runs(client, identity) if run.data.tags.get(STUDY) == spec.digest}
    for trial in trials:
        if trial.state.ended and str(trial.number) not in known:
            _log(client, identity, spec, trial)
    return identity


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if found is None else found.experiment_id)


def _runs(client: MlflowClient, experiment: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment], max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _log(client: MlflowClient, experiment: str, spec: StudySpec, trial: TrialView) -> None:
    entities = installed("mlflow.entities", extra=EXTRA)
    ended_ms = _milliseconds(trial.ended_at or trial.created_at)
    run = client.create_run(
        experiment,
        start_time=_milliseconds(trial.created_at),
        run_name=f"trial-{trial.number}",
        tags=_tags(spec, trial),
    )
    metrics = [entities.Metric(name, value, ended_ms, 0) for name, value in _metrics(spec, trial).items()]
    curve = () if trial.evaluation is None else trial.evaluation.curve
    metrics += [entities.Metric(f"selection_{spec.task.metric}", p.value, ended_ms, p.step) for p in curve]
    params = [entities.Param(name, str(value)) for name, value in trial.architecture.to_dict().items()]
    client.log_batch(run.info.run_id, metrics=metrics, params=params)
    status = "FAILED" if trial.state == "failed" else "KILLED" if trial.state == "stopped" else "FINISHED"
    client.set_terminated(run.info.run_id, status=status, end_time=ended_ms)


def _metrics(spec: StudySpec, trial: TrialView) -> dict[str, float]:
    found = dict(trial.metrics)
    finalist = trial.finalist
    if finalist is not None and finalist.evaluation is not None:
        found[f"full_{spec.task.metric}"] = finalist.evaluation.selection.value
        if finalist.evaluation.report is not None:
            found[f"report_{spec.task.metric}"] = finalist.evaluation.report.value
    if finalist is not None and finalist.latency is not None:
        latency = finalist.latency
        for name, value in (("p50", latency.p50_s), ("p90", latency.p90_s), ("p99", latency.p99_s)):
            found[f"export_latency_{name}"] = value
    return found


def _tags(spec: StudySpec, trial: TrialView) -> dict[str, str]:
    latency = {} if trial.latency is None else {"source": trial.latency.source, "verdict": trial.latency.verdict}
    told = {
        "name": spec.name,
        "label": trial.label,
        "state": str(trial.state),
        "origin": trial.origin,
        "on_front": str(trial.on_front).lower(),
        "reason": trial.reason or "",
        **{f"latency_{name}": value for name, value in latency.items()},
    }
    named = {f"stillhouse.{name}": value for name, value in told.items() if value}
    return {STUDY: spec.digest, TRIAL: str(trial.number), **named}


def _milliseconds(time: datetime) -> int:
    return round(1e3 * time.timestamp())
