"""A study's course as lines."""

from cli.progress import Events
from protocol.jobs import JobKind, JobState, Progress
from protocol.views import RunningJob, StudyState, TrialState


def preparing(stage):
    return RunningJob(
        id=1,
        kind=JobKind.PREPARE,
        state=JobState.LEASED,
        trial=None,
        attempt=1,
        worker="w",
        progress=Progress(stage=stage, done=1, total=9),
    )


def test_every_change_is_told_once(study, trial):
    events = Events()
    young = {"prepared": None, "references": {}, "front_size": 0, "hypervolume": None}
    first = study(StudyState.PREPARING, jobs=(preparing("training the teacher"),), **young)
    assert list(events.look(first, [])) == ["study demo  preparing", "prepare  training the teacher"]
    assert list(events.look(first, [])) == []

    searching = study(StudyState.SEARCHING, front_size=0, hypervolume=None)
    lines = list(events.look(searching, [trial(7, state=TrialState.MEASURING)]))
    assert lines[0].startswith("teacher  4x192")
    assert "tf-idf + logistic regression  accuracy 0.707 (report split)" in lines
    assert "teacher  latency 12 ms measured" in lines
    assert lines[-2:] == ["trial 7  2x96 a3x32 f384  measuring", "study demo  searching"]

    done = study(StudyState.SEARCHING, hypervolume=0.5)
    lines = list(events.look(done, [trial(7, value=0.712, ms=3.1)]))
    assert lines == [
        "trial 7  2x96 a3x32 f384  completed accuracy 0.712 latency 3.1 ms measured, provisional",
        "front 2  hypervolume 0.5  remaining about 1 min 30 s",
    ]
    assert list(events.look(done, [trial(7, value=0.712, ms=3.1)])) == []


def test_why_a_trial_ended_is_told(study, trial):
    events = Events()
    slow = trial(2, state=TrialState.INFEASIBLE, reason="latency_p50 41 ms > 40 ms")
    assert list(events.look(study(), [slow]))[-1] == "trial 2  2x96 a3x32 f384  infeasible: latency_p50 41 ms > 40 ms"


def test_finalists_are_told_with_their_report(study, trial, finalist):
    events = Events()
    lines = list(events.look(study(), [trial(2, finalist=finalist(report=0.72, ms=4.0))]))
    assert lines[-1] == ("finalist 2  2x96 a3x32 f384  completed accuracy 0.720 (report split) latency 4 ms measured")
