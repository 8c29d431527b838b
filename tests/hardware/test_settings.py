"""What of the environment reaches a measuring process."""

from collections.abc import Iterator

import pytest

from hardware.environment import environment, hardware_key
from hardware.isolation import ForkServer
from hardware.settings import passed_on, stamped


@pytest.mark.parametrize(
    "name",
    [
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
        "NVIDIA_TF32_OVERRIDE",
        "ONEDNN_DEFAULT_FPMATH_MODE",
        "XLA_FLAGS",
        "JAX_DEFAULT_MATMUL_PRECISION",
        "OMP_WAIT_POLICY",
        "MKL_ENABLE_INSTRUCTIONS",
        "CUDA_LAUNCH_BLOCKING",
        "TORCHINDUCTOR_MAX_AUTOTUNE",
    ],
)
def test_what_a_runtime_would_compute_otherwise_for_is_kept_away(name: str) -> None:
    assert passed_on({name: "1", "PATH": "/bin"}) == {"PATH": "/bin"}
    assert stamped({name: "1"}) == {}


@pytest.mark.parametrize(
    "name", ["HOME", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "CXX", "HF_HOME", "TPU_VISIBLE_DEVICES"]
)
def test_where_things_are_found_is_passed_on(name: str) -> None:
    assert passed_on({name: "x"}) == {name: "x"}
    assert stamped({name: "x"}) == {}


def test_what_reaches_a_process_and_may_change_its_pace_makes_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passed_on({"MALLOC_ARENA_MAX": "1"}) == {"MALLOC_ARENA_MAX": "1"}
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    before = hardware_key()
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    assert environment()["MALLOC_ARENA_MAX"] == "1"
    assert hardware_key() != before


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    """Started where somebody has set what makes float32 less, and what XLA does not know."""
    monkeypatch.setenv("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "1")
    monkeypatch.setenv("XLA_FLAGS", "--xla_there_is_no_such_flag=1")
    server = ForkServer(())
    yield server
    server.close()


def test_float32_is_float32_whatever_is_set(server: ForkServer) -> None:
    told = server.call("builtins:eval", "__import__('torch').get_float32_matmul_precision()", limit_s=60)
    assert told == "highest"


def test_options_of_xla_do_not_reach_it(server: ForkServer) -> None:
    pytest.importorskip("jax")
    expression = "__import__('jax').config.update('jax_platforms', 'cpu') or float(__import__('jax').numpy.ones(()))"
    assert server.call("builtins:eval", expression, limit_s=60) == 1.0
