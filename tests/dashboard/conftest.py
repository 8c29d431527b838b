"""Studies as the pages are given them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from encoders.values import Head
from protocol.jobs import Prepared, Score
from protocol.study import StudySpec
from protocol.views import StudyState, StudyView
from search_space import Architecture

CREATED = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
SPEC = StudySpec.model_validate(
    {"name": "demo", "teacher": "built-in", "task": {"dataset": "docstrings"}, "budget": {"trials": 16}}
)
PREPARED = Prepared(
    data="a" * 64,
    teacher="b" * 64,
    architecture=Architecture(vocabulary_size=100, layers=2, hidden_size=32, heads=2, head_size=16, ffn_size=64),
    head=Head(classes=2),
    classes=("yes", "no"),
    splits={"train": 80, "selection": 10, "report": 10},
    teacher_selection=Score(value=0.75, low=0.73, high=0.77),
    teacher_report=Score(value=0.743, low=0.72, high=0.76),
    baselines={},
    seconds=1.0,
)
EMPTY = StudyView(
    name="demo",
    state=StudyState.PREPARING,
    spec=SPEC,
    digest=SPEC.digest,
    created_at=CREATED,
    ended_at=None,
    prepared=None,
    references={},
    trials={},
    finalists={},
    jobs=(),
    hypervolume=None,
    front_size=0,
    remaining_s=None,
    notes=(),
    error=None,
)


@pytest.fixture
def study() -> Callable[..., StudyView]:
    """An empty study with these fields changed."""
    return lambda **changes: EMPTY.model_copy(update=changes)


@pytest.fixture(scope="session")
def prepared() -> Prepared:
    return PREPARED
