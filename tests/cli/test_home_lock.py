"""One run per home."""

import os
import subprocess
import sys
import textwrap

import pytest

from cli.errors import BadInputError
from cli.home_lock import home_lock


def test_a_second_run_in_the_same_home_is_refused_while_the_first_is_alive(tmp_path):
    refused = pytest.raises(BadInputError, match=f"process {os.getpid()}")
    with home_lock(tmp_path / "home"), refused, home_lock(tmp_path / "home"):
        pass


def test_homes_are_independent_and_free_again_afterwards(tmp_path):
    with home_lock(tmp_path / "one"), home_lock(tmp_path / "two"):
        pass
    with home_lock(tmp_path / "one"):
        pass


def test_a_run_waits_for_the_children_of_one_that_was_killed(tmp_path):
    # The child, which has inherited the lock, ends when its stdin does.
    script = textwrap.dedent(
        f"""
        import os, subprocess, sys
        from pathlib import Path
        from cli.home_lock import home_lock
        with home_lock(Path({str(tmp_path)!r})) as lock:
            subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], pass_fds=(lock,))
            os._exit(0)
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        process.wait(timeout=20)
        pauses = []

        def pause(seconds):
            pauses.append(seconds)
            if len(pauses) == 3:
                process.stdin.close()
            subprocess.run(["true"], check=True)

        with home_lock(tmp_path, pause=pause):
            assert len(pauses) >= 3


def test_a_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="--home"), home_lock(tmp_path / "file" / "home"):
        pass


def test_a_home_on_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    for call in ("pwrite", "ftruncate", "open"):
        monkeypatch.setattr(os, call, full)
        with pytest.raises(BadInputError, match="No space left on device"), home_lock(tmp_path):
            pass
        monkeypatch.undo()
    with home_lock(tmp_path):
        pass
