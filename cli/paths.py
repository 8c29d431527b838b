"""Paths as people type them."""

from __future__ import annotations

from pathlib import Path

from cli.errors import BadInputError

LONGEST_SHOWN = 60


def expanded(text: str | Path) -> Path:
    """The path, with `~` and `~name` as a shell reads them.

    Raises:
        BadInputError: nobody has this name, or the system does not look at such a path.
    """
    try:
        path = Path(text).expanduser()
        path.exists()
    except RuntimeError as error:
        raise BadInputError(f"{_shown(text)}: there is no user {Path(text).parts[0][1:]!r} on this machine") from error
    except OSError as error:
        raise BadInputError(f"{_shown(text)}: cannot be looked at: {error.strerror}") from error
    return path


def _shown(text: str | Path) -> str:
    words = str(text)
    return words if len(words) <= LONGEST_SHOWN else f"{words[: LONGEST_SHOWN - 3]}..."
