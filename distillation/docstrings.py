"""The embedded dataset: from which package does a docstring's first paragraph come?

Real text that needs no download. The packages' sources are parsed, never imported. Which texts there are depends on the
installed versions alone: the files of a package are read in the order of a hash of their names, until there are enough.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import inspect
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from distillation.errors import DataError
from distillation.splits import text_hash

# The alternatives are what a package calls itself; short ones count only as whole words.
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "ax": ("ax",),
    "botorch": ("botorch",),
    "jax": ("jax", "jnp"),
    "networkx": ("networkx", "nx"),
    "numpy": ("numpy", "np"),
    "pandas": ("pandas", "pd"),
    "plotly": ("plotly",),
    "scipy": ("scipy",),
    "sklearn": ("scikit-learn", "scikit learn", "sklearn"),
    "sqlalchemy": ("sqlalchemy",),
    "sympy": ("sympy",),
    "torch": ("pytorch", "torch"),
    "transformers": ("transformers", "hugging face", "huggingface"),
}
"""The classes, and the names that are masked in each one's texts."""

MASK = "[MASK]"
SHORTEST, LONGEST = 30, 300
"""Characters of a text, white space normalised and names masked."""
MOST_PER_CLASS = 1400
FEWEST_CLASSES = 3
ENOUGH = 1.1
"""Texts gathered per text kept: some turn out to be another package's as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Docstrings:
    """Texts with the name of their package, in no meaningful order; `missing` packages are not installed."""

    texts: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]


def harvest(
    packages: Mapping[str, tuple[str, ...]] = PACKAGES,
    *,
    most_per_class: int = MOST_PER_CLASS,
    on_package: Callable[[str], None] | None = None,
) -> Docstrings:
    """Gathers the texts. A text that two packages share is nobody's.

    Raises:
        DataError: fewer than three of the packages are installed.
    """
    folders = {name: _folder(name) for name in packages}
    missing = tuple(name for name, folder in folders.items() if folder is None)
    if len(packages) - len(missing) < FEWEST_CLASSES:
        raise DataError(
            f"task.dataset: docstrings needs at least {FEWEST_CLASSES} of these packages installed:"
            f" {', '.join(packages)}; missing are {', '.join(missing)}"
        )
    gathered: dict[str, list[str]] = {}
    for name, folder in folders.items():
        if folder is not None:
            if on_package is not None:
                on_package(name)
            gathered[name] = _texts_of(folder, masker(packages[name]), int(most_per_class * ENOUGH))
    owners = Counter(text for texts in gathered.values() for text in texts)
    kept = {
        name: sorted((text for text in texts if owners[text] == 1), key=lambda text: text_hash((text,)))
        for name, texts in gathered.items()
    }
    pairs = tuple((text, name) for name, texts in kept.items() for text in texts[:most_per_class])
    return Docstrings(texts=pairs, missing=missing)


def versions(packages: Mapping[str, tuple[str, ...]] = PACKAGES) -> dict[str, str]:
    """The installed version of each package there is: what the harvest depends on."""
    distributions = importlib.metadata.packages_distributions()
    return {
        name: importlib.metadata.version(distributions[name][0])
        for name in sorted(packages)
        if name in distributions and _folder(name) is not None
    }


def masker(names: tuple[str, ...]) -> Callable[[str], str]:
    """Replaces a package's names, whatever their case, also inside longer words (`TorchScript`).

    Names of up to three letters are replaced only where no letter touches them: "ax" is also in "max".
    """
    patterns = [
        rf"(?<![^\W\d_]){re.escape(name)}(?![^\W\d_])" if len(name) <= 3 else re.escape(name)
        for name in sorted(names, key=len, reverse=True)
    ]
    expression = re.compile("|".join(patterns), re.IGNORECASE)
    return lambda text: expression.sub(MASK, text)


def first_paragraph(docstring: str) -> str:
    """Up to the first empty line, on one line; empty for examples and directives."""
    paragraph = re.split(r"\n\s*\n", inspect.cleandoc(docstring).strip(), maxsplit=1)[0]
    return "" if paragraph.startswith((">>>", "..")) else " ".join(paragraph.split())


def docstrings_of(source: str) -> Iterator[str]:
    """The docstrings of a module and of all classes and functions in it, in their order.

    Raises:
        SyntaxError, ValueError: not Python.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in somebody else's strings
        tree = ast.parse(source)
    yield from _walk(tree)


def _walk(node: ast.AST) -> Iterator[str]:
    # Statements only: expressions are most of a tree, and hold no docstrings.
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        docstring = ast.get_docstring(node, clean=False)
        if docstring:
            yield docstring
    for field in ("body", "orelse", "handlers", "finalbody"):
        children = getattr(node, field, None)
        for child in children if isinstance(children, list) else ():
            if isinstance(child, ast.stmt | ast.ExceptHandler):
                yield from _walk(child)


def _texts_of(folder: Path, mask: Callable[[str], str], enough: int) -> list[str]:
    found: dict[str, None] = {}
    for path in _sources(folder):
        try:
            docstrings = list(docstrings_of(path.read_text(encoding="utf-8")))
        except (SyntaxError, ValueError, RecursionError):
            continue  # templates, and tests of parsers
        for docstring in docstrings:
            text = mask(first_paragraph(docstring))
            if SHORTEST <= len(text) <= LONGEST and text.isprintable():
                found[text] = None
        if len(found) >= enough:
            break
    return list(found)


def _sources(folder: Path) -> list[Path]:
    # By hash: stopping early in the order of the alphabet would leave whole subpackages out.
    def order(path: Path) -> str:
        return hashlib.sha256(path.relative_to(folder).as_posix().encode()).hexdigest()

    return sorted(folder.rglob("*.py"), key=order)


def _folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]) if locations else None
