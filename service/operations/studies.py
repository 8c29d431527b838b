"""Studies are created; what is wrong with a specification is said key by key."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

from protocol.admission import StudyRefusedError, admit
from protocol.mistakes import cut
from protocol.shorthand import NAME_PATTERN
from protocol.study import StudySpec, differences
from protocol.views import StudyState
from service.errors import InvalidError, NotFoundError, StudyDiffersError
from service.operations.sources import resolve_sources
from service.operations.trials import begin_study
from service.store.tables import Study, Trial
from service.store.unit_of_work import UnitOfWork


def parse_spec(values: dict[str, Any]) -> StudySpec:
    """The specification in this JSON object.

    Raises:
        InvalidError: it is none; one line for each key that is wrong.
    """
    try:
        return admit(values)
    except StudyRefusedError as error:
        lines = [str(mistake) for mistake in error.mistakes]
        raise InvalidError(f"not a study: {lines[0]}", errors=lines) from error
    except (ArithmeticError, TypeError, ValueError) as error:  # what nobody thought of is malformed all the same
        raise InvalidError(f"not a study: {cut(str(error))}") from error


def create_study(uow: UnitOfWork, spec: StudySpec) -> bool:
    """Starts the study unless it is there already; whether it was started.

    A study that failed before its first trial (its data were wrong, say) is started afresh, with these settings.

    Raises:
        InvalidError: a source that cannot be used.
        StudyDiffersError: the name is taken by a study with other settings; `errors` names them.
    """
    study = Study(
        name=spec.name,
        digest=spec.digest,
        spec=spec,
        state=StudyState.PREPARING,
        created_at=uow.now,
        priority=spec.priority,
        reference=dict(spec.reference) or None,
    )
    if uow.studies.find(spec.name) is None:
        study.notes = resolve_sources(uow, spec)
        if uow.studies.add(study):
            begin_study(uow, study)
            return True
    before = uow.studies.lock(get_study(uow, spec.name).id)
    if before.state is StudyState.FAILED and not uow.trials.counts(before.id):
        notes = resolve_sources(uow, spec)
        uow.studies.restart(before, spec, uow.now)
        before.notes = notes
        begin_study(uow, before)
        return True
    # One that was extended since is known by what it was created with, too.
    if before.spec != spec and before.digest != spec.digest:
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
        near = get_close_matches(name[:64], uow.studies.names(), n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise NotFoundError(f"there is no study {cut(name)!r}{meant}")
    return study


def get_trial(uow: UnitOfWork, name: str, number: int) -> tuple[Study, Trial]:
    """The study and its trial of this number. Raises: NotFoundError."""
    study = get_study(uow, name)
    trial = uow.trials.numbered(study.id, number)
    if trial is None:
        raise NotFoundError(f"study {name!r} has no trial {number}")
    return study, trial
