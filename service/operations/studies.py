"""Studies are created; what is wrong with a specification is said key by key."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from protocol.study import NAME_PATTERN, TAGS, StudySpec, differences
from protocol.views import PreviewView, StudyState
from search_space import parameter_columns
from service.errors import InvalidError, NotFoundError, StudyDiffersError
from service.operations.queue import queue_prepare
from service.store.tables import Study
from service.store.unit_of_work import UnitOfWork


def parse_spec(values: dict[str, Any]) -> StudySpec:
    """The specification in this JSON object.

    Raises:
        InvalidError: it is none; one line for each key that is wrong.
    """
    try:
        return StudySpec.model_validate_json(json.dumps(values, allow_nan=False))
    except ValidationError as error:
        lines = [describe(problem) for problem in error.errors(include_url=False)]
        raise InvalidError(f"not a study: {lines[0]}", errors=lines) from error
    except ValueError as error:
        raise InvalidError("not a study: it holds a number that is not finite") from error


def describe(problem: ErrorDetails, skip: int = 0) -> str:
    """One thing that is wrong, with the path of its key, less the first `skip` parts: `budget.trials: is missing`."""
    path = ".".join(str(part) for part in problem["loc"][skip:] if part not in TAGS)
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        message = "unknown key"
    elif problem["type"] in ("missing", "missing_argument"):
        message = "is missing"
    return f"{path}: {message}" if path else message


def create_study(uow: UnitOfWork, spec: StudySpec) -> bool:
    """Starts the study unless it is there already; whether it is new.

    Raises:
        StudyDiffersError: the name is taken by a study with other settings; `errors` names them.
    """
    study = Study(name=spec.name, digest=spec.digest, spec=spec, state=StudyState.PREPARING, created_at=uow.now)
    if uow.studies.find(spec.name) is None and uow.studies.add(study):
        queue_prepare(uow, study)
        return True
    before = get_study(uow, spec.name)
    if before.digest != spec.digest:
        lines = differences(before.spec, spec)
        raise StudyDiffersError(
            f"study {spec.name!r} exists with other settings: give this one another name, or take them back",
            errors=lines,
        )
    return False


def get_study(uow: UnitOfWork, name: str) -> Study:
    """Raises: NotFoundError."""
    study = uow.studies.find(name) if re.fullmatch(NAME_PATTERN, name) else None
    if study is None:
        raise NotFoundError(f"there is no study {name!r}")
    return study


def preview(spec: StudySpec) -> PreviewView:
    """What the study would search, as far as that is known without its teacher."""
    space = spec.space()
    parameters = parameter_columns(space.columns)
    return PreviewView(
        size=space.size,
        parameters_min=int(parameters.min()),
        parameters_median=int(np.median(parameters)),
        parameters_max=int(parameters.max()),
    )
