"""Code that stands in texts: what exec, df.query and IPython's magics run.

Pure: a call goes in, what it does beside reading its arguments comes out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from nbqueue.notebook import shelltext

_RUNS_TEXT = frozenset({"exec", "eval"})
_SHOWS_NAMES = frozenset({"globals", "locals", "vars", "dir"})
_QUERIES = frozenset({"query", "eval"})
_PYTHON_MAGICS = frozenset({"time", "timeit", "capture", "prun", "memit", "mprun", "debug"})
"""Magics whose line or body is Python, and runs in the cell's namespace."""

Body = list[ast.stmt]


@dataclass(frozen=True)
class Found:
    """What a call does through its texts."""

    reads: tuple[str, ...] = ()
    bodies: tuple[Body, ...] = ()
    """Code that it runs, in order."""
    binds: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    """What nobody can look into."""
    instead: bool = False
    """The call is IPython's syntax and nothing else: its arguments are these texts."""


NOTHING = Found()


def of_call(node: ast.Call, own: Collection[str]) -> Found:
    """Look into the texts of a call; ``own`` are names that the cell has bound itself."""
    text = _constant(node.args[0]) if node.args else None
    if isinstance(node.func, ast.Name) and node.func.id not in own:
        return _by_name(node.func.id, bool(node.args), text)
    if not isinstance(node.func, ast.Attribute):
        return NOTHING
    if _is_shell(node.func.value):
        return _shell(node.func.attr, [_constant(arg) or "" for arg in node.args])
    if node.func.attr in _QUERIES and node.args:
        return _query(node.func, text)
    return NOTHING


def _by_name(name: str, given: bool, text: str | None) -> Found:
    if name in _RUNS_TEXT and text is not None:
        return Found(bodies=_python([text]))
    if (name in _RUNS_TEXT and given) or (name in _SHOWS_NAMES and not given):
        return Found(unknown=(f"{name}({'...' if given else ''})",))
    return NOTHING


def _query(func: ast.Attribute, text: str | None) -> Found:
    if text is None:
        if func.attr == "eval":
            return NOTHING  # which models and sessions have, too
        return Found(unknown=(f".{func.attr}(...) with a text that is computed",))
    is_pandas = isinstance(func.value, ast.Name) and func.value.id in ("pd", "pandas")
    return Found(
        reads=tuple(re.findall(r"@([^\W\d]\w*)", text)),
        bodies=_python([text.replace("@", "")] if is_pandas else []),
    )


def _shell(method: str, given: list[str]) -> Found:
    """Look into what IPython's transformer makes of its own syntax."""
    if method in ("system", "getoutput"):
        return Found(bodies=_python(shelltext.expressions(given[0])), instead=True)
    if method == "run_line_magic":
        return _magic(given[0], given[1], None)
    return _magic(*given[:3]) if method == "run_cell_magic" else Found(instead=True)


def _magic(name: str, line: str, body: str | None) -> Found:
    if name in ("pinfo", "pinfo2"):
        return Found(bodies=_python([line]), instead=True)
    expanded = _python(shelltext.expressions(line))
    if name not in _PYTHON_MAGICS:
        return Found(bodies=expanded, unknown=("%run",) if name == "run" else (), instead=True)
    rest = shelltext.after_options(line)
    sources = [rest] if body is None else [body]
    if body is not None and name == "timeit":
        sources = [rest, body]  # the line is its setup
    captured = shelltext.operands(line)[:1] if name == "capture" and body is not None else []
    return Found(bodies=(*expanded, *_cells(sources)), binds=tuple(captured), instead=True)


def _python(sources: Iterable[str]) -> tuple[Body, ...]:
    """Parse Python that stands in texts; what is none will say so itself when it runs."""
    return tuple(body for text in sources if (body := _parsed(text)))


def _cells(sources: Iterable[str]) -> tuple[Body, ...]:
    return _python(map(shelltext.transformed, sources))


def _parsed(text: str) -> Body:
    try:
        tree: ast.Module = compile(text.strip(), "<text>", "exec", shelltext.PARSE)
    except (SyntaxError, ValueError):
        return []
    return tree.body


def _constant(node: ast.expr) -> str | None:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) else None


def _is_shell(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "get_ipython"
    )
