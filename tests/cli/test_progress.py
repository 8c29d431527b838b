"""A study's course as lines."""

import io

from rich.console import Console

from cli.display import Display
from cli.progress import Events, page
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


def test_what_a_study_waits_for_is_told_once(study):
    events = Events()
    waiting = "waiting for a machine that measures cuda jax bfloat16 with 2 threads"
    assert f"note: {waiting}" in list(events.look(study(StudyState.CALIBRATING, machines=(waiting,)), []))
    assert list(events.look(study(StudyState.CALIBRATING, machines=(waiting,)), [])) == []
    assert list(events.look(study(StudyState.CALIBRATING), [])) == []
    assert list(events.look(study(StudyState.CALIBRATING, machines=(waiting,)), [])) == [f"note: {waiting}"]


def test_saved_steps_are_told_where_there_are_any(study):
    def shown(**changes):
        console = Console(file=io.StringIO(), width=200)
        console.print(page(study(StudyState.SEARCHING, **changes), [], []))
        return console.file.getvalue()

    assert "saved 1.2k steps" in shown(saved_steps=1200)
    assert "saved" not in shown()


def test_finalists_are_told_with_their_report(study, trial, finalist):
    events = Events()
    lines = list(events.look(study(), [trial(2, finalist=finalist(report=0.72, ms=4.0))]))
    assert lines[-1] == ("finalist 2  2x96 a3x32 f384  completed accuracy 0.720 (report split) latency 4 ms measured")


def test_the_page_shows_where_the_study_stands_and_what_runs(study, trial):
    running = RunningJob(
        id=9,
        kind=JobKind.MEASURE,
        state=JobState.LEASED,
        trial=3,
        attempt=1,
        worker="w",
        progress=Progress(stage="measuring"),
    )
    console = Console(file=io.StringIO(), width=120)
    counts = {"completed": 2, "measuring": 1}
    console.print(page(study(StudyState.SEARCHING, jobs=(running,), trials=counts), [trial(1)], ["worker ended"]))
    text = console.file.getvalue()
    for part in (
        "demo  searching",
        "trials 2/32",
        "front 2",
        "hypervolume 0.5",
        "about 1 min 30 s",
        "measure trial 3: measuring",
        "while a latency is taken this page rests",
        "2x96 a3x32 f384",
        "worker ended",
    ):
        assert part in text


def test_a_terminal_gets_a_page_and_a_log_gets_lines(study, trial):
    for is_terminal, expected in ((True, "trials 3/32"), (False, "trial 1  2x96 a3x32 f384  completed")):
        console = Console(file=io.StringIO(), width=120, force_terminal=is_terminal)
        with Display(console) as display:
            display.tell("suggest ended with SIGKILL")
            display.show(study(), [trial(1)])
        assert expected in console.file.getvalue()
        assert "suggest ended with SIGKILL" in console.file.getvalue()


def test_what_is_told_while_no_page_is_drawn_is_printed_on_a_terminal_too(study):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    display = Display(console)
    display.tell("serve ended with SIGKILL")
    with display:
        display.show(study(), [])
    display.tell("worker does not end; it is killed")
    text = console.file.getvalue()
    assert "serve ended" in text
    assert "worker does not end" in text
