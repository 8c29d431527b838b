"""Many profiles of one architecture in one call."""

from dataclasses import replace

import pytest

from encoders.values import Head
from hardware.errors import BusyError, HangError, OutOfMemoryError, UnsupportedProfileError
from hardware.grid import Cell, grid, measure_grid
from hardware.values import DeviceProfile, Effort, Measurement, Quantile, Source, Verdict
from search_space import Architecture

TINY = Architecture(
    vocabulary_size=100, layers=1, hidden_size=32, heads=2, head_size=16, ffn_size=64, max_positions=128
)
HEAD = Head(classes=2)
PROFILE = DeviceProfile()


def measurement(profile: DeviceProfile, value_s: float = 1e-3) -> Measurement:
    quantile = Quantile(value_s=value_s, low_s=value_s, high_s=value_s)
    return Measurement(
        profile=profile,
        effort=Effort.QUICK,
        source=Source.MEASURED,
        verdict=Verdict.PROVISIONAL,
        p50=quantile,
        p90=quantile,
        p99=quantile,
        throughput_per_s=profile.batch / value_s,
        load_s=0.1,
        first_call_s=0.1,
        compile_s=0.0,
        peak_memory_bytes=1,
        log_variance=0.0,
        hardware_key="k",
        environment={},
        samples_s=[[value_s]],
        measured_at="2026-01-01T00:00:00+00:00",
    )


def measured(profiles: tuple[DeviceProfile, ...], failing: dict[DeviceProfile, Exception]) -> tuple[Cell, ...]:
    def one(architecture: Architecture, head: Head, profile: DeviceProfile, effort: Effort, **_: object) -> Measurement:
        assert (architecture, head, effort) == (TINY, HEAD, Effort.QUICK)
        if profile in failing:
            raise failing[profile]
        return measurement(profile)

    return measure_grid(TINY, HEAD, profiles, Effort.QUICK, measure_one=one)


def test_a_grid_is_every_batch_at_every_length_once() -> None:
    assert [(each.batch, each.length) for each in grid(PROFILE)] == [
        (batch, length) for batch in (1, 8, 32) for length in (32, 128, 384)
    ]
    own = grid(replace(PROFILE, threads=2), [4, 2, 4], [16])
    assert own == tuple(replace(PROFILE, threads=2, batch=batch, length=16) for batch in (2, 4))
    with pytest.raises(ValueError, match="batch must be an integer in 1"):
        grid(PROFILE, [0], [16])


def test_cells_beyond_the_positions_are_left_out_and_said() -> None:
    cells = measured(grid(PROFILE), {})
    assert [cell.left_out for cell in cells] == [False, False, True] * 3
    for cell in cells:
        assert (cell.measurement is None) == cell.left_out == (cell.profile.length == 384)
    assert cells[2].reason == "length 384 is beyond the model's 128 positions"


@pytest.mark.parametrize("error", [OutOfMemoryError("no\n room"), HangError("killed"), BusyError("in use")])
def test_a_cell_that_fails_costs_none_of_the_others(error: Exception) -> None:
    profiles = grid(PROFILE, [1, 2], [32, 64])
    cells = measured(profiles, {profiles[1]: error})
    assert [cell.profile for cell in cells] == list(profiles)
    assert [cell.measurement is None for cell in cells] == [False, True, False, False]
    assert cells[1].reason == " ".join(str(error).split())
    assert not cells[1].left_out


def test_what_nobody_has_foreseen_is_no_cell() -> None:
    with pytest.raises(ZeroDivisionError):
        measured((PROFILE,), {PROFILE: ZeroDivisionError()})


def test_a_profile_that_this_machine_cannot_measure_is_refused_before_anything_is_measured() -> None:
    begun: list[DeviceProfile] = []
    with pytest.raises(UnsupportedProfileError, match="1000 threads"):
        measure_grid(TINY, HEAD, (PROFILE, replace(PROFILE, threads=1000)), Effort.QUICK, before=begun.append)
    assert begun == []
