"""Which devices are there, from files alone."""

from pathlib import Path

import pytest

from hardware import presence
from hardware.presence import no_device, tpu_chips
from hardware.values import Device


def chip(pci: Path, slot: str, vendor: str, kind: str) -> None:
    folder = pci / slot
    folder.mkdir(parents=True)
    for name, value in (("vendor", vendor), ("device", "0x0063"), ("class", kind)):
        (folder / name).write_text(f"{value}\n")


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    (tmp_path / "dev").mkdir()
    return tmp_path / "dev"


@pytest.fixture
def pci(tmp_path: Path) -> Path:
    (tmp_path / "pci").mkdir()
    return tmp_path / "pci"


@pytest.fixture(autouse=True)
def all_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_a_cpu_is_always_there(dev: Path, pci: Path) -> None:
    assert no_device(Device.CPU, dev, pci) is None


def test_a_gpu_is_there_with_its_driver(dev: Path, pci: Path) -> None:
    (dev / "nvidiactl").touch()
    reason = no_device(Device.CUDA, dev, pci)
    assert reason is not None
    assert f"no {dev}/nvidia0" in reason
    (dev / "nvidia0").touch()
    assert no_device(Device.CUDA, dev, pci) is None


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_hidden_gpu_is_not_there(dev: Path, pci: Path, monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    (dev / "nvidia0").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert no_device(Device.CUDA, dev, pci) == "there is no GPU: CUDA_VISIBLE_DEVICES hides all of them"


def test_a_tpu_has_a_device_of_its_own_or_one_of_its_maker_for_users(dev: Path, pci: Path) -> None:
    (dev / "vfio").mkdir()
    (dev / "vfio" / "0").touch()
    chip(pci, "0000:00:05.0", "0x8086", "0x120000")
    reason = no_device(Device.TPU, dev, pci)
    assert reason is not None
    assert "there is no TPU" in reason
    chip(pci, "0000:00:06.0", presence.GOOGLE, "0x120000")
    assert no_device(Device.TPU, dev, pci) is None
    (dev / "accel0").touch()
    assert no_device(Device.TPU, dev, pci / "none") is None


def test_a_network_card_of_the_same_maker_is_no_chip(pci: Path) -> None:
    chip(pci, "0000:00:04.0", presence.GOOGLE, "0x020000")
    assert tpu_chips(pci) == ()
    chip(pci, "0000:00:05.0", presence.GOOGLE, "0x120000")
    chip(pci, "0000:00:06.0", presence.GOOGLE, "0xff0000")
    assert tpu_chips(pci) == ("0x0063", "0x0063")


def test_a_compiler_is_the_one_that_is_named_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "my-c++"
    named.touch(mode=0o755)
    monkeypatch.setenv("CXX", str(named))
    assert presence.compiler() == str(named)
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert presence.compiler() is None
    assert "needs a C++ compiler" in str(presence.no_compiler())
