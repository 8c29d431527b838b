"""How long a command takes to say its help, beside other tools' commands on the same machine.

Each is a fresh process of this interpreter: an empty program, `stillhouse --help`, a command that asks a service which
is not there, and the help of Optuna and MLflow where they are installed. The sides take turns; medians with quartiles.
The bound is 0.3 s for `stillhouse --help`.

    python benchmarks/command_start.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

from cells.turns import compare

BOUND_S = 0.3
SIDES = {
    "stillhouse --help": ("-m", "cli.main", "--help"),
    "an empty program": ("-c", "pass"),
    "stillhouse study list, nobody there": ("-m", "cli.main", "study", "list", "--url", "http://127.0.0.1:1"),
    "optuna --help": ("-m", "optuna.cli", "--help"),
    "mlflow --help": ("-m", "mlflow.cli", "--help"),
}


def side(arguments: tuple[str, ...], taken: list[float]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
        taken.append(time.perf_counter() - start)
        return taken[-1]

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="two rounds, to see that it runs")
    options = parser.parse_args()
    found = {name: each for name, each in SIDES.items() if each[0] == "-c" or find_spec(each[1].split(".")[0])}
    taken: dict[str, list[float]] = {name: [] for name in found}
    compare(
        {name: side(arguments, taken[name]) for name, arguments in found.items()},
        rounds=2 if options.quick else options.rounds,
        unit="ms",
    )
    middle_s = sorted(taken["stillhouse --help"])[len(taken["stillhouse --help"]) // 2]
    print(f"\nstillhouse --help: {middle_s:.2f} s, {'within' if middle_s <= BOUND_S else 'beyond'} {BOUND_S} s")


if __name__ == "__main__":
    main()
