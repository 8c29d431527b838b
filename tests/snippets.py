"""The fenced blocks of README.md and docs/, and what each is."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = ("stillhouse", "make", "git", "source", "export", "docker", "curl", "cp", "python")
LANGUAGES = {"py": "python", "console": "sh", "bash": "sh", "shell": "sh", "yml": "yaml"}


@dataclass(frozen=True)
class Block:
    """A fenced block; it is named by its page and its first line, which stay when others come and go."""

    page: str
    language: str
    text: str

    @property
    def head(self) -> str:
        return self.text.strip().split("\n")[0].strip()

    def __str__(self) -> str:
        return f"{self.page}: {self.head[:60]}"


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str | None = None) -> list[Block]:
    """In the order of the pages; a block without a language is `sh` if it begins with a command, else `text`."""
    found = []
    for page in pages():
        for named, text in FENCE.findall(page.read_text()):
            first = text.strip().split(" ")[0]
            kind = LANGUAGES.get(named, named) or ("sh" if first in COMMANDS else "text")
            found.append(Block(str(page.relative_to(ROOT)), kind, text))
    return [block for block in found if language in (None, block.language)]


def commands(text: str) -> list[list[str]]:
    """The commands of a block, as words: without prompts, comments, and the & of what runs beside."""
    lines = text.replace("\\\n", " ").split("\n")
    split = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [words[:-1] if words[-1] == "&" else words for words in split if words]
