"""Whether a device slowed down, and what it drew."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from encoders.values import Head
from hardware.backend import Prepared
from hardware.contention import FORGOTTEN_S, others_on
from hardware.cores import available_cores
from hardware.nvml import Gpu, gpu
from hardware.plan import rules_of
from hardware.presence import no_device
from hardware.round import Round, timed
from hardware.throttling import UNTOLD, Blind, CpuWatch, GpuWatch, Slowdown, watch
from hardware.values import Device, DeviceProfile, Effort, QuantileName
from search_space import Architecture


class ScriptedNvml:
    """NVIDIA's management library as its Python package offers it, for one GPU.

    `clocks`, `energies_mj`, `reasons` and `percents` are told one after the other, the last ones for ever; None is an
    error.
    """

    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    class NVMLError(Exception):
        pass

    def __init__(
        self,
        clocks: list[int | None],
        energies_mj: list[int | None],
        reasons: list[int | None],
        percents: list[int | None] | None = None,
        application_mhz: int | None = None,
    ) -> None:
        self._clocks, self._energies_mj, self._reasons = clocks, energies_mj, reasons
        self._percents, self._application_mhz = percents or [None], application_mhz

    def _next(self, told: list[int | None]) -> int:
        value = told.pop(0) if len(told) > 1 else told[0]
        if value is None:
            raise self.NVMLError("not supported")
        return value

    def nvmlDeviceGetClockInfo(self, handle: object, kind: int) -> int:  # noqa: N802
        return self._next(self._clocks)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: object) -> int:  # noqa: N802
        return self._next(self._reasons)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object) -> int:  # noqa: N802
        return self._next(self._energies_mj)

    def nvmlDeviceGetUtilizationRates(self, handle: object) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(gpu=self._next(self._percents), memory=0)

    def nvmlDeviceGetApplicationsClock(self, handle: object, kind: int) -> int:  # noqa: N802
        return self._next([self._application_mhz])

    def nvmlDeviceGetName(self, handle: object) -> bytes:  # noqa: N802
        return b"A GPU"

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "600.1"

    def nvmlDeviceGetMaxClockInfo(self, handle: object, kind: int) -> int:  # noqa: N802
        return {self.NVML_CLOCK_SM: 1980, self.NVML_CLOCK_MEM: 2619}[kind]

    def nvmlDeviceGetPowerManagementLimit(self, handle: object) -> int:  # noqa: N802
        raise self.NVMLError("not supported")


def a_gpu(
    clocks: list[int | None] | None = None,
    energies_mj: list[int | None] | None = None,
    reasons: list[int | None] | None = None,
    percents: list[int | None] | None = None,
    application_mhz: int | None = None,
) -> Gpu:
    nvml = ScriptedNvml(clocks or [1980], energies_mj or [None], reasons or [0], percents, application_mhz)
    return Gpu(nvml, handle=None)


def watched(gpu: Gpu, looks: int = 3) -> GpuWatch:
    found = GpuWatch(gpu)
    for _ in range(looks):
        found.look()
    return found


def test_a_clock_that_moves_by_its_steps_is_steady() -> None:
    assert watched(a_gpu(clocks=[1980, 1965, 1950, 1980])).slowed() is None


def test_a_clock_that_fell_in_the_middle_is_told_with_both_numbers() -> None:
    slowed = watched(a_gpu(clocks=[1980, 1400, 1980])).slowed()
    assert slowed == Slowdown(reason="the GPU's clock fell from 1980 to 1400 MHz", factor=1980 / 1400)


@pytest.mark.parametrize(("reason", "words"), [(0x40, "far too warm"), (0x20, "too warm"), (0x80, "power supply")])
def test_a_reason_that_is_no_normal_state_counts_even_if_the_clock_held(reason: int, words: str) -> None:
    slowed = watched(a_gpu(reasons=[0, reason, 0])).slowed()
    assert slowed is not None
    assert words in slowed.reason
    assert slowed.factor == UNTOLD
    fallen = watched(a_gpu(reasons=[0, reason, 0], clocks=[1980, 990, 1980])).slowed()
    assert fallen is not None
    assert fallen.factor == 2


def test_the_limit_of_the_boards_power_is_a_normal_state() -> None:
    assert watched(a_gpu(reasons=[0x04])).slowed() is None


def test_energy_is_the_difference_in_joules() -> None:
    assert watched(a_gpu(energies_mj=[5_000_000, 5_007_500])).energy_j() == pytest.approx(7.5)


def test_a_gpu_that_tells_nothing_is_not_guessed_at() -> None:
    silent = watched(Gpu(ScriptedNvml([None], [None], [None]), handle=None))
    assert silent.slowed() is None
    assert silent.energy_j() is None


def test_stamp_has_what_lasts_and_leaves_out_what_is_not_told() -> None:
    assert a_gpu().stamp() == {
        "gpu": "A GPU",
        "driver": "600.1",
        "gpu_clock_mhz": "1980",
        "gpu_memory_clock_mhz": "2619",
    }


def test_a_clock_that_was_set_for_applications_makes_another_stamp() -> None:
    locked, free = a_gpu(application_mhz=1200).stamp(), a_gpu(application_mhz=1980).stamp()
    assert locked["gpu_application_clock_mhz"] == "1200"
    assert locked != free


def test_a_library_without_a_function_is_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ScriptedNvml, "nvmlDeviceGetApplicationsClock")
    assert "gpu_application_clock_mhz" not in a_gpu(application_mhz=1200).stamp()


@pytest.mark.parametrize(
    ("percents", "share", "waited_s"),
    [
        ([0], 0.0, 0.0),
        ([100, 40, 0], 0.0, 0.5),  # our own round before, forgotten
        ([100, 98, 100], 0.98, FORGOTTEN_S),
        ([None], None, 0.0),
    ],
)
def test_a_gpu_is_others_where_it_stays_busy_while_it_is_left_alone(
    percents: list[int | None], share: float | None, waited_s: float
) -> None:
    pauses: list[float] = []
    assert others_on(a_gpu(percents=percents), pauses.append) == share
    assert sum(pauses) == waited_s


def a_round(monkeypatch: pytest.MonkeyPatch, gpu: Gpu | None) -> Round:
    """Of calls that take 10 ms on a GPU, as far as its library tells of it."""

    class Steady:
        def prepare(self, *described: object) -> Prepared:
            return Prepared(
                call=lambda: None,
                stopwatch=SimpleNamespace(seconds=lambda call: 0.01),
                load_s=0.1,
                caller_computes=False,
            )

    monkeypatch.setattr("hardware.round.gpu", lambda: nullcontext(gpu))
    monkeypatch.setattr("hardware.contention.FORGOTTEN_S", 0.0)
    shape = Architecture(vocabulary_size=10, layers=1, hidden_size=4, heads=1, head_size=4, ffn_size=4)
    rules = rules_of(Effort.SEARCH, Device.CUDA, (QuantileName.P50,))
    return timed(Steady(), shape, Head(classes=2), DeviceProfile(device=Device.CUDA), rules, seed=0)


def test_a_round_on_a_gpu_that_others_use_is_void(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, beside = (a_round(monkeypatch, a_gpu(percents=[percent])) for percent in (3, 97))
    assert (alone.others, alone.occupancy.crowded) == (0.03, False)
    assert (beside.others, beside.occupancy.crowded, beside.disturbed) == (0.97, True, True)


def test_a_round_on_a_gpu_that_tells_nothing_does_not_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    for silent in (None, a_gpu(percents=[None])):
        round_ = a_round(monkeypatch, silent)
        assert (round_.others, round_.slowed, round_.slowdown) == (None, "", 1.0)


def test_a_round_keeps_how_far_the_clock_fell(monkeypatch: pytest.MonkeyPatch) -> None:
    round_ = a_round(monkeypatch, a_gpu(clocks=[2000, 1400]))
    assert round_.slowdown == pytest.approx(2000 / 1400)
    assert round_.disturbed


@pytest.mark.skipif(no_device(Device.CUDA) is None, reason="there is a GPU")
def test_without_a_gpu_there_is_nothing_to_ask() -> None:
    with gpu() as told:
        assert told is None
        assert isinstance(watch(told, Device.CUDA), Blind)


@pytest.fixture
def system(tmp_path: Path) -> Path:
    core = tmp_path / f"cpu{available_cores()[0]}" / "thermal_throttle"
    core.mkdir(parents=True)
    (core / "core_throttle_count").write_text("7\n")
    (core / "package_throttle_count").write_text("9\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 100\nnr_throttled 3\nthrottled_usec 5000\n")
    return tmp_path


def test_a_cool_core_within_its_limit_is_steady(system: Path) -> None:
    found = CpuWatch(system, system)
    assert found.slowed() is None
    assert found.energy_j() is None


def test_a_core_that_was_too_warm_is_told(system: Path) -> None:
    found = CpuWatch(system, system)
    (system / f"cpu{available_cores()[0]}" / "thermal_throttle" / "core_throttle_count").write_text("8\n")
    assert found.slowed() == Slowdown(reason="a core was too warm", factor=UNTOLD)


def test_a_limit_of_cpu_time_that_was_used_up_is_told(system: Path) -> None:
    found = CpuWatch(system, system)
    (system / "cpu.stat").write_text("usage_usec 100\nnr_throttled 4\nthrottled_usec 900000000\n")
    slowed = found.slowed()
    assert slowed is not None
    assert slowed.reason == "the container's limit of CPU time was used up"
    assert slowed.factor == pytest.approx(10)


def test_a_system_that_counts_nothing_is_not_guessed_at(tmp_path: Path) -> None:
    assert CpuWatch(tmp_path, tmp_path).slowed() is None
