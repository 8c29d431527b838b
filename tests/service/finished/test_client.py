"""A finished study, as the client's users see it."""

import json

import pytest

from client import ClientError, MissingPackage, NoSuchFinalistError, ProblemError, StudyFailedError
from protocol.views import StudyState


def test_a_study_is_created_from_the_words_of_a_file(client, spec):
    study = client.studies.create(spec)
    assert study.state is StudyState.PREPARING
    assert study.spec.name == study.name == "demo"
    assert repr(study) == "<study demo: preparing, 0 of 6 trials, 0 on the front>"
    with pytest.raises(ProblemError, match="unknown key 'buget'") as caught:
        client.studies.create({**spec, "buget": {}})
    assert caught.value.code == "invalid"


def test_a_study_that_is_waited_for_is_looked_at_ever_more_seldom(client, spec, work, pauses):
    study = client.studies.create(spec)
    with pytest.raises(TimeoutError, match="study demo is preparing after 8 s of waiting"):
        study.wait(timeout_s=7)
    assert pauses == [0.5, 1.0, 2.0, 4.0]
    work()
    assert study.wait() is study
    assert study.state is StudyState.COMPLETED


def test_a_watched_study_is_told_at_every_change_and_at_its_end(client, spec, work, pauses):
    study = client.studies.create(spec)
    watched = study.watch()
    assert next(watched).state is StudyState.PREPARING
    work()
    assert [view.state for view in watched] == [StudyState.COMPLETED]


def test_a_study_that_failed_says_why_to_who_waits(client, spec, worker):
    study = client.studies.create(spec)
    worker.fail(worker.lease(), "invalid", "task.dataset: there is none")
    with pytest.raises(StudyFailedError, match=r"study demo failed: .*there is none"):
        study.wait()


def test_the_best_finalist_is_the_best_on_the_selection_split_within_the_bounds(study):
    finalists = [trial for trial in study.trials() if trial.finalist is not None]
    by_quality = sorted(finalists, key=lambda trial: trial.finalist.evaluation.selection.value)
    worst, best = by_quality[0], by_quality[-1]
    assert study.best().number == best.number
    assert study.best().score == best.finalist.evaluation.report
    assert study.best().latency == best.finalist.latency
    fastest = min(trial.finalist.latency.p50_s for trial in finalists)
    assert study.best(latency=fastest).number == worst.number
    assert study.best(latency=f"{1e3 * fastest + 1e-6} ms").number == worst.number
    assert study.best(parameters=1e6, at_least=0.1).number == best.number


def test_what_no_finalist_meets_is_told_with_what_there_is(study):
    with pytest.raises(
        NoSuchFinalistError, match=r"latency_p50 <= 0.5 ms: of 2, the lowest latency_p50 is \d"
    ) as caught:
        study.best(latency="0.5 ms")
    assert "has no finalist with" in str(caught.value)
    with pytest.raises(NoSuchFinalistError, match=r"accuracy >= 0\.990: of 2, the highest accuracy is"):
        study.best(at_least=0.99)
    with pytest.raises(Exception, match="'4' has the unit 'none'"):
        study.best(latency="4")


def test_a_study_without_finalists_says_so(client, spec):
    with pytest.raises(NoSuchFinalistError, match="no exported finalist yet"):
        client.studies.create(spec).best()


def test_an_export_is_downloaded_once_and_whole(study, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    best = study.best()
    folder = best.download()
    assert folder.parent == tmp_path / "cache" / "stillhouse" / "exports"
    assert json.loads((folder / "config.json").read_text()) == {"model_type": "bert"}
    assert best.download() == folder
    assert best.download(tmp_path / "own").name == "own"
    (tmp_path / "own" / "config.json").write_text("{}")
    with pytest.raises(ClientError, match="holds something else"):
        best.download(tmp_path / "own")


def test_front_and_trials_are_tables(study):
    front, trials = study.front(), study.trials()
    assert tuple(trial.number for trial in front) == front.view.numbers
    assert front.view.hypervolume == study.view.hypervolume
    table = trials.to_pandas()
    assert list(table.index) == [trial.number for trial in trials]
    assert table.loc[1, "layers"] == trials[0].architecture.layers
    assert set(table[table.on_front].index) == set(front.to_pandas().index)
    assert {"accuracy", "latency_p50", "parameters", "latency_source"} <= set(table.columns)
    assert set(table.latency_source) == {"measured"}


def test_an_empty_study_is_an_empty_table(client, spec):
    table = client.studies.create(spec).trials().to_pandas()
    assert len(table) == 0
    assert "state" in table.columns


def test_a_package_that_is_missing_is_named_with_its_extra(study, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(MissingPackage, match=r"this needs pandas: pip install 'stillhouse\[pandas\]'"):
        study.front().to_pandas()


@pytest.mark.filterwarnings("ignore:PedAnova")  # it minds that a smaller latency is better, which it is
def test_optuna_finds_in_its_study_what_is_there(study):
    optuna = pytest.importorskip("optuna")
    found, trials = study.to_optuna(), study.trials()
    assert [str(direction.name).lower() for direction in found.directions] == ["maximize", "minimize"]
    assert found.metric_names == ["accuracy", "latency_p50"]
    assert len(found.trials) == len(trials) == 6
    assert {trial.user_attrs["number"] for trial in found.best_trials} <= set(study.front().view.numbers)
    for trial, told in zip(trials, found.trials, strict=True):
        assert told.user_attrs["number"] == trial.number
        assert told.user_attrs["latency_verdict"] == "steady"
        if trial.state == "completed":
            assert told.state is optuna.trial.TrialState.COMPLETE
            assert told.values == [trial.metrics["accuracy"], trial.metrics["latency_p50"]]
        else:
            assert (told.state, told.values) == (optuna.trial.TrialState.PRUNED, None)
        assert told.params["hidden_size"] == trial.architecture.hidden_size
        told._validate()
    table = found.trials_dataframe()
    assert {"values_accuracy", "params_layers", "user_attrs_label"} <= set(table.columns)
    importances = optuna.importance.get_param_importances(found, target=lambda trial: trial.values[1])
    assert set(importances) <= {"layers", "hidden_size", "heads", "ffn_size", "head_size"}
    assert sum(importances.values()) == pytest.approx(1)
    sampled = found.ask({"layers": optuna.distributions.IntDistribution(1, 4)})
    assert 1 <= sampled.params["layers"] <= 4


def test_what_optuna_is_told_of_the_constraints_is_how_far_a_trial_is_out_of_bounds(study):
    pytest.importorskip("optuna")
    for told in study.to_optuna().trials:
        (excess,) = told.system_attrs["constraints"]
        assert excess == pytest.approx(told.user_attrs["metrics"]["latency_p50"] - 2.6e-3)
        assert (excess > 0) == (told.user_attrs["state"] == "infeasible")


def test_mlflow_gets_one_run_for_each_trial_however_often_it_is_told(study, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow")
    uri = f"file://{tmp_path / 'runs'}"
    identity = study.to_mlflow(uri)
    assert study.to_mlflow(uri) == identity
    runs = mlflow.MlflowClient(tracking_uri=uri).search_runs([identity])
    trials = {str(trial.number): trial for trial in study.trials()}
    assert sorted(run.data.tags["stillhouse.trial"] for run in runs) == sorted(trials)
    for run in runs:
        trial = trials[run.data.tags["stillhouse.trial"]]
        assert run.info.run_name == f"trial-{trial.number}"
        assert run.data.params["layers"] == str(trial.architecture.layers)
        assert run.data.metrics["latency_p50"] == trial.metrics["latency_p50"]
        assert run.data.tags["stillhouse.latency_source"] == "measured"
        if trial.finalist is not None:
            assert run.data.metrics["report_accuracy"] == trial.finalist.evaluation.report.value
