"""What people see of a distillation, and how they stop it."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from cli.watching import Stop, Watch


def drawn(*, terminal, events):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system=None, legacy_windows=False)
    with Watch(console, lambda: False, metric="accuracy") as watch:
        events(watch)
    return out.getvalue()


def a_distillation(watch):
    watch.stage("training the teacher")
    watch.step(4, 4, 0.5)
    watch.stage("distilling")
    watch.step(2, 4, 0.75)
    watch.evaluated(2, 0.625)
    watch.checkpointed(Path("anywhere"))
    watch.step(4, 4, 0.25)


def test_without_a_terminal_each_event_is_a_line():
    assert drawn(terminal=False, events=a_distillation).splitlines() == [
        "training the teacher",
        "distilling",
        "distilling  step 2/4  accuracy 0.625 (selection split)",
    ]


def test_a_terminal_has_one_bar_with_loss_and_metric_that_goes_at_the_end():
    screen = drawn(terminal=True, events=a_distillation)
    assert "distilling" in screen
    assert "4/4" in screen
    assert "loss 0.250  accuracy 0.625" in screen
    assert "training the teacher" not in screen[screen.rindex("distilling") :]
    assert "\x1b[2K" in screen[screen.rindex("4/4") :]


def test_the_first_signal_asks_and_a_later_one_ends():
    now = [0.0]
    stop = Stop(clock=lambda: now[0])
    assert not stop()
    stop.ask()
    assert stop()
    now[0] = 0.5
    stop.ask()  # of the same Ctrl-C
    now[0] = 5.0
    with pytest.raises(KeyboardInterrupt):
        stop.ask()
