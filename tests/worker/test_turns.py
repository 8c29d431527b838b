"""Long computations let measurements in."""

from contextlib import contextmanager

import pytest

from hardware.lock import computing, measuring
from hardware.values import Device
from worker.turns import TURN_S, computing_in_turns


class Guard:
    def __init__(self):
        self.taken = 0
        self.held = False

    @contextmanager
    def __call__(self, device):
        assert not self.held
        self.taken, self.held = self.taken + 1, True
        yield
        self.held = False


def test_the_device_is_offered_when_a_turn_is_over_and_not_before():
    guard, now = Guard(), [0.0]
    with computing_in_turns(guard=guard, clock=lambda: now[0]) as turns:
        turns.offer()
        assert (guard.taken, guard.held) == (1, True)
        now[0] += TURN_S
        turns.offer()
        assert (guard.taken, guard.held) == (2, True)
        turns.offer()
        assert guard.taken == 2
    assert not guard.held


def test_the_device_is_free_after_a_computation_that_broke():
    guard = Guard()
    with pytest.raises(ArithmeticError), computing_in_turns(guard=guard):
        raise ArithmeticError
    assert not guard.held


def test_a_measurement_may_follow_a_computation_in_the_same_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("STILLHOUSE_LOCK_DIR", str(tmp_path))
    with computing_in_turns(guard=computing) as turns:
        turns.offer()
    with measuring(Device.CPU):
        pass
