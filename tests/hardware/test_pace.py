"""What a reference beside every measurement tells of a machine whose pace changes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hardware.pace import FEWEST, paces


def readings(paces_of, noise, seed=0):
    """Two readings a measurement, each with noise of this deviation."""
    drawn = np.random.default_rng(seed).normal(0.0, noise, size=(len(paces_of), 2))
    logs = math.log(1.5e-3) + np.asarray(paces_of)[:, None] + drawn
    return [(math.exp(before_after.mean()), before_after[1] - before_after[0]) for before_after in logs]


def test_a_pace_that_changes_is_found_through_the_noise():
    true = np.repeat([0.0, 0.15, -0.05, 0.1], 10)
    found = np.array(paces(readings(true, noise=0.03)))
    errors = (found - np.median(found)) - (true - np.median(true))
    assert np.std(errors) < 0.025 < np.std(true)


def test_noise_alone_changes_hardly_anything():
    found = paces(readings(np.zeros(400), noise=0.03))
    assert np.std(found) < 0.005


@pytest.mark.parametrize("many", [6, 16, 64])
def test_of_a_machine_whose_pace_is_steady_nothing_is_corrected(many):
    corrected = [any(paces(readings(np.zeros(many), noise=0.01, seed=seed))) for seed in range(200)]
    assert np.mean(corrected) < 0.1


def test_a_reference_that_was_disturbed_itself_tells_nothing():
    true = np.repeat([0.0, 0.15, -0.05, 0.1], 8)
    sound = readings(true, noise=0.01)
    (found, slow) = paces([*sound, (3e-3, 0.0)]), paces([*sound, (3e-3, math.log(2.0))])
    assert slow[:-1] == paces(sound)
    assert slow[-1] == 0.0 < found[-1]


def test_without_noise_all_is_pace():
    true = np.linspace(-0.1, 0.1, 9)
    assert paces(readings(true, noise=0.0)) == pytest.approx(true, abs=1e-12)


def test_what_has_no_reference_and_what_has_too_few_stay_as_they_are():
    few = readings(np.linspace(0.0, 0.3, FEWEST - 1), noise=0.01)
    assert paces([*few, None]) == [0.0] * FEWEST
    enough = readings(np.linspace(0.0, 0.3, FEWEST), noise=0.01)
    assert paces([None, *enough])[0] == 0.0
    assert any(paces([None, *enough])[1:])


def test_a_machine_that_never_changes_has_one_pace():
    assert paces([(1e-3, 0.0)] * FEWEST) == [0.0] * FEWEST
    assert paces([]) == []
