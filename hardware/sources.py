"""A name for what modules of ours compute: two versions that compute alike have one."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@cache
def fingerprint(*modules: str) -> str:
    """Hash of the source of these modules ("encoders.jax_encoder"), which are not imported; read once in a process."""
    texts = (ROOT.joinpath(*name.split(".")).with_suffix(".py").read_text(encoding="utf-8") for name in modules)
    return hashlib.sha256("\0".join(map(bare, texts)).encode()).hexdigest()[:16]


def bare(source: str) -> str:
    """The source as it is parsed: without comments, docstrings and its own layout."""
    return ast.unparse(_Bare().visit(ast.parse(source)))


class _Bare(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node
