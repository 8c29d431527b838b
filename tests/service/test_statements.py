"""What a worker's calls ask of the database: each statement is a way there and back, and there are many workers."""

import pytest
from sqlalchemy import event

from protocol.jobs import CurvePoint, JobKind, Progress
from service.operations.trials import add_trial

MOST = {"lease": 6, "renew": 3, "report": 10}
"""Of a lease that writes down that its worker is there, and a report at which the study's reference is inferred."""

USUAL = {"lease": 5, "renew": 3, "report": 8}
"""Of the others, once that is known."""


@pytest.fixture
def asked(store):
    """Statements so far."""
    statements = []

    def execute(connection, cursor, statement, *_):
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    event.listen(store._engine, "before_cursor_execute", execute)
    return statements


def test_a_worker_needs_few_statements(worker, asked):
    worker.create()
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE, JobKind.MEASURE)
    with worker.store.write() as uow:
        study = uow.studies.lock(1)
        base = uow.trials.of(study.id)[0].architecture
        for size in (40, 48, 56):
            add_trial(uow, study, type(base)(**{**base.to_dict(), "ffn_size": size}), "test")
    worker.work(JobKind.MEASURE)
    spent = {}

    def count(call, work):
        asked.clear()
        found = work()
        spent.setdefault(call, []).append(len(asked))
        return found

    for _ in range(4):
        grant = count("lease", worker.lease)
        assert grant.work.kind is JobKind.DISTILL
        for number in (1, 2):
            said = {
                "number": number,
                "progress": Progress(stage="distilling", done=number, total=9),
                "curve": (CurvePoint(step=number, value=0.5),),
            }
            count("renew", lambda grant=grant, said=said: worker.renew(grant, **said))
        count("report", lambda grant=grant: worker.report(grant))
    assert all(max(spent[call]) <= most for call, most in MOST.items()), spent
    assert all(min(spent[call]) <= usual for call, usual in USUAL.items()), spent
