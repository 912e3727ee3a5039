"""Which code a task is right now: its address in the store, pickled anew only when it may differ.

Pickling a function by value costs several times what sending a call costs, so the address is kept
as long as nothing that the pickle holds can have changed: the code object, its defaults, and
everything it captures being the same immutable objects. As soon as it captures something that can
change in place (a list, an array, a class of the notebook, a module beside it), each call pickles
anew; that is always right, and equal bytes are still sent only once.
"""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from nbqueue.client import unsent
from nbqueue.core.settings import KEEP_EXTRA_S
from nbqueue.store.code import functions
from nbqueue.store.code.behaviour import Behaviour
from nbqueue.store.code.cell import Cell
from nbqueue.store.code.functions import Functions
from nbqueue.store.values import localmodules
from nbqueue.store.values.packing import BlobStore
from nbqueue.store.values.refs import Ref

_IMMUTABLE = frozenset(
    {
        bool,
        bytes,
        complex,
        float,
        int,
        str,
        type(None),
        types.CodeType,
        types.EllipsisType,
        Ref,
    }
)
"""Exact types: an instance of a subclass may carry anything."""

_DEPTH = 10
_MOST = 1000
"""Functions whose address is remembered. Fewer: a notebook of many tasks pickles them again; more:
lambdas made in a loop stay in memory with what they capture."""

_REFRESH_S = KEEP_EXTRA_S / 2
"""An address is trusted for this long: functions that nobody sends expire from the store."""

_ABSENT: Final = object()
"""Stands for a name without a value."""

Fingerprint = tuple[Any, ...]


class CodeCache:
    """Addresses of the functions that a client has sent."""

    def __init__(
        self, store: Functions, blobs: BlobStore, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._known: dict[int, tuple[Any, Fingerprint, str, float]] = {}

    def address(self, function: Callable[..., Any] | Cell) -> str:
        """Give the address of a function or cell as it is now, storing it when it is new.

        Raises:
            NotPicklable: it uses something that cannot travel.
        """
        if isinstance(function, Cell):  # hardly ever the same twice
            return self._put(function)
        now = self._clock()
        print_ = fingerprint(function)
        known = self._known.get(id(function))
        if print_ is not None and known is not None:
            _, before, address, stored_at = known
            if _same(before, print_) and now - stored_at < _REFRESH_S:
                return address
        address = self._put(function)
        if print_ is not None:
            if len(self._known) >= _MOST:
                del self._known[next(iter(self._known))]
            # The function itself is kept too, so that its id cannot be given to another.
            self._known[id(function)] = (function, print_, address, now)
        return address

    def _put(self, function: Callable[..., Any] | Cell) -> str:
        with unsent.nothing_sent():
            return self._store.put(functions.dump(function, self._blobs))

    def forget(self) -> None:
        """Trust no address any more: the store may have lost what it had."""
        self._known.clear()


def fingerprint(function: Any) -> Fingerprint | None:
    """List the objects that make up a function; ``None`` when one of them can change in place."""
    found: list[Any] = []
    return tuple(found) if _walk(function, found, set(), _DEPTH) else None


def _same(a: Fingerprint, b: Fingerprint) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def _walk(value: Any, found: list[Any], seen: set[int], depth: int) -> bool:
    found.append(value)  # each time, or two names that trade their values would go unnoticed
    kind: type = type(value)
    if kind in _IMMUTABLE or value is _ABSENT or id(value) in seen:
        return True
    seen.add(id(value))
    if kind is types.BuiltinFunctionType:  # of a module, or the method of some object
        return value.__self__ is None or isinstance(value.__self__, types.ModuleType)
    if isinstance(value, types.ModuleType):
        known = sys.modules.get(value.__name__)
        return known is value and not localmodules.is_local(value)
    if isinstance(value, type):
        return localmodules.is_installed(value)
    if kind is Behaviour:
        function, name, bind, base, options = value.parts
        parts = (function, name, bind, base, *options, *options.values())
        return all(_walk(part, found, seen, depth) for part in parts)
    if kind is tuple:
        return depth > 0 and all(_walk(v, found, seen, depth - 1) for v in value)
    if kind is types.FunctionType:
        if localmodules.is_installed(value):
            return True
        return (
            depth > 0
            and not any(localmodules.may_be_local(n) for n in imports(value))
            and all(_walk(v, found, seen, depth - 1) for v in _captured(value))
        )
    return False


def imports(function: types.FunctionType) -> tuple[str, ...]:
    """Name the modules that a function's body imports."""
    package = function.__globals__.get("__package__")
    return _imports(function.__code__, package if isinstance(package, str) else "")


@lru_cache(maxsize=2 * _MOST)
def _imports(code: types.CodeType, package: str) -> tuple[str, ...]:
    return tuple(functions.imports(code, package))


def _captured(function: types.FunctionType) -> Iterator[Any]:
    yield function.__code__
    yield function.__name__
    yield function.__qualname__
    for values in (function.__defaults__, function.__kwdefaults__, vars(function)):
        # Lengths first, so that a value cannot pass from one of these to the next unseen.
        yield len(values or ())
        if isinstance(values, dict):
            yield from values
            yield from values.values()
        else:
            yield from values or ()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # an empty cell: a name that is bound later
            yield _ABSENT
    for name in _names(function.__code__):
        yield function.__globals__.get(name, _ABSENT)


@lru_cache(maxsize=2 * _MOST)
def _names(code: types.CodeType) -> tuple[str, ...]:
    names = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names.update(_names(const))
    return tuple(sorted(names))
