"""How a study goes on that was stopped."""

from __future__ import annotations

import shlex
from pathlib import Path


def run_command(study_file: Path, home: Path, *, again: bool) -> str:
    """The command that runs this study."""
    words = ["stillhouse", "run", str(study_file), "--home", str(home), *(["--again"] if again else [])]
    return shlex.join(words)


def stopped(study_file: Path, home: Path, *, again: bool) -> str:
    return f"stopped; nothing is lost. To continue:\n    {run_command(study_file, home, again=again)}"
