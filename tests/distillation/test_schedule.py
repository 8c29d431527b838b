import pytest

from distillation.schedule import GRID, Schedule, ScheduleKind


def test_the_defaults_are_those_of_the_published_method():
    made = Schedule(kind="minidisc")
    assert (made.kind, made.lambda_, made.sparsities, made.between) == (ScheduleKind.MINIDISC, 0.2, GRID, None)
    assert Schedule().kind is ScheduleKind.DIRECT
    assert Schedule(kind="maxidisc", sparsities=(0.7, 0.5)).sparsities == (0.5, 0.7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lambda_": -0.1}, "lambda must be a number of at least 0, got -0.1"),
        ({"lambda_": float("nan")}, "lambda must be a number of at least 0, got nan"),
        ({"sparsities": (0.5,)}, r"sparsities must be at least two for minidisc, .* got \[0.5\]"),
        ({"sparsities": ()}, "at least two"),
        ({"sparsities": (0.5, 1.0)}, r"sparsities are shares of units in \[0, 1\), got 1.0"),
        ({"sparsities": (0.5, 0.5)}, "sparsities must differ"),
        ({"iterations": 0}, "iterations must be at least 1, got 0"),
        ({"between": -1}, "between must be at least 0, got -1"),
        ({"evaluations": 0}, "evaluations must be at least 1, got 0"),
        ({"patience": -1}, "patience must be at least 0, got -1"),
        ({"kind": "maxidisc", "sparsities": ()}, "at least one is needed"),
        ({"kind": "maxidisc", "iterations": 2}, "iterations says nothing of the schedule maxidisc"),
        ({"kind": "direct", "lambda_": 0.3}, "lambda says nothing of the schedule direct; leave it out"),
        ({"kind": "autodisc"}, "'autodisc' is not a valid ScheduleKind"),
    ],
)
def test_what_makes_no_schedule_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**{"kind": "minidisc"} | settings)
