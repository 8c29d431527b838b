"""What can be measured, and the backends' contract."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from encoders.errors import CheckpointError
from encoders.values import Head
from hardware.backend import INPUTS, WallClock, supports
from hardware.cores import available_cores
from hardware.values import Device, DeviceProfile, Dtype, Runtime
from search_space import Architecture

TINY = Architecture(vocabulary_size=50, layers=1, hidden_size=16, heads=2, head_size=8, ffn_size=32, max_positions=16)


def test_profile_of_this_machine_is_supported() -> None:
    assert supports(DeviceProfile(threads=len(available_cores()))) is None


def test_more_threads_than_cores_are_refused_with_both_numbers() -> None:
    cores = len(available_cores())
    reason = supports(DeviceProfile(threads=cores + 1))
    assert reason is not None
    assert f"{cores + 1} threads" in reason
    assert f"{cores} cores" in reason


def test_asking_what_is_supported_loads_no_runtime() -> None:
    code = (
        "import sys; from hardware.backend import supports; from hardware.values import DeviceProfile;"
        "import hardware.procedure; assert supports(DeviceProfile()) is None; print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_asking_of_every_runtime_and_for_every_stamp_loads_none() -> None:
    code = (
        "import sys, itertools\n"
        "from hardware.backend import supports\n"
        "from hardware.environment import environment\n"
        "from hardware.values import Device, DeviceProfile, Runtime\n"
        "for device, runtime in itertools.product(Device, Runtime):\n"
        "    supports(DeviceProfile(device=device, runtime=runtime))\n"
        "    environment(DeviceProfile(device=device, runtime=runtime))\n"
        "print(sorted({'torch', 'jax', 'onnxruntime', 'onnx', 'libtpu'} & sys.modules.keys()))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (
            DeviceProfile(device=Device.TPU, runtime=Runtime.TORCH),
            "no backend for runtime torch on device tpu; there are jax",
        ),
        (DeviceProfile(runtime=Runtime.CUDA_GRAPHS), "no backend for runtime cuda_graphs on device cpu"),
        (DeviceProfile(device=Device.TPU, runtime=Runtime.JAX, chip="v9"), "v9"),
        (DeviceProfile(runtime=Runtime.ONNX, dtype=Dtype.BFLOAT16), "onnx computes in float32, not in bfloat16"),
    ],
)
def test_what_cannot_be_measured_anywhere_is_refused_with_the_reason(profile: DeviceProfile, words: str) -> None:
    assert re.search(words, str(supports(profile)))


@pytest.mark.parametrize("runtime", [Runtime.TORCH, Runtime.TORCH_COMPILE, Runtime.CUDA_GRAPHS, Runtime.JAX])
def test_an_absent_device_is_named(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert supports(DeviceProfile(device=Device.CUDA, runtime=runtime)) == (
        "there is no GPU: CUDA_VISIBLE_DEVICES hides all of them"
    )


@pytest.mark.parametrize("dtype", list(Dtype))
def test_torch_call_runs_the_model_on_rotating_inputs(dtype: Dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from encoders.modeling_stillhouse import StillhouseForSequenceClassification
    from hardware.torch_eager import BACKEND

    seen: list[torch.Tensor] = []
    forward = StillhouseForSequenceClassification.forward

    def watched(self: StillhouseForSequenceClassification, *args: object, **kwargs: object) -> object:
        output = forward(self, *args, **kwargs)
        assert torch.is_inference_mode_enabled()
        assert not self.training
        assert output.logits.dtype == getattr(torch, dtype.value)
        assert kwargs["attention_mask"].all()
        seen.append(kwargs["input_ids"])
        return output

    monkeypatch.setattr(StillhouseForSequenceClassification, "forward", watched)
    threads = torch.get_num_threads()
    try:
        prepared = BACKEND.prepare(TINY, Head(classes=3), DeviceProfile(batch=2, length=16, dtype=dtype), seed=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    for _ in range(INPUTS + 1):
        assert prepared.stopwatch.seconds(prepared.call) > 0
    assert all(ids.shape == (2, 16) and ids.max() < 50 for ids in seen)
    assert len({tuple(ids.flatten().tolist()) for ids in seen}) == INPUTS
    assert torch.equal(seen[0], seen[INPUTS])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A model of TINY on disk, as exports hold it."""
    from encoders.build import build
    from encoders.weights import save_weights

    model = build(TINY, Head(classes=3), seed=7)
    model.config.save_pretrained(tmp_path)
    save_weights(model, tmp_path / "model.safetensors")
    return tmp_path


def test_torch_runs_the_weights_of_a_checkpoint(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from encoders.build import build
    from encoders.modeling_stillhouse import StillhouseForSequenceClassification
    from hardware.torch_eager import BACKEND

    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    forward = StillhouseForSequenceClassification.forward

    def watched(self: StillhouseForSequenceClassification, *args: object, **kwargs: object) -> object:
        output = forward(self, *args, **kwargs)
        seen.append((kwargs["input_ids"], output.logits))
        return output

    threads = torch.get_num_threads()
    try:
        prepared = BACKEND.prepare(TINY, Head(classes=3), DeviceProfile(length=16), seed=1, checkpoint=checkpoint)
    finally:
        torch.set_num_threads(threads)
    with monkeypatch.context() as patch:
        patch.setattr(StillhouseForSequenceClassification, "forward", watched)
        prepared.call()
    [(ids, logits)] = seen
    assert torch.equal(build(TINY, Head(classes=3), seed=7)(input_ids=ids).logits, logits)


def test_torch_refuses_a_checkpoint_of_another_architecture(checkpoint: Path) -> None:
    from hardware.torch_eager import BACKEND

    other = replace(TINY, layers=2)
    with pytest.raises(CheckpointError, match=r"holds .*layers=1.*not .*layers=2"):
        BACKEND.prepare(other, Head(classes=3), DeviceProfile(length=16), seed=1, checkpoint=checkpoint)


def test_wall_clock_times_one_call() -> None:
    calls = []
    assert 0 < WallClock().seconds(lambda: calls.append(sum(range(1000)))) < 1
    assert len(calls) == 1
