"""Warm-up and stop rule of a round, on scripted durations."""

import gc
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from encoders.values import Head
from hardware.backend import Prepared
from hardware.round import Round, Rules, sample, timed, warm_up
from hardware.values import DeviceProfile, QuantileName
from search_space import Architecture

RULES = Rules(samples=100, least_s=3.0, most_s=30.0, tolerance=0.05)


class Script:
    """A stopwatch whose calls take the seconds that it was given."""

    def __init__(self, durations_s: Iterable[float]) -> None:
        self._durations_s: Iterator[float] = iter(durations_s)
        self.taken: list[float] = []

    def seconds(self, call: Callable[[], None]) -> float:
        call()
        self.taken.append(next(self._durations_s))
        return self.taken[-1]


def prepared(script: Script) -> Prepared:
    return Prepared(call=lambda: None, stopwatch=script, load_s=0.25, compile_s=0.5)


def test_steady_calls_stop_at_the_least_time_when_that_gives_enough_samples() -> None:
    samples = sample(prepared(Script(itertools.repeat(1 / 64))), RULES)
    assert len(samples) == 3 * 64


def test_slow_calls_go_on_until_there_are_enough_samples() -> None:
    samples = sample(prepared(Script(itertools.repeat(0.1))), RULES)
    assert 100 <= len(samples) <= 106


def test_scattered_calls_go_on_until_the_interval_is_narrow() -> None:
    # Half of the calls at 9 and half at 11 ms, the last ones a bit more often: the median's interval is 20 % wide.
    scattered = Script(itertools.chain(itertools.islice(itertools.cycle([0.009, 0.011]), 500), itertools.repeat(0.011)))
    samples = sample(prepared(scattered), RULES)
    assert sum(samples) > 5.0
    assert not RULES.enough(samples[:400])
    assert RULES.enough(samples)


def test_calls_that_stay_scattered_stop_at_the_most_time() -> None:
    samples = sample(prepared(Script(itertools.cycle([0.005, 0.015]))), RULES)
    assert 30.0 <= sum(samples) < 30.02


def test_narrow_intervals_are_waited_for_no_longer_than_said_and_calls_are() -> None:
    patient = replace(RULES, narrow_most_s=5.0)
    scattered = sample(prepared(Script(itertools.cycle([0.005, 0.015]))), patient)
    assert 5.0 <= sum(scattered) < 5.3
    slow = sample(prepared(Script(itertools.cycle([0.05, 0.15]))), patient)
    assert 100 <= len(slow) <= 106


def test_a_round_lasts_until_every_quantile_that_counts_is_narrow() -> None:
    tailed = ([0.01] * 98 + [0.02, 0.04]) * 10
    assert RULES.enough(tailed)
    assert not replace(RULES, quantiles=(QuantileName.P50, QuantileName.P99)).enough(tailed)
    narrow = ([0.01] * 96 + [0.02] * 4) * 10
    assert replace(RULES, quantiles=(QuantileName.P50, QuantileName.P99)).enough(narrow)


def test_very_slow_calls_stop_at_the_most_time_with_what_they_have() -> None:
    assert len(sample(prepared(Script(itertools.repeat(20.0))), RULES)) == 2


def test_no_sample_is_trimmed() -> None:
    script = Script(itertools.chain([0.9], itertools.repeat(0.01)))
    samples = sample(prepared(script), RULES)
    assert samples == script.taken
    assert samples[0] == 0.9


def test_without_a_tolerance_the_interval_does_not_matter() -> None:
    samples = sample(prepared(Script(itertools.cycle([0.005, 0.015]))), replace(RULES, tolerance=None))
    assert sum(samples) == pytest.approx(3.0, abs=0.02)


def test_warm_up_ends_once_two_windows_agree() -> None:
    falling = (0.1 * 0.98**call for call in itertools.count())
    script = Script(itertools.chain(itertools.islice(falling, 60), itertools.repeat(0.03)))
    assert warm_up(prepared(script), RULES)
    assert len(script.taken) == 80  # 60 falling calls, then two windows of 10


def test_warm_up_takes_its_least_time_even_if_calls_agree_at_once() -> None:
    script = Script(itertools.repeat(0.001))
    assert warm_up(prepared(script), RULES)
    assert 0.5 <= sum(script.taken) <= 0.52


def test_warm_up_of_slow_calls_waits_for_two_whole_windows() -> None:
    script = Script(itertools.repeat(0.1))
    assert warm_up(prepared(script), RULES)
    assert len(script.taken) == 20


def test_warm_up_that_never_settles_gives_up_at_its_most_time_and_says_so() -> None:
    script = Script(0.001 * 1.02**call for call in itertools.count())
    assert not warm_up(prepared(script), RULES)
    assert 5.0 <= sum(script.taken) < 5.2


def test_calls_too_slow_for_two_windows_are_judged_by_shorter_ones() -> None:
    steady, falling = Script(itertools.repeat(1.5)), Script(itertools.chain([3.0, 1.5], itertools.repeat(1.0)))
    assert warm_up(prepared(steady), RULES)
    assert len(steady.taken) == 4
    assert not warm_up(prepared(falling), RULES)


class ScriptedBackend:
    def __init__(self, script: Script) -> None:
        self._script = script

    def prepare(
        self, architecture: Architecture, head: Head, profile: DeviceProfile, seed: int, checkpoint: Path | None = None
    ) -> Prepared:
        return prepared(self._script)


def scripted_round(script: Script) -> Round:
    shape = Architecture(vocabulary_size=10, layers=1, hidden_size=4, heads=1, head_size=4, ffn_size=4)
    return timed(ScriptedBackend(script), shape, Head(classes=2), DeviceProfile(), RULES, seed=0)


def test_first_call_and_warm_up_are_not_among_the_samples() -> None:
    round_ = scripted_round(Script(itertools.chain([7.0], itertools.repeat(0.02, 40), itertools.repeat(0.01))))
    assert (round_.load_s, round_.compile_s, round_.first_call_s) == (0.25, 0.5, 7.0)
    assert round_.warm
    assert set(round_.samples_s[20:]) == {0.01}
    assert round_.peak_memory_bytes > 1_000_000


def test_peak_memory_is_told_before_there_are_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(itertools.repeat(0.01))
    monkeypatch.setattr("hardware.round.peak_memory_bytes", lambda: len(script.taken))
    round_ = scripted_round(script)
    assert round_.peak_memory_bytes == len(script.taken) - len(round_.samples_s) > 20


def test_garbage_collector_rests_while_calls_are_timed() -> None:
    seen = []

    class Watching(Script):
        def seconds(self, call: Callable[[], None]) -> float:
            seen.append(gc.isenabled())
            return super().seconds(call)

    scripted_round(Watching(itertools.repeat(0.01)))
    assert seen[0]
    assert not any(seen[1:])
    assert gc.isenabled()
