"""Which cores are chosen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hardware.cores import available_cores, core_quota, pick, with_siblings

linux = pytest.mark.skipif(sys.platform != "linux", reason="this system cannot pin a process to cores")


def topology(folder: Path, siblings: dict[int, str]) -> Path:
    for core, told in siblings.items():
        place = folder / f"cpu{core}" / "topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(told + "\n")
    return folder


def test_different_physical_cores_come_before_siblings(tmp_path: Path) -> None:
    two_with_siblings = topology(tmp_path, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"})
    assert pick(1, (0, 1, 2, 3), two_with_siblings) == (3,)
    assert pick(2, (0, 1, 2, 3), two_with_siblings) == (3, 2)
    assert pick(3, (0, 1, 2, 3), two_with_siblings) == (3, 2, 1)
    assert pick(2, (1, 3), two_with_siblings) == (3, 1)


def test_without_a_topology_every_core_is_physical(tmp_path: Path) -> None:
    assert pick(2, (0, 1, 5), tmp_path) == (5, 1)


def test_siblings_are_found_however_they_are_listed(tmp_path: Path) -> None:
    topology(tmp_path, {0: "0,4", 4: "0,4", 1: "1-2,9"})
    assert with_siblings((0,), tmp_path) == (0, 4)
    assert with_siblings((1, 4), tmp_path) == (0, 1, 2, 4, 9)
    assert with_siblings((3,), tmp_path) == (3,)


@pytest.mark.parametrize(("text", "quota"), [("150000 100000", 1.5), ("max 100000", None), ("", None)])
def test_quota_of_a_container_is_read(tmp_path: Path, text: str, quota: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert core_quota(tmp_path) == quota


def test_no_container_is_no_quota(tmp_path: Path) -> None:
    assert core_quota(tmp_path) is None


@linux
def test_pinned_process_runs_on_as_many_cores_as_threads() -> None:
    code = "import os; from hardware.cores import pin; pin(1); print(*os.sched_getaffinity(0))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [int(core) for core in answer.stdout.split()] == list(pick(1, available_cores()))
    assert len(os.sched_getaffinity(0)) == len(available_cores())
