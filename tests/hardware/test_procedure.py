"""Real measurements of tiny architectures."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

import hardware.isolation
from encoders.values import Head
from hardware.backend import supports
from hardware.cores import available_cores
from hardware.environment import environment, hardware_key
from hardware.errors import MeasurementError, OutOfMemoryError, UnsupportedProfileError
from hardware.lock import DIRECTORY_VARIABLE
from hardware.plan import PLANS, rules_of
from hardware.procedure import MOST_OVERTIME_S, alone, limit_of, measure
from hardware.values import Device, DeviceProfile, Effort, QuantileName, Runtime, Source, Verdict
from search_space import Architecture

TINY = Architecture(vocabulary_size=100, layers=1, hidden_size=32, heads=2, head_size=16, ffn_size=64, max_positions=32)
HEAD = Head(classes=2)
PROFILE = DeviceProfile(length=16)
NOON = datetime(2025, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(autouse=True, scope="module")
def own_locks_and_no_server_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DIRECTORY_VARIABLE, str(tmp_path_factory.mktemp("locks")))
        yield
        hardware.isolation.close()


@pytest.fixture(autouse=True)
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that runs other tests too, waiting for a quiet moment would only take longer."""
    monkeypatch.setattr("hardware.attempt.RETRIES", 0)


def test_quick_measurement_has_raw_samples_and_is_provisional() -> None:
    measurement = measure(TINY, HEAD, PROFILE, Effort.QUICK, clock=lambda: NOON)
    [samples] = measurement.samples_s
    assert len(samples) > 100
    assert sum(samples) >= 0.5
    assert measurement.verdict is Verdict.PROVISIONAL
    assert measurement.source is Source.MEASURED
    assert measurement.p50.value_s in samples
    assert measurement.p50.low_s is not None
    assert measurement.p50.low_s <= measurement.p50.value_s <= measurement.p90.value_s <= measurement.p99.value_s
    assert measurement.load_s > 0
    assert measurement.first_call_s > 0
    assert measurement.compile_s == 0
    assert measurement.peak_memory_bytes > 50_000_000
    assert measurement.log_variance >= 0.05**2
    assert measurement.hardware_key == hardware_key()
    assert measurement.measured_at == NOON.isoformat()
    assert measurement.reference_shift is None


def test_larger_architecture_is_slower_and_needs_more_memory() -> None:
    large = replace(TINY, layers=6, hidden_size=512, head_size=256, ffn_size=2048, vocabulary_size=30_000)
    small, much = (measure(shape, HEAD, PROFILE, Effort.QUICK) for shape in (TINY, large))
    assert much.p50.value_s > 3 * small.p50.value_s
    assert much.peak_memory_bytes > small.peak_memory_bytes + 4 * 30_000 * 512


def test_search_measures_three_processes_between_two_references(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = PLANS[Effort.SEARCH]
    short = replace(plan, rules=replace(plan.rules, least_s=0.2, most_s=0.5))
    monkeypatch.setitem(PLANS, Effort.SEARCH, short)
    measurement = measure(TINY, HEAD, PROFILE, Effort.SEARCH)
    assert [len(samples) >= 34 for samples in measurement.samples_s] == [True] * 3
    assert measurement.reference_shift is not None
    assert math.isfinite(measurement.reference_shift)
    assert measurement.verdict in (Verdict.STEADY, Verdict.NOISY)
    assert (measurement.verdict is Verdict.STEADY) == (not measurement.notes)


@pytest.mark.skipif(len(available_cores()) < 2, reason="needs two cores")
def test_more_threads_than_one_are_measured_too() -> None:
    measurement = measure(TINY, HEAD, replace(PROFILE, threads=2), Effort.QUICK)
    assert measurement.profile.threads == 2
    assert measurement.p50.value_s > 0


def test_device_is_held_from_the_first_round_to_the_last() -> None:
    events: list[str] = []

    @contextlib.contextmanager
    def lock(device: Device) -> Iterator[None]:
        events.append(f"{device} taken")
        yield
        events.append(f"{device} freed")

    def clock() -> datetime:
        events.append("judged")
        return NOON

    measure(TINY, HEAD, PROFILE, Effort.QUICK, lock=lock, clock=clock)
    assert events == ["cpu taken", "cpu freed", "judged"]


def test_measuring_leaves_only_the_idle_server_behind() -> None:
    measure(TINY, HEAD, PROFILE, Effort.QUICK)
    [server] = psutil.Process().children(recursive=True)
    assert "hardware.fork_server" in server.cmdline()


def test_architecture_that_does_not_fit_is_out_of_memory() -> None:
    endless = replace(TINY, vocabulary_size=1 << 45)
    with pytest.raises(OutOfMemoryError, match="can't allocate memory"):
        measure(endless, HEAD, PROFILE, Effort.QUICK)


def test_length_beyond_the_positions_is_refused_with_both_numbers() -> None:
    with pytest.raises(UnsupportedProfileError, match="length 33: the architecture has 32 positions"):
        measure(TINY, HEAD, replace(PROFILE, length=33), Effort.QUICK)


def test_profile_that_this_machine_cannot_measure_is_refused_with_the_reason() -> None:
    with pytest.raises(UnsupportedProfileError, match="1000 threads"):
        measure(TINY, HEAD, replace(PROFILE, threads=1000), Effort.QUICK)


def test_checkpoint_is_read_in_the_measuring_process(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "other"}')
    with pytest.raises(MeasurementError, match="'other' are not supported"):
        measure(TINY, HEAD, PROFILE, Effort.QUICK, checkpoint=tmp_path)


def test_model_that_cannot_be_built_is_a_measurement_error() -> None:
    impossible = Head(classes=2)
    object.__setattr__(impossible, "classes", 1)
    with pytest.raises(MeasurementError, match="classes must be at least 2"):
        measure(TINY, impossible, PROFILE, Effort.QUICK)


needs_onnx = pytest.mark.skipif(
    supports(replace(PROFILE, runtime=Runtime.ONNX)) is not None, reason="ONNX Runtime is not installed"
)
needs_jax = pytest.mark.skipif(
    supports(replace(PROFILE, runtime=Runtime.JAX)) is not None, reason="JAX is not installed"
)


@pytest.mark.slow  # ONNX Runtime itself: test_runtimes.py; between references: PyTorch, above
@needs_onnx
def test_exported_model_is_measured_between_exported_references(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = PLANS[Effort.SEARCH]
    short = replace(plan, processes=2, rules=replace(plan.rules, least_s=0.1, most_s=0.3))
    monkeypatch.setitem(PLANS, Effort.SEARCH, short)
    profile = replace(PROFILE, runtime=Runtime.ONNX)
    measurement = measure(TINY, HEAD, profile, Effort.SEARCH)
    assert len(measurement.samples_s) == 2
    assert measurement.reference_shift is not None
    assert measurement.load_s > 0
    assert "onnxruntime" in measurement.environment
    assert measurement.hardware_key == hardware_key(environment(profile)) != hardware_key()


@needs_jax
def test_compiling_ahead_of_time_is_told_apart_and_a_checkpoint_is_read(tmp_path: Path) -> None:
    from encoders.build import build
    from encoders.weights import save_weights

    model = build(TINY, HEAD, seed=7)
    model.config.save_pretrained(tmp_path)
    save_weights(model, tmp_path / "model.safetensors")
    profile = replace(PROFILE, runtime=Runtime.JAX)
    measurement = measure(TINY, HEAD, profile, Effort.QUICK, checkpoint=tmp_path)
    assert measurement.compile_s > measurement.p50.value_s
    assert "jax" in measurement.environment
    assert "torch" not in measurement.environment


@needs_jax
def test_architecture_that_does_not_fit_is_out_of_memory_for_jax_too() -> None:
    with pytest.raises(OutOfMemoryError, match="Unable to allocate"):
        measure(replace(TINY, vocabulary_size=1 << 45), HEAD, replace(PROFILE, runtime=Runtime.JAX), Effort.QUICK)


def test_an_accelerator_is_held_together_with_the_cpu_that_drives_it() -> None:
    events: list[str] = []

    @contextlib.contextmanager
    def lock(device: Device) -> Iterator[None]:
        events.append(f"{device} taken")
        yield
        events.append(f"{device} freed")

    with alone(Device.CUDA, lock):
        events.append("measured")
    assert events == ["cpu taken", "cuda taken", "measured", "cuda freed", "cpu freed"]


def test_temporary_files_of_a_measurement_are_gone_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    measure(TINY, HEAD, PROFILE, Effort.QUICK)
    assert [left for left in tmp_path.iterdir() if left.name.startswith("stillhouse-measure-")] == []


def test_slow_calls_are_no_hang_and_small_models_are_not_waited_for_longer() -> None:
    rules = rules_of(Effort.SEARCH, Device.CPU, (QuantileName.P50,))
    base = Architecture(vocabulary_size=30_522, layers=12, hidden_size=768, heads=12, head_size=64, ffn_size=3072)
    slow = replace(PROFILE, batch=32, length=384)
    # A round makes three calls at least, and this one may take half a minute.
    assert limit_of(base, slow, rules) > 60 + 3 * 30
    assert limit_of(base, slow, rules) <= 60 + 15 + MOST_OVERTIME_S
    assert limit_of(TINY, PROFILE, rules) == pytest.approx(60 + 15, abs=0.1)
