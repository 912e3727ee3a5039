"""The globals of functions, lambdas and classes: what their compiled code says of them.

The compiler has sorted names into locals, closures and globals already, in all the ways in which
Python's grammar lets them be written; only its answer is read here. The opcodes are those of
Python 3.10 to 3.13.
"""

from __future__ import annotations

import ast
import dis
import inspect
import types
from dataclasses import dataclass

_OF_CLASSES = frozenset({"__name__", "__annotations__", "__conditional_annotations__"})
"""What the compiler itself looks up in a class's body."""


@dataclass(frozen=True)
class Globals:
    """Names of the module's that code uses."""

    reads: frozenset[str]
    writes: frozenset[str]


def inside(statement: ast.stmt) -> Globals:
    """Give the globals of all scopes inside a statement; not those of the statement itself."""
    module = ast.fix_missing_locations(ast.Module([statement], type_ignores=[]))
    try:
        code = compile(module, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError:  # it is right only where it stands: an `await` in a lambda's default, say
        return Globals(frozenset(), frozenset())
    reads: set[str] = set()
    writes: set[str] = set()
    for inner in _codes(code):
        _collect(inner, reads, writes)
    return Globals(frozenset(reads), frozenset(writes))


def _collect(code: types.CodeType, reads: set[str], writes: set[str]) -> None:
    own: set[str] = set()
    loaded: set[str] = set()
    is_function = code.co_flags & inspect.CO_OPTIMIZED
    for op in dis.get_instructions(code):
        if op.opname in ("LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"):
            reads.add(op.argval)
        elif op.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            writes.add(op.argval)
        elif op.opname == "LOAD_NAME" and not is_function:  # a class's body
            loaded.add(op.argval)
        elif op.opname == "STORE_NAME" and not is_function:
            own.add(op.argval)
    reads |= loaded - own - _OF_CLASSES
    for inner in _codes(code):
        _collect(inner, reads, writes)


def _codes(code: types.CodeType) -> list[types.CodeType]:
    return [const for const in code.co_consts if isinstance(const, types.CodeType)]
