"""Whether a device slowed down, and what it drew."""

from pathlib import Path

import pytest

from hardware.cores import available_cores
from hardware.nvml import Gpu, gpu
from hardware.presence import no_device
from hardware.throttling import Blind, CpuWatch, GpuWatch, watch
from hardware.values import Device


class ScriptedNvml:
    """NVIDIA's management library as its Python package offers it, for one GPU.

    `clocks` and `energies_mj` are told one after the other, the last ones for ever; None is an error.
    """

    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    class NVMLError(Exception):
        pass

    def __init__(self, clocks: list[int | None], energies_mj: list[int | None], reasons: list[int | None]) -> None:
        self._clocks, self._energies_mj, self._reasons = clocks, energies_mj, reasons

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
) -> Gpu:
    return Gpu(ScriptedNvml(clocks or [1980], energies_mj or [None], reasons or [0]), handle=None)


def watched(gpu: Gpu, looks: int = 3) -> GpuWatch:
    found = GpuWatch(gpu)
    for _ in range(looks):
        found.look()
    return found


def test_a_clock_that_moves_by_its_steps_is_steady() -> None:
    assert watched(a_gpu(clocks=[1980, 1965, 1950, 1980])).slowed() is None


def test_a_clock_that_fell_in_the_middle_is_told_with_both_numbers() -> None:
    assert watched(a_gpu(clocks=[1980, 1400, 1980])).slowed() == "the GPU's clock fell from 1980 to 1400 MHz"


@pytest.mark.parametrize(("reason", "words"), [(0x40, "far too warm"), (0x20, "too warm"), (0x80, "power supply")])
def test_a_reason_that_is_no_normal_state_counts_even_if_the_clock_held(reason: int, words: str) -> None:
    slowed = watched(a_gpu(reasons=[0, reason, 0])).slowed()
    assert slowed is not None
    assert words in slowed


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
    assert found.slowed() == "a core was too warm"


def test_a_limit_of_cpu_time_that_was_used_up_is_told(system: Path) -> None:
    found = CpuWatch(system, system)
    (system / "cpu.stat").write_text("usage_usec 100\nnr_throttled 4\nthrottled_usec 900000000\n")
    assert found.slowed() == "the container's limit of CPU time was used up"


def test_a_system_that_counts_nothing_is_not_guessed_at(tmp_path: Path) -> None:
    assert CpuWatch(tmp_path, tmp_path).slowed() is None
