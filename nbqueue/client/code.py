"""Which code a task is right now: its address in the store, pickled anew only when it may differ.

Pickling a function by value costs several times what sending a call costs, so the address is kept
as long as nothing that the pickle holds can have changed: the code object, its defaults, and
everything it captures being the same immutable objects. As soon as it captures something that can
change in place (a list, an array, a class of the notebook, a module beside it), each call pickles
anew; that is always right, and equal bytes are still sent only once.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from nbqueue.store import functions, localmodules
from nbqueue.store.functions import Functions
from nbqueue.store.packing import BlobStore

_IMMUTABLE = (
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    types.BuiltinFunctionType,
    types.CodeType,
)
_DEPTH = 10

Fingerprint = tuple[Any, ...]


class CodeCache:
    """Addresses of the functions that a client has sent."""

    def __init__(self, store: Functions, blobs: BlobStore) -> None:
        self._store = store
        self._blobs = blobs
        self._known: dict[int, tuple[Any, Fingerprint, str]] = {}

    def address(self, function: Callable[..., Any]) -> str:
        """Give the address of a function as it is now, storing it when it is new.

        Raises:
            NotPicklable: it uses something that cannot travel.
        """
        print_ = fingerprint(function)
        known = self._known.get(id(function))
        if print_ is not None and known is not None and _same(known[1], print_):
            return known[2]
        address = self._store.put(functions.dump(function, self._blobs))
        if print_ is not None:
            # The function itself is kept too, so that its id cannot be given to another.
            self._known[id(function)] = (function, print_, address)
        return address


def fingerprint(function: Any) -> Fingerprint | None:
    """List the objects that make up a function; ``None`` when one of them can change in place."""
    found: list[Any] = []
    return tuple(found) if _walk(function, found, set(), _DEPTH) else None


def _same(a: Fingerprint, b: Fingerprint) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def _walk(value: Any, found: list[Any], seen: set[int], depth: int) -> bool:
    if id(value) in seen:
        return True
    seen.add(id(value))
    found.append(value)
    if isinstance(value, _IMMUTABLE):
        return True
    if isinstance(value, types.ModuleType):
        return not localmodules.is_local(value)
    if isinstance(value, type):
        return _is_installed(value.__module__)
    if isinstance(value, types.FunctionType):
        if _is_installed(value.__module__):
            return True
        return depth > 0 and all(_walk(v, found, seen, depth - 1) for v in _captured(value))
    return False


def _is_installed(module: str | None) -> bool:
    found = sys.modules.get(module or "")
    return found is not None and module != "__main__" and not localmodules.is_local(found)


def _captured(function: types.FunctionType) -> Iterator[Any]:
    yield function.__code__
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from vars(function).values()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # an empty cell: a name that is bound later
            yield None
    for name in sorted(_names(function.__code__)):
        if name in function.__globals__:
            yield function.__globals__[name]


def _names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names |= _names(const)
    return names
