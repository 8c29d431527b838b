"""The chips that can be estimated for are told without loading anything."""

from __future__ import annotations

import subprocess
import sys


def test_asking_what_can_be_estimated_loads_no_runtime_and_no_estimator() -> None:
    code = (
        "import sys, hardware.tpu.targets;"
        "print(sorted({'jax', 'torch', 'libtpu', 'hardware.environment', 'hardware.backend'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
