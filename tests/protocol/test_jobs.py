import pytest
from pydantic import TypeAdapter, ValidationError

from distillation.recipe import Recipe
from distillation.values import Dataset, Task, Teacher
from protocol.jobs import Failure, FailureReason, JobKind, PrepareWork, Report, Work


def test_work_is_told_apart_by_its_kind():
    work = PrepareWork(
        task=Task(dataset=Dataset(source="docstrings")), teacher=Teacher(model="built-in"), recipe=Recipe(), seed=1
    )
    again = TypeAdapter(Work).validate_json(work.model_dump_json())
    assert again == work
    assert again.kind is JobKind.PREPARE


def test_a_report_carries_an_outcome_or_a_failure():
    report = Report.model_validate(
        {"attempt": 2, "result": {"kind": "failure", "reason": "diverged", "message": "NaN"}}
    )
    assert report.result == Failure(reason=FailureReason.DIVERGED, message="NaN")
    with pytest.raises(ValidationError):
        Report.model_validate({"attempt": 2, "result": {"kind": "celebrate"}})


def test_only_what_may_pass_by_itself_is_tried_again():
    retriable = {reason for reason in FailureReason if Failure(reason=reason, message="").retriable}
    assert retriable == {FailureReason.ERROR, FailureReason.LEASE_EXPIRED}
