"""What a cell reads, assigns and imports: found by looking at it, never by running it.

A cell's top level is walked in the order in which it runs, so that a name is *read* only where it
may be without a value of the cell's own:

- after ``if``, ``try`` and ``match`` a name counts as assigned when every way through assigns it;
  loops are taken to run at least once.
- the body of a function or method counts where the cell first uses the function's or class's name
  (it cannot run before), or at the end. What it reads is what its code objects load from the
  globals: the scopes inside it are the compiler's business (`scopes`).

`walk` walks; `texts` looks into code that stands in texts. All of it is pure: which of the names
exist, and what is done with them, is `cells`' to say.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from nbqueue.notebook import shelltext
from nbqueue.notebook.walk import walk
from nbqueue.store.code.functions import imports


@dataclass(frozen=True)
class Analysis:
    """What is known of a cell."""

    reads: tuple[str, ...]
    """Names that it may read before it has assigned them, built-ins included, in order."""
    assigns: tuple[str, ...]
    """Names that it assigns, in order; not those that it imports."""
    borrows: tuple[str, ...]
    """Names that its imports bind."""
    imports: tuple[str, ...]
    """Modules that it imports, packages and candidates (``a`` and ``a.b``) included."""
    unknown: tuple[str, ...]
    """What it does that cannot be looked into: ``exec(...)``, ``from x import *`` ..."""
    last: str | None = None
    """The expression that it ends in; ``None`` when it ends in a statement."""


def analyse(source: str, filename: str = "<cell>") -> Analysis:
    """Look into a cell as it was typed.

    Raises:
        SyntaxError: it is not Python (after IPython's own syntax is taken care of).
    """
    text = shelltext.transformed(source)
    tree = compile(text, filename, "exec", shelltext.PARSE)
    # Compiled for the mistakes that only the compiler finds (a `return` at the top, say).
    code = compile(text, filename, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    found = walk(tree.body)
    return Analysis(
        reads=tuple(found.reads),
        assigns=tuple(found.assigned),
        borrows=tuple(found.borrowed),
        imports=tuple(sorted(imports(code, ""))),
        unknown=tuple(found.unknown),
        last=_last(tree.body),
    )


def _last(body: list[ast.stmt]) -> str | None:
    last = body[-1] if body else None
    return ast.unparse(last) if isinstance(last, ast.Expr) else None


def is_expression(source: str) -> bool:
    """Say whether a text is one expression, without magics or shell commands."""
    try:
        compile(source.strip(), "<expression>", "eval", shelltext.PARSE)
    except SyntaxError:
        return False
    return True
