"""`python -m cli.reference PAGE` prints a page of docs/reference; that of the command if none is named."""

from __future__ import annotations

import sys

from cli.reference import PAGES


def main(arguments: list[str]) -> int:
    """The exit code: 2 where there is no such page."""
    name = arguments[0] if arguments else "cli.md"
    if len(arguments) > 1 or name not in PAGES:
        print(f"name one of the pages {', '.join(PAGES)}", file=sys.stderr)
        return 2
    print(PAGES[name](), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
