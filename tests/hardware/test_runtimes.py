"""The contract of all runtimes: the model's own numbers on the same inputs, each in a process forked for it."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encoders.build import build
from encoders.values import Head, HeadKind
from encoders.weights import save_weights
from hardware.backend import INPUTS, allowance_s, backend_module, exporter, supports
from hardware.cores import available_cores
from hardware.errors import CompilationError, MeasurementError, UnsupportedProfileError
from hardware.inputs import output_names, token_ids
from hardware.isolation import ForkServer
from hardware.procedure import Subject, readable
from hardware.round import Round, Rules
from hardware.values import Device, DeviceProfile, Dtype, Runtime
from search_space import Architecture

TINY = Architecture(vocabulary_size=50, layers=2, hidden_size=32, heads=2, head_size=16, ffn_size=64, max_positions=16)
HEAD = Head(classes=3)
QUICK = Rules(samples=20, least_s=0.02, most_s=0.5, tolerance=None, warm_least_s=0.01, warm_most_s=0.3)

COMPILED = (Runtime.TORCH_COMPILE, Runtime.CUDA_GRAPHS, Runtime.JAX)
OWN_MARKS = {Device.CPU: [], Device.CUDA: [pytest.mark.gpu], Device.TPU: [pytest.mark.tpu]}


def targets(*, slow: tuple[Runtime, ...] = ()) -> Iterator[Any]:
    """Every pair that there is a backend for; skipped with the reason where this machine lacks what it needs."""
    for device in Device:
        for runtime in Runtime:
            profile = DeviceProfile(device=device, runtime=runtime, batch=2, length=16)
            reason = supports(profile)
            if reason is None or "there is no backend" not in reason:
                marks = [*OWN_MARKS[device], pytest.mark.skipif(reason is not None, reason=str(reason))]
                marks += [pytest.mark.slow] if runtime in slow else []
                yield pytest.param(profile, id=f"{device}-{runtime}", marks=marks)


compiling_is_slow = pytest.mark.parametrize(
    "profile", list(targets(slow=(Runtime.TORCH_COMPILE,))), indirect=True, scope="module"
)
"""PyTorch compiles anew for each of these; that it compiles at all is told by the others."""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def server() -> Iterator[Callable[[DeviceProfile], ForkServer]]:
    """The server of a profile's runtime; only the last one is kept."""
    kept: dict[str, ForkServer] = {}

    def of(profile: DeviceProfile) -> ForkServer:
        module = backend_module(profile)
        if module not in kept:
            for other in kept.values():
                other.close()
            kept.clear()
            kept[module] = ForkServer((module,))
        return kept[module]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        yield of
    for each in kept.values():
        each.close()


def checkpoint_of(head: Head, folder: Path) -> Path:
    """A model of TINY on disk, with weights large enough to tell one input from another."""
    if not folder.exists():
        folder.mkdir()
        model = build(TINY, head, seed=7)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data *= 8
        model.config.save_pretrained(folder)
        save_weights(model, folder / "model.safetensors")
    return folder


def expected(head: Head, folder: Path, profile: DeviceProfile, seed: int) -> list[list[Any]]:
    from encoders.huggingface import load_pretrained

    model = load_pretrained(str(folder)).model.double()
    with torch.no_grad():
        outputs = [model(input_ids=torch.from_numpy(ids)) for ids in token_ids(TINY, profile, seed)]
    return [[output[name].numpy() for name in output_names(head)] for output in outputs]


def subject(profile: DeviceProfile, head: Head, checkpoint: Path | None, scratch: Path) -> dict[str, Any]:
    asked = Subject(architecture=TINY, head=head, seed=3, checkpoint=checkpoint)
    function = exporter(profile, checkpoint)
    folder = scratch / f"{function}-{head.kind}-{checkpoint is None}".replace(":", "-")
    request = readable(asked, profile, folder).request()
    return request | {"profile": asdict(profile), "scratch": str(scratch)}


@pytest.fixture(scope="module", params=list(targets()))
def profile(request: pytest.FixtureRequest) -> DeviceProfile:
    """Of the module's scope, so that all tests of one runtime come together and its server is started once."""
    found: DeviceProfile = request.param
    return found


class TestRuntime:
    def test_calls_give_the_models_logits_on_inputs_that_rotate(
        self, profile: DeviceProfile, server: Callable[[DeviceProfile], ForkServer], scratch: Path
    ) -> None:
        checkpoint = checkpoint_of(HEAD, scratch / "classifier")
        request = subject(profile, HEAD, checkpoint, scratch)
        told = server(profile).call("probe:answers", request, limit_s=allowance_s(profile))
        found = [np.array(outputs[0]) for outputs in told["outputs"]]
        wanted = [outputs[0] for outputs in expected(HEAD, checkpoint, profile, 3)]
        allowed = 0.1 if profile.runtime is Runtime.ONNX_INT8 else 1e-5
        size = max(np.abs(each).max() for each in wanted)
        for ours, exact in zip(found, wanted, strict=False):
            assert np.abs(ours - exact).max() <= allowed * size
        assert len({each.tobytes() for each in found[:INPUTS]}) == INPUTS
        # Of the quantised model too: the same input gives the same answer.
        assert np.allclose(found[0], found[INPUTS], rtol=1e-6)
        assert told["dtype"] == "float32"
        assert all(seconds > 0 for seconds in told["seconds"])
        assert told["load_s"] > 0
        assert (told["compile_s"] > 0) == (profile.runtime in COMPILED)
        assert (told["copy_s"] is not None) <= profile.device.is_accelerator
        if profile.device is Device.CUDA and profile.runtime in (Runtime.TORCH, Runtime.CUDA_GRAPHS):
            assert 0 < told["busy_s"] < 1
            assert told["peak"] > 0

    @compiling_is_slow
    def test_in_bfloat16_the_logits_are_bfloat16_and_near(
        self, profile: DeviceProfile, server: Callable[[DeviceProfile], ForkServer], scratch: Path
    ) -> None:
        half = replace(profile, dtype=Dtype.BFLOAT16)
        if profile.runtime in (Runtime.ONNX, Runtime.ONNX_INT8):
            assert supports(half) == f"runtime {profile.runtime} computes in float32, not in bfloat16"
            return
        checkpoint = checkpoint_of(HEAD, scratch / "classifier")
        request = subject(half, HEAD, checkpoint, scratch)
        told = server(half).call("probe:answers", request, limit_s=allowance_s(half))
        wanted = [outputs[0] for outputs in expected(HEAD, checkpoint, half, 3)]
        size = max(np.abs(each).max() for each in wanted)
        for ours, exact in zip(told["outputs"], wanted, strict=False):
            assert np.abs(np.array(ours[0]) - exact).max() <= 0.1 * size
        assert told["dtype"] == "bfloat16"

    def test_a_round_of_random_weights_tells_its_parts_apart(
        self, profile: DeviceProfile, server: Callable[[DeviceProfile], ForkServer], scratch: Path
    ) -> None:
        # What is always exported takes long, and then makes no difference between random weights and others.
        checkpoint = None if exporter(profile, None) is None else checkpoint_of(HEAD, scratch / "classifier")
        request = subject(profile, HEAD, checkpoint, scratch) | {"rules": asdict(QUICK)}
        round_ = Round(**server(profile).call("hardware.round:run", request, limit_s=allowance_s(profile)))
        assert len(round_.samples_s) >= QUICK.samples
        assert all(seconds > 0 for seconds in round_.samples_s)
        assert round_.load_s > 0
        assert round_.first_call_s > 0
        assert (round_.compile_s > 0) == (profile.runtime in COMPILED)
        assert round_.peak_memory_bytes > 10_000_000
        assert (round_.busy is None) == profile.device.is_accelerator
        assert (round_.device_peak_memory_bytes is None) >= (profile.device is Device.CPU)

    @compiling_is_slow
    @pytest.mark.skipif(len(available_cores()) < 2, reason="needs two cores")
    def test_more_threads_than_one_give_the_same_and_a_caller_that_sleeps_is_known(
        self, profile: DeviceProfile, server: Callable[[DeviceProfile], ForkServer], scratch: Path
    ) -> None:
        both = replace(profile, threads=2)
        checkpoint = checkpoint_of(HEAD, scratch / "classifier")
        request = subject(both, HEAD, checkpoint, scratch)
        one = subject(profile, HEAD, checkpoint, scratch)
        found, alone = (server(both).call("probe:answers", each, limit_s=allowance_s(both)) for each in (request, one))
        assert np.allclose(found["outputs"], alone["outputs"], rtol=1e-4, atol=1e-5)
        assert found["caller_computes"] == (not profile.device.is_accelerator and profile.runtime is not Runtime.JAX)
        assert alone["caller_computes"] == (not profile.device.is_accelerator)

    @compiling_is_slow
    def test_an_answer_of_two_parts_has_both(
        self, profile: DeviceProfile, server: Callable[[DeviceProfile], ForkServer], scratch: Path
    ) -> None:
        head = Head(kind=HeadKind.QUESTION_ANSWERING)
        checkpoint = checkpoint_of(head, scratch / "answering")
        request = subject(profile, head, checkpoint, scratch)
        told = server(profile).call("probe:answers", request, limit_s=allowance_s(profile))
        wanted = expected(head, checkpoint, profile, 3)
        allowed = 0.2 if profile.runtime is Runtime.ONNX_INT8 else 1e-5
        size = max(np.abs(each).max() for pair in wanted for each in pair)
        for ours, exact in zip(told["outputs"], wanted, strict=False):
            assert len(ours) == 2
            for one, other in zip(ours, exact, strict=True):
                assert np.abs(np.array(one) - other).max() <= allowed * size

    def test_a_checkpoint_of_another_architecture_is_refused(
        self, profile: DeviceProfile, server: Callable[[DeviceProfile], ForkServer], scratch: Path
    ) -> None:
        checkpoint = checkpoint_of(HEAD, scratch / "classifier")
        asked = Subject(architecture=replace(TINY, layers=1), head=HEAD, seed=0, checkpoint=checkpoint)

        def answers() -> None:
            request = readable(asked, profile, scratch / "never").request()
            request |= {"profile": asdict(profile), "scratch": str(scratch)}
            server(profile).call("probe:answers", request, limit_s=allowance_s(profile))

        with pytest.raises(MeasurementError, match=r"CheckpointError: .* holds .*layers=2.*not .*layers=1"):
            answers()

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
    def test_its_server_has_one_thread_and_may_fork(
        self, profile: DeviceProfile, server: Callable[[DeviceProfile], ForkServer], scratch: Path
    ) -> None:
        assert len(list(Path(f"/proc/{server(profile).pid}/task").iterdir())) == 1


def test_a_model_that_torch_cannot_compile_whole_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    server = ForkServer(("hardware.torch_compiled",))
    try:
        with pytest.raises(CompilationError, match=r"^torch\.compile does not take the model: "):
            server.call("probe:branching", {"scratch": str(tmp_path)}, limit_s=120)
    finally:
        server.close()


def test_a_model_bound_to_its_device_answers_alike_and_tells_what_a_copy_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on CUDA, with the CPU as the device."""
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    profile = DeviceProfile(runtime=Runtime.ONNX, batch=2, length=16)
    asked = Subject(architecture=TINY, head=HEAD, seed=3, checkpoint=checkpoint_of(HEAD, tmp_path / "model"))
    request = readable(asked, profile, tmp_path / "exported").request() | {"profile": asdict(profile)}
    server = ForkServer(("hardware.onnx_session",))
    try:
        told = server.call("probe:bound", request, limit_s=60)
    finally:
        server.close()
    assert np.array_equal(told["bound"], told["plain"])
    assert 0 < told["copy_s"] < 1


def test_a_file_that_onnx_runtime_cannot_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    (tmp_path / "model.onnx").write_text("no model")
    asked = Subject(architecture=TINY, head=HEAD, seed=0, checkpoint=tmp_path).request()
    server = ForkServer(("hardware.onnx_session",))
    request = asked | {"profile": asdict(DeviceProfile(runtime=Runtime.ONNX)), "scratch": str(tmp_path)}
    try:
        with pytest.raises(CompilationError, match=r"^ONNX Runtime does not take the model: "):
            server.call("probe:answers", request, limit_s=60)
    finally:
        server.close()


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
def test_cuda_that_does_not_start_is_an_unsupported_profile(tmp_path: Path) -> None:
    server = ForkServer(("hardware.torch_eager",))
    asked = Subject(architecture=TINY, head=HEAD, seed=0).request()
    profile = asdict(DeviceProfile(device=Device.CUDA))
    request = {"profile": profile, "rules": asdict(QUICK), "scratch": str(tmp_path)}
    try:
        with pytest.raises(UnsupportedProfileError, match=r"^PyTorch does not start on CUDA: "):
            server.call("hardware.round:run", asked | request, limit_s=60)
    finally:
        server.close()
