"""Names for what modules compute."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware import sources
from hardware.backend import sources as sources_of
from hardware.environment import environment, hardware_key
from hardware.sources import bare, fingerprint
from hardware.values import DeviceProfile, Runtime

SOURCE = '''"""A module."""

WIDTH = 3
"""Its width."""


def scaled(x: float) -> float:
    """A product."""
    return WIDTH * x
'''


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"""A product."""', '"""What comes of it."""'),
        ('"""A module."""\n', ""),
        ("WIDTH * x", "WIDTH * x  # a comment"),
        ("WIDTH * x", "(WIDTH\n        * x)"),
        ("\n\n\ndef", "\n\n\n\ndef"),
    ],
)
def test_words_and_layout_change_nothing(before: str, after: str) -> None:
    assert bare(SOURCE.replace(before, after)) == bare(SOURCE)


@pytest.mark.parametrize(("before", "after"), [("WIDTH * x", "WIDTH + x"), ("WIDTH = 3", "WIDTH = 4")])
def test_code_changes_it(before: str, after: str) -> None:
    assert bare(SOURCE.replace(before, after)) != bare(SOURCE)


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the sources that are hashed, to be changed."""
    for runtime in Runtime:
        for name in sources_of(DeviceProfile(runtime=runtime)):
            file = Path(*name.split(".")).with_suffix(".py")
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_text((sources.ROOT / file).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr("hardware.sources.ROOT", tmp_path)
    fingerprint.cache_clear()
    yield tmp_path
    fingerprint.cache_clear()


def test_another_encoder_changes_the_keys_of_its_runtimes_alone(changed: Path) -> None:
    profiles = [DeviceProfile(runtime=runtime) for runtime in (Runtime.TORCH, Runtime.JAX, Runtime.ONNX)]
    before = [hardware_key(environment(profile)) for profile in profiles]
    file = changed / "encoders" / "modeling_stillhouse.py"
    file.write_text("# a comment\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    fingerprint.cache_clear()
    assert [hardware_key(environment(profile)) for profile in profiles] == before
    file.write_text(file.read_text(encoding="utf-8") + "\nSLOWER = True\n", encoding="utf-8")
    fingerprint.cache_clear()
    after = [hardware_key(environment(profile)) for profile in profiles]
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True, False]


def test_the_name_is_the_same_in_a_process_that_reads_it_again() -> None:
    name = fingerprint("encoders.jax_encoder")
    fingerprint.cache_clear()
    assert fingerprint("encoders.jax_encoder") == name
    assert len(name) == 16
