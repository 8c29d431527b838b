"""How long a new user takes from an empty folder to the best student under a bound, loaded in a script of theirs.

What docs/tutorial.md says is done word for word, in a clone of its own with an environment of its own: the clone, `make
demo` with its installation, `stillhouse front` under the bound, and the script that loads the student and classifies a
sentence. Reading is not timed; the machine must be quiet, and have a network for the packages.

    python benchmarks/new_user.py [--repository URL] [--folder EMPTY] [--bound "1 ms"]
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cells.numbers import table

HERE = Path(__file__).resolve().parents[1]
ADDRESS = "http://127.0.0.1:8787"
SCRIPT = """
from client import Client

classify = Client("{address}").studies.get("demo").best(latency="{bound}").pipeline()
print(classify("Compute the eigenvalues of a symmetric matrix."))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", default=str(HERE))
    parser.add_argument("--folder", type=Path, help="for the clone; else a temporary one")
    parser.add_argument("--bound", default="1 ms")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        walk(options.repository, options.folder or Path(scratch) / "stillhouse", options.bound)


def walk(repository: str, clone: Path, bound: str) -> None:
    seconds: dict[str, float] = {}
    bin_ = clone / ".venv" / "bin"
    with timed(seconds, "git clone"):
        run(["git", "clone", "--quiet", repository, str(clone)], Path.cwd())
    with timed(seconds, "make demo, with the installation"):
        run(["make", "demo"], clone)
    with timed(seconds, "stillhouse serve, until it answers"):
        service = subprocess.Popen([bin_ / "stillhouse", "serve"], cwd=clone, stdout=subprocess.DEVNULL)
        until_it_answers(bin_, clone)
    try:
        with timed(seconds, f"stillhouse front demo, within {bound}"):
            run([bin_ / "stillhouse", "front", "demo", "--constraint", f"latency_p50 <= {bound}"], clone)
        with timed(seconds, "the script that loads the best of them and asks it"):
            run([bin_ / "python", "-c", SCRIPT.format(address=ADDRESS, bound=bound)], clone)
    finally:
        service.terminate()
        service.wait(timeout=60)
    print(
        f"\n{datetime.now(UTC):%Y-%m-%d}; {os.cpu_count()} cores of {platform.machine()}, {platform.platform()}, ",
        end="",
    )
    print(f"Python {platform.python_version()}\n")
    rows = [[name, f"{taken:.1f}"] for name, taken in seconds.items()]
    print(table(["step", "s"], [*rows, ["in all", f"{sum(seconds.values()):.1f}"]]))


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    begin_s = time.monotonic()
    yield
    seconds[name] = time.monotonic() - begin_s


def run(command: list[str | Path], folder: Path) -> None:
    """Raises: SystemExit: the step failed, and with it the walk."""
    if code := subprocess.run(command, cwd=folder, env=without_this_environment()).returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {code}")


def until_it_answers(bin_: Path, clone: Path) -> None:
    asked = [str(bin_ / "stillhouse"), "study", "list"]
    for _ in range(60):
        if subprocess.run(asked, cwd=clone, env=without_this_environment(), capture_output=True).returncode == 0:
            return
        time.sleep(0.2)
    sys.exit("the service does not answer")


def without_this_environment() -> dict[str, str]:
    """What a new user's shell has: nothing of the environment that this script runs in."""
    own = {"PYTHONPATH", "VIRTUAL_ENV", "STILLHOUSE_HOME", "STILLHOUSE_DATABASE_URL"}
    return {name: value for name, value in os.environ.items() if name not in own}


if __name__ == "__main__":
    main()
