"""What is thrown away, and when to give up."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from hardware.attempt import RETRIES, undisturbed
from hardware.round import Round


def took(seconds: float, *, busy: float = 1.0) -> Round:
    return Round(
        samples_s=[seconds] * 100,
        load_s=0.1,
        compile_s=0.0,
        first_call_s=0.1,
        warm=True,
        busy=busy,
        waiting=0.0,
        peak_memory_bytes=1,
    )


def script(rounds: Iterable[Round]) -> Callable[[], Round]:
    """Gives each round once, in order; asking for more is an error."""
    left = iter(rounds)
    return lambda: next(left)


def test_quiet_machine_measures_once() -> None:
    attempt = undisturbed(3, script([took(1.0), took(1.1), took(1.2)]), script([took(0.10), took(0.105)]))
    assert [round_.samples_s[0] for round_ in attempt.rounds] == [1.0, 1.1, 1.2]
    assert attempt.shift == pytest.approx(0.0488, abs=1e-4)
    assert not attempt.moved
    assert attempt.voided == 0


def test_attempt_is_repeated_when_the_reference_moved() -> None:
    attempt = undisturbed(2, script(map(took, [1.0, 1.0, 2.0, 2.0])), script(map(took, [0.1, 0.2, 0.2])))
    assert [round_.samples_s[0] for round_ in attempt.rounds] == [2.0, 2.0]
    assert attempt.shift == 0.0
    assert attempt.voided == 1


def test_reference_that_got_faster_has_moved_too() -> None:
    attempt = undisturbed(1, script(map(took, [1.0, 2.0])), script(map(took, [0.2, 0.1, 0.1])))
    assert attempt.voided == 1


def test_reference_that_never_rests_ends_in_a_moved_attempt() -> None:
    attempt = undisturbed(1, script(map(took, range(1, 5))), script(took(2.0**power) for power in range(5)))
    assert attempt.moved
    assert attempt.voided == RETRIES


def test_contended_round_is_repeated_alone() -> None:
    target = script([took(1.0), took(9.0, busy=0.5), took(9.0, busy=0.8), took(1.0)])
    attempt = undisturbed(2, target)
    assert [round_.samples_s[0] for round_ in attempt.rounds] == [1.0, 1.0]
    assert attempt.shift is None
    assert attempt.voided == 2


def test_machine_that_is_never_free_is_given_up() -> None:
    busy = [took(9.0, busy=0.5)] * (3 + RETRIES)
    attempt = undisturbed(3, script(busy), script(map(took, [0.1, 0.2])))
    assert all(round_.contended for round_ in attempt.rounds)
    assert attempt.moved
    assert attempt.voided == RETRIES


def test_contended_rounds_and_moved_references_share_one_patience() -> None:
    target = script([took(9.0, busy=0.5), took(1.0), took(2.0), took(3.0)])
    attempt = undisturbed(1, target, script(map(took, [0.1, 0.2, 0.4, 0.8])))
    assert attempt.rounds[0].samples_s[0] == 3.0
    assert attempt.moved
    assert attempt.voided == RETRIES


def test_a_round_that_was_slowed_down_is_repeated_alone() -> None:
    target = script([took(1.0), replace(took(5.0), slowed="too warm"), took(1.0)])
    attempt = undisturbed(2, target)
    assert [round_.samples_s[0] for round_ in attempt.rounds] == [1.0, 1.0]
    assert attempt.voided == 1


def test_a_device_that_stays_slow_is_given_up() -> None:
    slow = [replace(took(5.0), slowed="too warm")] * (2 + RETRIES)
    attempt = undisturbed(2, script(slow))
    assert all(round_.slowed for round_ in attempt.rounds)
    assert attempt.voided == RETRIES


def test_a_reference_that_was_disturbed_itself_tells_nothing() -> None:
    busy = [took(0.1, busy=0.5)] * (2 + RETRIES)
    attempt = undisturbed(1, script([took(1.0)]), script(busy))
    assert attempt.is_blind
    assert not attempt.moved
    quiet = undisturbed(1, script([took(1.0)]), script([*busy[:1], took(0.1), took(0.1)]))
    assert not quiet.is_blind
    assert quiet.voided == 1


def test_how_far_the_reference_may_move_is_the_devices() -> None:
    rounds = [took(1.0), took(1.0)]
    assert undisturbed(1, script(rounds), script(map(took, [0.1, 0.105]))).voided == 0
    accelerator = undisturbed(1, script(rounds), script(map(took, [0.1, 0.105, 0.105])), most_moved=0.03)
    assert accelerator.voided == 1
