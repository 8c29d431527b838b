"""How a study, or a distillation, goes on that was stopped."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


def run_command(study_file: Path, home: Path, *, again: bool) -> str:
    """The command that runs this study."""
    words = ["stillhouse", "run", str(study_file), "--home", str(home), *(["--again"] if again else [])]
    return shlex.join(words)


def stopped(study_file: Path, home: Path, *, again: bool) -> str:
    return f"stopped; nothing is lost. To continue:\n    {run_command(study_file, home, again=again)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillOptions:
    """What `stillhouse distill` was asked for; `threads` of 0 are all cores, shared by the processes."""

    file: Path
    home: Path
    output: Path | None = None
    device: str = "cpu"
    threads: int = 0
    flash: bool = False
    processes: int = 1

    @property
    def words(self) -> list[str]:
        """The command's arguments."""
        words = ["distill", str(self.file), "--home", str(self.home)]
        words += [] if self.output is None else ["--output", str(self.output)]
        words += [] if self.device == "cpu" else ["--device", self.device]
        words += ["--threads", str(self.threads)] if self.threads else []
        words += ["--processes", str(self.processes)] if self.processes > 1 else []
        return [*words, *(["--flash"] if self.flash else [])]


def stopped_distillation(options: DistillOptions) -> str:
    return f"stopped; what was done is kept. To continue:\n    {shlex.join(['stillhouse', *options.words])}"
