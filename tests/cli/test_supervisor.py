"""Real, tiny child processes."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import pytest

from cli import supervisor as supervisor_module
from cli.errors import BadInputError, ChildError
from cli.supervised import NEWS_VARIABLE, tell_supervisor
from cli.supervisor import ChildSpec, Supervisor, tail

PATIENCE_S = 20.0
SLEEPER = "import time\nprint('up', flush=True)\ntime.sleep(60)\n"


@pytest.fixture
def clock():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    return Clock()


@pytest.fixture
def events():
    return []


@pytest.fixture
def supervisor(clock, events):
    supervisor = Supervisor(on_event=events.append, clock=clock)
    yield supervisor
    supervisor.stop(grace_s=0)


@pytest.fixture
def child(tmp_path):
    def make(code, name="worker"):
        command = [sys.executable, "-c", textwrap.dedent(code)]
        return ChildSpec(name=name, command=command, log=tmp_path / "logs" / f"{name}.log")

    return make


def until(condition, what):
    for _ in range(int(PATIENCE_S / 0.01)):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"waited {PATIENCE_S} s for {what}")


def until_it_dies(supervisor, name="worker"):
    until(lambda: supervisor.pid(name) is None, f"the end of {name}")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_that_dies_is_started_again_after_a_pause(supervisor, child, clock, events):
    supervisor.start(child(SLEEPER))
    first = supervisor.pid("worker")
    os.kill(first, signal.SIGKILL)
    until_it_dies(supervisor)
    supervisor.check()
    assert "SIGKILL" in events[0]
    supervisor.check()
    assert supervisor.pid("worker") is None
    clock.now += 0.5
    supervisor.check()
    assert supervisor.pid("worker") not in (None, first)


def test_pauses_grow_and_a_child_that_keeps_dying_is_given_up_with_its_log(supervisor, child, clock, events):
    supervisor.start(child("import sys; print('no module named frobnicate'); sys.exit(3)"))
    pauses = []
    for _ in range(supervisor_module.MOST_QUICK_DEATHS - 1):
        until_it_dies(supervisor)
        before = clock.now
        supervisor.check()
        while supervisor.pid("worker") is None and clock.now < before + 60:
            clock.now += 0.5
            supervisor.check()
            if supervisor._children[0].again_s is None:
                break
        pauses.append(clock.now - before)
    until_it_dies(supervisor)
    with pytest.raises(ChildError, match="no module named frobnicate") as caught:
        supervisor.check()
    assert "exit code 3" in str(caught.value)
    assert pauses == [0.5, 1.0, 2.0, 4.0]


def test_a_child_that_lived_long_is_not_given_up(supervisor, child, clock):
    supervisor.start(child(SLEEPER))
    for _ in range(supervisor_module.MOST_QUICK_DEATHS + 1):
        clock.now += 100.0
        os.kill(supervisor.pid("worker"), signal.SIGKILL)
        until_it_dies(supervisor)
        supervisor.check()
        clock.now += 0.5
        supervisor.check()
    assert supervisor.pid("worker") is not None


def test_a_child_that_refuses_its_input_is_not_started_again(supervisor, child):
    supervisor.start(child("import sys; print('port 80 is taken'); sys.exit(2)"))
    until_it_dies(supervisor)
    with pytest.raises(BadInputError, match="port 80 is taken"):
        supervisor.check()


def test_stopping_ends_the_first_child_last(supervisor, child, tmp_path):
    order = tmp_path / "order"
    code = """
        import signal, sys, time
        def end(number, frame):
            with open({order!r}, "a") as file:
                file.write("{name} ")
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("up", flush=True)
        time.sleep(60)
    """
    for name in ("serve", "suggest", "worker"):
        supervisor.start(child(code.format(order=str(order), name=name), name))
        until(lambda name=name: "up" in tail(tmp_path / "logs" / f"{name}.log"), f"{name} to be up")
    supervisor.stop(grace_s=PATIENCE_S)
    words = order.read_text().split()
    assert sorted(words) == ["serve", "suggest", "worker"]
    assert words[-1] == "serve"


def test_a_child_that_does_not_end_is_killed_with_all_that_it_started(supervisor, child, tmp_path, events):
    code = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(grandchild.pid, flush=True)
        time.sleep(60)
    """
    supervisor.start(child("import time; time.sleep(60)", "serve"))
    supervisor.start(child(code))
    log = tmp_path / "logs" / "worker.log"
    until(lambda: tail(log).strip().isdigit(), "the grandchild")
    grandchild = int(tail(log))
    supervisor.stop(grace_s=0.05)
    assert any("killed" in event for event in events)
    until(lambda: not alive(grandchild), "the grandchild to be gone")


def test_children_notice_that_their_supervisor_was_killed(tmp_path):
    child = "from cli.supervised import when_orphaned\nimport os, threading\n"
    child += "when_orphaned(lambda: os._exit(0))\nprint('up', flush=True)\nthreading.Event().wait(60)\n"
    parent = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from cli.supervisor import ChildSpec, Supervisor
        supervisor = Supervisor()
        command = [sys.executable, "-c", {child!r}]
        supervisor.start(ChildSpec(name="c", command=command, log=Path({str(tmp_path)!r}) / "c.log"))
        print(supervisor.pid("c"), flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        until(lambda: (tmp_path / "c.log").exists() and "up" in tail(tmp_path / "c.log"), "the child to be up")
        process.kill()
        process.wait()
    until(lambda: not alive(pid), "the child to end")


def test_a_child_whose_log_cannot_be_written_is_an_error_that_names_it(supervisor, child, tmp_path):
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(BadInputError, match=r"worker cannot be started: its log .*logs"):
        supervisor.start(child(SLEEPER))


def test_what_a_child_tells_reaches_people_and_not_only_its_log(supervisor, child, events):
    code = """
        import time
        from cli.supervised import tell_supervisor
        tell_supervisor("the disk is full")
        tell_supervisor("there is room again")
        time.sleep(60)
    """
    supervisor.start(child(code))

    def told():
        supervisor.check()
        return len(events) == 2

    until(told, "the news")
    assert events == ["the disk is full", "there is room again"]


def test_without_a_supervisor_nothing_is_told(monkeypatch):
    monkeypatch.delenv(NEWS_VARIABLE, raising=False)
    tell_supervisor("the disk is full")


def test_a_stop_in_a_hurry_does_not_wait(supervisor, child, events, tmp_path):
    supervisor.start(child("import time; time.sleep(60)", "serve"))
    stubborn = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\n"
    supervisor.start(child(stubborn + "time.sleep(60)"))
    until(lambda: "up" in tail(tmp_path / "logs" / "worker.log"), "the worker to be up")
    supervisor.hurry()
    supervisor.stop(grace_s=10 * PATIENCE_S)
    assert "worker is killed" in events


def test_a_process_group_that_has_ended_is_signalled_once(supervisor, child, monkeypatch):
    supervisor.start(child("import sys; sys.exit(3)"))
    until_it_dies(supervisor)
    signalled = []
    monkeypatch.setattr(supervisor_module.os, "killpg", lambda group, number: signalled.append(group))
    supervisor.check()
    supervisor.stop(grace_s=0)  # its number may be another process's by now
    assert len(signalled) == 1


def test_what_is_secret_reaches_a_child_by_its_environment_alone(supervisor, child, tmp_path):
    spec = child("import os, time\nprint('got', os.environ['SECRET'], flush=True)\ntime.sleep(60)\n")
    supervisor.start(replace(spec, environment={"SECRET": "hidden"}))
    until(lambda: "got hidden" in tail(spec.log), "the child's word")
    assert "hidden" not in repr(replace(spec, environment={"SECRET": "hidden"}))
    assert "SECRET" not in os.environ
