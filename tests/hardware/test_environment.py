"""The stamp of a machine."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version

from hardware.environment import environment, hardware_key


def test_stamp_names_what_a_latency_depends_on() -> None:
    stamp = environment()
    assert stamp["logical_cores"] == str(os.cpu_count())
    assert stamp["torch"] == version("torch")
    assert stamp["python"].endswith(platform.python_version())
    assert stamp["cpu"]
    assert all(stamp.values())


def test_key_is_the_same_in_another_process() -> None:
    code = "from hardware.environment import hardware_key; print(hardware_key())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == hardware_key()


def test_key_changes_with_any_part_of_the_stamp() -> None:
    stamp = environment()
    keys = {hardware_key(stamp | {name: "other"}) for name in stamp}
    assert len(keys | {hardware_key(stamp)}) == len(stamp) + 1
    assert hardware_key(dict(reversed(stamp.items()))) == hardware_key(stamp)


def test_two_machines_of_one_kind_share_a_key() -> None:
    assert platform.node() not in environment().values()
