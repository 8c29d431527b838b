"""What becomes of a study's dimensions, states and odd trials in Optuna."""

from datetime import UTC, datetime

import pytest

from client.optuna_export import to_optuna
from protocol.study_file import parse_study
from protocol.views import TrialState, TrialView
from search_space import Architecture, Norm

optuna = pytest.importorskip("optuna")

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WORDS = """
name: demo
teacher: built-in
task: {dataset: docstrings}
search_space:
  layers: {low: 1, high: 6, step: 2}
  hidden_size: [32, 64]
  heads: 2
  head_size: 16
  ffn_size: [64, 128]
  norm: [layer_norm, no_norm]
"""


def trial(number, state=TrialState.COMPLETED, metrics=None, **shape):
    known = {"vocabulary_size": 100, "layers": 3, "hidden_size": 32, "heads": 2, "head_size": 16, "ffn_size": 64}
    return TrialView(
        study="demo",
        number=number,
        state=state,
        architecture=Architecture(**(known | shape)),
        label="a shape",
        origin="sobol",
        metrics={"accuracy": 0.5, "latency_p50": 0.001} if metrics is None else metrics,
        evaluation=None,
        latency=None,
        finalist=None,
        progress=None,
        reason=None,
        on_front=False,
        created_at=NOW,
        ended_at=NOW,
    )


@pytest.fixture
def exported():
    spec = parse_study(WORDS, origin="t", default_name="demo")
    return lambda *trials: to_optuna(spec, trials).trials


def test_dimensions_become_distributions(exported):
    (found,) = exported(trial(1, layers=5, norm=Norm.NO_NORM))
    assert found.params == {
        "layers": 5,
        "hidden_size": 32,
        "heads": 2,
        "head_size": 16,
        "ffn_size": 64,
        "norm": "no_norm",
    }
    assert found.distributions["layers"] == optuna.distributions.IntDistribution(1, 5, step=2)
    assert found.distributions["norm"] == optuna.distributions.CategoricalDistribution(("layer_norm", "no_norm"))


@pytest.mark.parametrize("shape", [{"layers": 2}, {"layers": 3, "heads": (2, 1, 2)}, {"hidden_size": 48}])
def test_what_lies_outside_the_space_is_left_out_and_kept_as_the_architecture(exported, shape):
    (found,) = exported(trial(1, **shape))
    outside = [name for name in shape if name != "layers" or shape[name] == 2]
    assert not set(outside) & found.params.keys()
    assert found.user_attrs["architecture"]["hidden_size"] == shape.get("hidden_size", 32)
    assert found.params["ffn_size"] == 64


@pytest.mark.parametrize(
    ("state", "metrics", "theirs"),
    [
        (TrialState.COMPLETED, None, "COMPLETE"),
        (TrialState.INFEASIBLE, {"latency_p50": 9.0}, "PRUNED"),
        (TrialState.STOPPED, {"latency_p50": 0.001}, "PRUNED"),
        (TrialState.FAILED, {}, "FAIL"),
    ],
)
def test_states_become_theirs(exported, state, metrics, theirs):
    (found,) = exported(trial(1, state, metrics))
    assert found.state is optuna.trial.TrialState[theirs]
    assert found.user_attrs["state"] == state


def test_what_has_not_ended_is_no_trial_of_theirs(exported):
    assert exported(trial(1, TrialState.PENDING), trial(2, TrialState.DISTILLING)) == []
