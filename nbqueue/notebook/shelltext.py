"""Texts that IPython expands (magic lines, shell commands): ``{expr}`` and ``$name``.

The same rules as IPython's own (its `DollarFormatter`), to find the expressions without running
them, or to expand a text in a namespace.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager
from IPython.utils.text import DollarFormatter

_OPTION = re.compile(r"\s*-{1,2}[A-Za-z][\w-]*(?:[= ]\d+)?(?=\s|$)")


PARSE = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
"""Flags for `compile` that give a cell's tree."""


def transformed(source: str) -> str:
    """Give a cell with IPython's own syntax turned into Python."""
    manager = TransformerManager()  # type: ignore[no-untyped-call]  # IPython
    return str(manager.transform_cell(source))


def expressions(text: str) -> list[str]:
    """Give the expressions that IPython would evaluate in a line."""
    try:
        return [field for _, field, _, _ in DollarFormatter().parse(text) if field]
    except ValueError:  # braces that do not match: IPython leaves such a line alone
        return []


def expand(text: str, namespace: Mapping[str, Any]) -> str:
    """Give a text with its expressions replaced by their values; as it is when they have none."""
    if "{" not in text and "$" not in text:
        return text
    try:
        return DollarFormatter().vformat(text, args=[], kwargs=namespace)
    except Exception:  # as IPython does: anybody's expression may raise anything
        return text


def after_options(line: str) -> str:
    """Give what follows the options of a magic's line: ``f(x)`` in ``-n 10 f(x)``."""
    while found := _OPTION.match(line):
        line = line[found.end() :]
    return line.strip()


def operands(line: str) -> list[str]:
    """Give the words of a magic's line that are no options."""
    return [word for word in shlex.split(line) if not word.startswith("-")]
