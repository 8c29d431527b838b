"""The table of chips agrees with itself and with what JAX knows of its own."""

from __future__ import annotations

from itertools import combinations

import pytest

from hardware.chips import CHIPS, Unit, chip
from hardware.values import Dtype


def test_names_of_drivers_find_their_chip() -> None:
    found = {name: chip(name) for name in ("NVIDIA H100 80GB HBM3", "Tesla T4", "TPU v5 lite", "h200", " v5p ")}
    assert {name: each.name for name, each in found.items() if each} == {
        "NVIDIA H100 80GB HBM3": "H100-SXM",
        "Tesla T4": "T4",
        "TPU v5 lite": "v5e",
        "h200": "H200",
        " v5p ": "v5p",
    }


@pytest.mark.parametrize("name", ["", "Intel(R) Xeon(R)", "NVIDIA H100 MIG 1g.10gb", "v4i"])
def test_what_is_not_in_the_table_is_not_guessed(name: str) -> None:
    assert chip(name) is None


def test_no_name_means_two_chips() -> None:
    names = [{name.casefold() for name in (each.name, *each.reported)} for each in CHIPS.values()]
    assert not any(one & other for one, other in combinations(names, 2))


def test_every_chip_has_a_source_and_sizes_that_are_possible() -> None:
    for each in CHIPS.values():
        assert each.source, each
        assert 1e11 < each.bandwidth < 1e13, each
        assert each.on_chip_bytes < each.memory_bytes, each
        assert set(each.peak_flops) <= {*Dtype, "int8"}, each
        assert all(1e12 < peak < 1e16 for peak in each.peak_flops.values()), each
        assert each.peak_flops["float32"] <= each.peak_flops.get("bfloat16", 1e16), each


def test_a_core_of_v4_is_half_a_chip() -> None:
    core, whole = CHIPS["v4"], CHIPS["v4-chip"]
    assert (core.unit, whole.unit) == (Unit.CORE, Unit.CHIP)
    assert core.clock_hz == whole.clock_hz
    assert [2 * peak for peak in core.peak_flops.values()] == list(whole.peak_flops.values())
    assert 2 * core.bandwidth == whole.bandwidth
    assert (2 * core.memory_bytes, 2 * core.on_chip_bytes) == (whole.memory_bytes, whole.on_chip_bytes)


@pytest.mark.parametrize(
    ("name", "operations_per_cycle"),
    [("v4", 4 * 128**2 * 2), ("v5e", 4 * 128**2 * 2), ("v5p", 2 * 4 * 128**2 * 2), ("v6e", 4 * 4 * 128**2 * 2)],
)
def test_clocks_are_the_peak_over_the_operations_of_a_cycle(name: str, operations_per_cycle: int) -> None:
    known = CHIPS[name]
    assert known.clock_hz == pytest.approx(known.peak_flops["bfloat16"] / operations_per_cycle, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "version", "cores"), [("v4", "v4", 1), ("v5e", "v5e", 1), ("v5p", "v5p", 2), ("v6e", "v6e", 1)]
)
def test_figures_are_close_to_those_of_jax(name: str, version: str, cores: int) -> None:
    tpu_info = pytest.importorskip("jax._src.pallas.mosaic.tpu_info", reason="this JAX has no table of TPUs")
    known, told = CHIPS[name], tpu_info._get_tpu_info_impl(tpu_info.ChipVersion(version), cores)
    assert known.peak_flops["bfloat16"] == pytest.approx(cores * told.bf16_ops_per_second, rel=0.01)
    on_die = cores * (told.vmem_capacity_bytes + told.cmem_capacity_bytes)
    assert known.on_chip_bytes == pytest.approx(on_die, rel=0.01)
    # JAX rounds v5p's bandwidth down, and counts its memory in other units.
    assert known.bandwidth == pytest.approx(cores * told.mem_bw_bytes_per_second, rel=0.13)
    assert known.memory_bytes == pytest.approx(cores * told.hbm_capacity_bytes, rel=0.09)


def test_pci_ids_of_tpus_are_those_of_jax() -> None:
    utils = pytest.importorskip("jax._src.hardware_utils", reason="this JAX has no table of TPUs")
    told = {number: version.name for number, version in utils._TPU_PCI_DEVICE_IDS.items()}
    ours = {number: each.name for number in told if (each := chip(number)) is not None}
    assert ours == {"0x005e": "v4-chip", "0x0062": "v5p", "0x0063": "v5e", "0x006f": "v6e"}
    assert all(name.startswith(told[number]) for number, name in ours.items())
