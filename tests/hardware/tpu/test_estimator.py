"""Estimates for chips that are not there."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

import hardware.isolation
import hardware.sources as sources
from encoders.values import Head
from hardware.backend import supports
from hardware.chips import CHIPS
from hardware.errors import BusyError, HangError, MeasurementError, OutOfMemoryError, UnsupportedProfileError
from hardware.lock import DIRECTORY_VARIABLE, measuring
from hardware.procedure import measure
from hardware.roofline import Bound, lower_bound
from hardware.sources import fingerprint
from hardware.tpu.estimator import (
    FOLDER_VARIABLE,
    LIMIT_S,
    SOURCES,
    _explained,
    default_folder,
    estimate,
    estimator_key,
    priced,
)
from hardware.tpu.schedule import Schedule
from hardware.tpu.targets import TARGETS, not_estimable
from hardware.values import Device, DeviceProfile, Dtype, Effort, Measurement, Runtime, Source, Verdict
from search_space import Architecture

HEAD = Head(classes=2)
TINY = Architecture(vocabulary_size=64, layers=1, hidden_size=128, heads=1, head_size=128, ffn_size=256)
V5E = DeviceProfile(device=Device.TPU, runtime=Runtime.JAX, dtype=Dtype.BFLOAT16, length=32, chip="v5e")
NOON = datetime(2025, 1, 2, 12, tzinfo=UTC)

needs_libtpu = pytest.mark.skipif(
    sys.platform != "linux" or find_spec("libtpu") is None, reason="needs libtpu, the TPU compiler, which is not here"
)


@pytest.fixture(autouse=True, scope="module")
def no_server_left() -> Iterator[None]:
    """Locks are the machine's: other tests of libtpu, and workers, must wait for these, and these for them."""
    yield
    hardware.isolation.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of estimates, shared by all tests."""
    return tmp_path_factory.mktemp("estimates")


def estimated(folder: Path, architecture: Architecture = TINY, profile: DeviceProfile = V5E) -> Measurement:
    return estimate(architecture, HEAD, profile, folder=folder, clock=lambda: NOON)


@contextmanager
def nobody(device: Device) -> Iterator[None]:
    raise AssertionError(f"nothing should be computed on {device}")
    yield


@needs_libtpu
def test_an_estimate_is_never_a_measurement(folder: Path) -> None:
    found = estimated(folder)
    assert (found.source, found.verdict) == (Source.COMPILER, Verdict.ESTIMATED)
    assert found.samples_s == []
    assert found.p50 == found.p90 == found.p99
    assert (found.p50.low_s, found.p50.high_s) == (None, None)
    assert 1e-6 < found.p50.value_s < 1e-3
    assert found.throughput_per_s == pytest.approx(1 / found.p50.value_s)
    assert found.log_variance == 0
    assert found.compile_s > 0
    assert found.device_peak_memory_bytes > 2 * 300_000
    assert found.bound_s <= found.p50.value_s
    assert found.measured_at == NOON.isoformat()
    assert found.environment["chip"] == "TPU v5e, one chip"
    assert found.environment["libtpu"]
    assert found.hardware_key == estimator_key("v5e")
    cycles, coverage, least = found.notes
    assert "not measured" in cycles
    assert "cycles at 1.5 GHz" in cycles
    assert "computing instructions carry an estimate" in coverage
    assert least.startswith("at least ")


@needs_libtpu
def test_a_compilation_shares_the_cpu_before_it_takes_the_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would disturb what is measured on the CPU meanwhile, or wait for that with the compiler in its hands."""
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "locks"))

    def measured() -> None:
        with measuring(Device.CPU, wait=False):
            pass

    @contextmanager
    def seen(device: Device) -> Iterator[None]:
        assert device is Device.TPU
        with ThreadPoolExecutor(1) as pool:
            pool.submit(measured).result()
        yield

    with pytest.raises(BusyError, match="something of ours computes or measures on cpu"):
        estimate(TINY, HEAD, V5E, folder=tmp_path / "estimates", lock=seen)


@needs_libtpu
def test_another_encoder_is_compiled_again_under_another_key(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = estimated(folder)
    for name in SOURCES:
        file = Path(*name.split(".")).with_suffix(".py")
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text((sources.ROOT / file).read_text(encoding="utf-8"), encoding="utf-8")
    try:
        monkeypatch.setattr("hardware.sources.ROOT", tmp_path)
        fingerprint.cache_clear()
        assert estimate(TINY, HEAD, V5E, folder=folder, lock=nobody).hardware_key == first.hardware_key
        (tmp_path / "encoders" / "jax_encoder.py").write_text("OTHER = 1\n", encoding="utf-8")
        fingerprint.cache_clear()
        with pytest.raises(AssertionError, match="nothing should be computed"):
            estimate(TINY, HEAD, V5E, folder=folder, lock=nobody)
        assert fingerprint(*SOURCES) != first.environment["encoder"]
    finally:
        fingerprint.cache_clear()


@needs_libtpu
def test_what_is_kept_is_what_was_compiled(folder: Path, tmp_path: Path) -> None:
    first = estimated(folder)
    kept = estimate(TINY, HEAD, V5E, folder=folder, lock=nobody, clock=lambda: NOON)
    assert kept == first
    again = estimated(tmp_path)
    assert replace(again, compile_s=0.0) == replace(first, compile_s=0.0)


@needs_libtpu
def test_options_of_the_environment_change_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = estimated(folder)
    hardware.isolation.close()
    cache = tmp_path / "compiled"
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "--xla_no_such_option=1")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/nowhere")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    again = estimated(tmp_path)
    assert replace(again, compile_s=0.0) == replace(first, compile_s=0.0)
    assert not cache.exists()
    hardware.isolation.close()


@needs_libtpu
def test_a_broken_file_is_compiled_again(folder: Path, tmp_path: Path) -> None:
    first = estimated(folder)
    [path] = [path for path in folder.iterdir() if json.loads(path.read_text())["compile_s"] == first.compile_s]
    for text in ("", "{}", "[]", path.read_text()[:-9]):
        (tmp_path / path.name).write_text(text)
        with pytest.raises(AssertionError, match="nothing should be computed"):
            estimate(TINY, HEAD, V5E, folder=tmp_path, lock=nobody)


@needs_libtpu
def test_an_estimate_that_cannot_be_kept_is_told_all_the_same(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = estimated(folder)
    file = tmp_path / "file"
    file.touch()
    found = estimated(file / "cache")
    assert found.p50 == first.p50
    assert f"{file / 'cache'} cannot be written" in caplog.text
    assert "STILLHOUSE_TPU_CACHE names another folder" in caplog.text


@needs_libtpu
def test_threads_do_not_matter_and_all_else_does(folder: Path) -> None:
    estimated(folder)
    estimate(TINY, HEAD, replace(V5E, threads=3), folder=folder, lock=nobody)
    for profile in (replace(V5E, batch=2), replace(V5E, length=33), replace(V5E, dtype=Dtype.FLOAT32)):
        with pytest.raises(AssertionError, match="nothing should be computed"):
            estimate(TINY, HEAD, profile, folder=folder, lock=nobody)
    with pytest.raises(AssertionError, match="nothing should be computed"):
        estimate(TINY, Head(classes=3), V5E, folder=folder, lock=nobody)


@needs_libtpu
def test_deeper_is_never_faster(folder: Path) -> None:
    latencies = [estimated(folder, replace(TINY, layers=layers)).p50.value_s for layers in (1, 2, 4)]
    assert latencies == sorted(latencies)
    assert latencies[2] > 1.5 * latencies[0]


@needs_libtpu
@pytest.mark.parametrize("chip", sorted(TARGETS))
def test_every_chip_is_estimated_no_faster_than_possible(folder: Path, chip: str) -> None:
    profile = replace(V5E, chip=chip)
    found = estimated(folder, profile=profile)
    assert found.p50.value_s >= lower_bound(TINY, HEAD, profile, CHIPS[chip]).seconds
    assert found.environment["chip"] == f"TPU {chip}, {CHIPS[chip].unit}"


@needs_libtpu
def test_measuring_on_a_named_chip_estimates(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    first = estimated(folder)
    assert supports(V5E) is None
    found = measure(TINY, HEAD, V5E, Effort.REPORT, lock=nobody, clock=lambda: NOON)
    assert found == replace(first, effort=Effort.REPORT)


@needs_libtpu
def test_the_text_that_jax_prints_tells_the_same(folder: Path) -> None:
    found = estimated(folder)
    code = f"""
import os, re
os.environ |= {{"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1"}}
import jax
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding
from encoders.values import Head
from hardware.tpu.compiler import _program
from hardware.tpu.schedule import schedule
device = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices[0]
request = dict(
    architecture={TINY.to_dict()!r},
    head={{"classes": 2}},
    profile={{"device": "tpu", "runtime": "jax", "dtype": "bfloat16", "length": 32}},
)
encode, shapes = _program(request, SingleDeviceSharding(device))
print("cycles", schedule(jax.jit(encode).lower(*shapes).compile().as_text()).cycles)
"""
    with measuring(Device.TPU):
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=LIMIT_S
        )
    assert f"{int(ended.stdout.split('cycles ')[1]):,} cycles" in found.notes[0]


@needs_libtpu
@pytest.mark.parametrize("dtype", list(Dtype))
def test_products_of_float32_are_as_exact_as_where_they_are_measured(tmp_path: Path, dtype: Dtype) -> None:
    request = {
        "architecture": TINY.to_dict(),
        "head": asdict(HEAD),
        "profile": asdict(replace(V5E, dtype=dtype)),
        "topology": TARGETS["v5e"].topology,
        "folder": str(tmp_path),
    }
    with measuring(Device.TPU), hardware.isolation.fork_server(("hardware.tpu.compiler",)) as server:
        server.call("hardware.tpu.compiler:compile_program", request, limit_s=LIMIT_S)
    [program] = tmp_path.glob("*jit_encode*before_optimizations.txt")
    exact = "operand_precision={highest,highest}" in program.read_text(encoding="utf-8")
    assert exact == (dtype is Dtype.FLOAT32)


@needs_libtpu
def test_a_program_too_large_for_the_chip_is_infeasible(folder: Path) -> None:
    huge = replace(TINY, vocabulary_size=30_000_000, hidden_size=1024)
    with pytest.raises(OutOfMemoryError, match="does not fit into the memory of tpu v5e"):
        estimated(folder, huge)


@needs_libtpu
def test_a_compiler_that_hangs_is_killed(tmp_path: Path) -> None:
    with pytest.raises(HangError, match=r"the TPU compiler did not end within 0\.05 s and was killed"):
        estimate(TINY, HEAD, V5E, folder=tmp_path, limit_s=0.05)
    assert not list(tmp_path.iterdir())


@needs_libtpu
def test_a_second_user_of_libtpu_is_told(tmp_path: Path) -> None:
    with measuring(Device.TPU), Path("/tmp/libtpu_lockfile").open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pytest.skip("something that is not ours uses libtpu on this machine now")
        with pytest.raises(BusyError, match="another process on this machine uses libtpu"):
            estimate(TINY, HEAD, V5E, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_compiler_that_this_machine_has_no_memory_for_says_nothing_of_the_chip() -> None:
    killed = OutOfMemoryError("a measuring process died (signal SIGKILL), most likely because memory ran out")
    explained = _explained(killed, V5E, "")
    assert type(explained) is MeasurementError
    assert "this machine's memory ran out" in str(explained)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chip": "v9"}, "knows no chip 'v9'; known are v4, v5e, v5p, v6e"),
        ({"runtime": Runtime.TORCH}, "the runtime must be jax, not torch"),
        ({"device": Device.CUDA}, r"for TPUs alone \(v4, v5e, v5p, v6e\), and the device is cuda"),
    ],
)
def test_profiles_that_cannot_be_estimated(change: dict[str, object], message: str) -> None:
    profile = replace(V5E, **change)
    with pytest.raises(UnsupportedProfileError, match=message):
        measure(TINY, HEAD, profile, Effort.SEARCH)
    with pytest.raises(UnsupportedProfileError, match=message):
        estimate(TINY, HEAD, profile)


def test_without_libtpu_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardware.tpu.targets.find_spec", lambda name: None if name == "libtpu" else find_spec(name))
    assert not_estimable(V5E) == "the TPU compiler needs libtpu; install stillhouse[tpu]"


@needs_libtpu
def test_texts_longer_than_the_positions_are_refused() -> None:
    with pytest.raises(UnsupportedProfileError, match=r"length 513.*512 positions"):
        estimate(TINY, HEAD, replace(V5E, length=513))


def test_the_folder_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_folder() == Path("/cache/stillhouse/tpu")
    monkeypatch.setenv(FOLDER_VARIABLE, "/elsewhere")
    assert default_folder() == Path("/elsewhere")


def bound(arithmetic_s: float, memory_s: float) -> Bound:
    return Bound(chip="v4", operations=1, bytes=1, arithmetic_s=arithmetic_s, memory_s=memory_s)


FOUND = Schedule(
    cycles=1_050_000, estimated=9, unestimated=1, estimated_bytes=95, unestimated_bytes=5, moved_bytes=614_000
)


def test_cycles_are_divided_by_the_clock() -> None:
    seconds, notes = priced(FOUND, CHIPS["v4"], bound(1e-4, 2e-4))
    assert seconds == pytest.approx(1e-3)
    assert notes == (
        "estimated by the TPU compiler for one core of v4, not measured: 1,050,000 cycles at 1.05 GHz are 1 ms",
        "9 of 10 computing instructions carry an estimate; they write 95.0% of the bytes",
        "at least 0.2 ms: bytes / bandwidth",
    )


@pytest.mark.parametrize(
    ("arithmetic_s", "memory_s", "moved_bytes", "expected_s", "note"),
    [
        (3e-3, 2e-3, 0, 3e-3, "at least 3 ms: operations / peak, which is taken"),
        (2e-3, 3e-3, 0, 3e-3, "at least 3 ms: bytes / bandwidth, which is taken"),
        (2e-3, 3e-3, 614e9 * 4e-3, 4e-3, "at least 4 ms: bytes copied / bandwidth, which is taken"),
    ],
)
def test_no_estimate_is_below_its_bounds(
    arithmetic_s: float, memory_s: float, moved_bytes: float, expected_s: float, note: str
) -> None:
    found = replace(FOUND, moved_bytes=int(moved_bytes))
    seconds, notes = priced(found, CHIPS["v4"], bound(arithmetic_s, memory_s))
    assert seconds == pytest.approx(expected_s)
    assert notes[2] == note


def test_a_schedule_that_is_hardly_estimated_is_no_number() -> None:
    assert priced(replace(FOUND, estimated_bytes=50, unestimated_bytes=50), CHIPS["v4"], bound(1e-4, 1e-4))
    with pytest.raises(MeasurementError, match="write 49% of the bytes alone, less than 50%"):
        priced(replace(FOUND, estimated_bytes=49, unestimated_bytes=51), CHIPS["v4"], bound(1e-4, 1e-4))


def test_without_a_clock_cycles_are_no_time() -> None:
    with pytest.raises(MeasurementError, match="the clock of T4 is not known"):
        priced(FOUND, CHIPS["T4"], bound(1, 1))
