"""Functions by value: the code a kernel has in memory, stored under its own signature.

    stored  =  uint32 length | head | packed (function, {name: module})
    head    =  JSON {python, name, kind, sources}

``sources`` maps file names to source text for every function in the pickle, so that a worker's
traceback shows the notebook cell's own lines. ``kind`` tells functions from cells
(`store.code.cell`) without unpickling them. The modules are local ones that some function imports
in its body: a worker makes them importable before it calls.
"""

from __future__ import annotations

import contextlib
import dis
import inspect
import json
import linecache
import struct
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

import redis

from nbqueue.core.errors import (
    BadSignature,
    Expired,
    FunctionNotLoadable,
    NbqueueError,
    NotPicklable,
)
from nbqueue.core.settings import KEEP_EXTRA_S, RESULT_EXPIRES_S
from nbqueue.store import keys
from nbqueue.store.code.behaviour import Behaviour
from nbqueue.store.code.cell import Cell
from nbqueue.store.signing import Keyring
from nbqueue.store.values import installed, localmodules
from nbqueue.store.values.packing import BlobStore, Stays, pack, unpack

T = TypeVar("T")
Kind = Literal["function", "cell", "expression"]

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

_LENGTH = struct.Struct("<I")
_TTL_S = RESULT_EXPIRES_S + KEEP_EXTRA_S
_CACHED = 64
"""Functions kept loaded. Fewer: those of a busy worker are unpickled again and again; more: old
versions of an edited function stay in memory with the data they captured."""


def dump(function: Callable[..., Any] | Cell, blobs: BlobStore) -> bytes:
    """Pickle a function, what it uses, and its source.

    Raises:
        NotPicklable: it uses a value that cannot travel; the message names the variable.
    """
    sources: dict[str, str] = {}
    modules: dict[str, types.ModuleType] = {}
    wanted: set[str] = set(function.imports) if isinstance(function, Cell) else set()

    def look(inner: types.FunctionType) -> None:
        if localmodules.is_installed(inner):
            return  # travels as a name
        filename = inner.__code__.co_filename
        if filename not in sources:
            sources[filename] = "".join(linecache.getlines(filename, inner.__globals__))
        wanted.update(imports(inner.__code__, inner.__globals__.get("__package__") or ""))

    try:
        packed = pack((function, modules), blobs, on_function=look)
        # Modules found in function bodies may import more of their kind.
        while missing := _local(wanted - set(modules)):
            modules.update(missing)
            packed = pack((function, modules), blobs, on_function=look)
    except NotPicklable as exc:
        raise _named(function, modules, blobs, exc) from None
    named = function.title if isinstance(function, Cell) else repr(function)
    name = getattr(function, "__qualname__", named)
    head = json.dumps(
        {"python": PYTHON, "name": name, "kind": _kind(function), "sources": sources}
    ).encode()
    return _LENGTH.pack(len(head)) + head + packed


def _kind(function: Callable[..., Any] | Cell) -> Kind:
    if not isinstance(function, Cell):
        return "function"
    return "expression" if function.expression else "cell"


@dataclass(frozen=True)
class Loaded:
    """A function or a cell, and what it finds when it imports or fails."""

    function: Any
    modules: dict[str, types.ModuleType]
    sources: dict[str, str]

    def settle_in(self) -> None:
        """Let imports find this function's modules, and tracebacks its sources.

        Another function may have brought other modules of the same names (an older version, or
        another notebook's), so this comes before each use, and takes away what is not its own.
        """
        for name in [name for name in _shipped if name not in self.modules]:
            if sys.modules.get(name) is _shipped.pop(name):
                del sys.modules[name]
        _shipped.update(self.modules)
        sys.modules.update(self.modules)
        linecache.cache.update(self._lines)

    @cached_property
    def _lines(self) -> dict[str, tuple[int, None, list[str], str]]:
        return {
            filename: (len(text), None, text.splitlines(keepends=True), filename)
            for filename, text in self.sources.items()
        }


_shipped: dict[str, types.ModuleType] = {}
"""The modules that `Loaded.settle_in` has made importable."""


def load(stored: bytes, blobs: BlobStore) -> Loaded:
    """Unpickle what `dump` gave (verified before).

    Raises:
        FunctionNotLoadable: it was pickled by another Python, or needs what is not installed here.
    """
    head, start = _head(stored)
    name = head["name"]
    if head["python"] != PYTHON:
        raise FunctionNotLoadable(
            f"{name!r} comes from Python {head['python']} and this worker runs Python {PYTHON}; "
            "functions travel by value only between equal versions: start the worker with the "
            "notebook's Python"
        )
    try:
        function, modules = unpack(memoryview(stored)[start:], blobs)
    except NbqueueError:
        raise  # a blob is gone, or was not signed with our key
    except ModuleNotFoundError as exc:
        raise FunctionNotLoadable(
            f"{name!r} needs the package {exc.name!r}, which is not installed where this worker "
            f"runs ({sys.executable}): install it there "
            f"(pip install {(exc.name or '').split('.')[0]}) and retry the job" + installed.hint()
        ) from exc
    except (Exception, SystemExit) as exc:  # unpickling runs anybody's code: anything may come out
        raise FunctionNotLoadable(
            f"{name!r} cannot be loaded by this worker: {type(exc).__name__}: {exc}"
            + installed.hint("are the same package versions installed there?")
        ) from exc
    return Loaded(function, modules, head["sources"])


def _head(stored: bytes) -> tuple[dict[str, Any], int]:
    """Give the head of what `dump` gave, and where its pickle begins."""
    (size,) = _LENGTH.unpack_from(stored)
    return json.loads(stored[_LENGTH.size : _LENGTH.size + size]), _LENGTH.size + size


class Functions:
    """The functions of a store, cached by address on both sides.

    ``settles_in`` is for workers: there, a function's modules replace those of the same name. In
    the process of a person, who may be editing them, they must not.
    """

    def __init__(
        self, store: redis.Redis, keyring: Keyring, blobs: BlobStore, *, settles_in: bool = True
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._blobs = blobs
        self._settles_in = settles_in
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._cells: OrderedDict[str, bytes] = OrderedDict()
        self._kinds: OrderedDict[str, Kind] = OrderedDict()

    def put(self, stored: bytes) -> str:
        """Store a dumped function and give its address."""
        address = self._keyring.address(stored, "function")
        key = keys.function(address)
        if not self._store.expire(key, _TTL_S):
            self._store.set(key, stored, ex=_TTL_S)
        return address

    def get(self, address: str) -> Any:
        """Load the function at an address; of a `Cell`, another copy each time.

        Raises:
            Expired: it is not in the store any more.
            BadSignature: what is stored there was not signed with a key of this process.
            FunctionNotLoadable: it cannot be loaded here; the message says what to do.
        """
        if address in self._loaded:
            self._loaded.move_to_end(address)
        loaded = self._loaded.get(address) or self._load(address)
        if self._settles_in:
            loaded.settle_in()
        return loaded.function

    def kind(self, address: str) -> Kind:
        """Say what is at an address, without loading it and the values that came with it.

        Raises:
            Expired, BadSignature: as in `get`.
        """
        if address not in self._kinds:
            stored = self._cells.get(address) or self._verified(address)
            _keep(self._kinds, address, cast("Kind", _head(stored)[0].get("kind", "function")))
        return self._kinds[address]

    def _load(self, address: str) -> Loaded:
        stored = self._cells.get(address) or self._verified(address)
        loaded = load(stored, self._blobs)
        # A cell changes the values it was sent with: kept is what it is made from, verified.
        if isinstance(loaded.function, Cell):
            _keep(self._cells, address, stored)
        else:
            _keep(self._loaded, address, loaded)
        return loaded

    def _verified(self, address: str) -> bytes:
        stored = cast("bytes | None", self._store.get(keys.function(address)))
        if stored is None:
            raise Expired(f"function {address[:12]}… is not in the store any more: submit it again")
        try:
            self._keyring.check(address, stored, "function", "submit it again")
        except BadSignature:
            self._store.delete(keys.function(address))  # or a submission would find it there
            raise
        return stored


def _keep(cache: OrderedDict[str, T], address: str, value: T) -> None:
    cache[address] = value
    cache.move_to_end(address)
    if len(cache) > _CACHED:
        cache.popitem(last=False)


def imports(code: types.CodeType, package: str) -> set[str]:
    """Name the modules that a function of a package imports in its body, packages included.

    ``from a import b`` names both ``a`` and ``a.b``: which of them is a module is not in the code.
    """
    names: set[str] = set()
    loaded: list[Any] = []
    for op in dis.get_instructions(code):
        if op.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            loaded.append(op.argval)
        elif op.opname == "IMPORT_NAME":
            level, children = loaded[-2:]
            name = str(op.argval)
            if level:
                parent = package.rsplit(".", level - 1)[0]
                name = f"{parent}.{name}" if name else parent
            parts = name.split(".")
            names.update(".".join(parts[: k + 1]) for k in range(len(parts)))
            names.update(f"{name}.{child}" for child in children or () if child != "*")
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names |= imports(const, package)
    return names - {""}


def _local(names: Iterable[str]) -> dict[str, types.ModuleType]:
    found = {name: localmodules.find(name) for name in sorted(names)}
    return {name: module for name, module in found.items() if module is not None}


def _named(
    function: Callable[..., Any] | Cell,
    modules: dict[str, types.ModuleType],
    blobs: BlobStore,
    exc: NotPicklable,
) -> NotPicklable:
    """Find the variable of a function that cannot be pickled and say which it is."""
    captured = _captured(function) | {f"module {name}": m for name, m in modules.items()}
    found = _culprit(captured, blobs, set())
    if found is None:
        return NotPicklable(f"{_name(function)}: {exc}")
    trail, reason = found
    said = (
        f"{_name(function)} uses the variable {' of '.join(map(repr, reversed(trail)))}: {reason}"
    )
    if isinstance(reason.__cause__, Stays):
        return NotPicklable(said)
    where = "in the cell" if isinstance(function, Cell) else "inside the function"
    return NotPicklable(
        f"{said}. Make it {where} instead, or pass what it is made from (a path, a URL, a list, a "
        "seed)"
    )


def _culprit(
    captured: dict[str, Any], blobs: BlobStore, seen: set[int]
) -> tuple[list[str], NotPicklable] | None:
    """Give the way to a value that cannot be pickled, and why it cannot."""
    for name, value in captured.items():
        if id(value) in seen:
            continue
        seen.add(id(value))
        try:
            pack(value, blobs)
        except NotPicklable as exc:
            trail, reason = _culprit(_captured(value), blobs, seen) or ([], exc)
            return [name, *trail], reason
    return None


def _captured(value: Any) -> dict[str, Any]:
    """Name what pickles with a function or a local module."""
    if isinstance(value, types.ModuleType):
        return localmodules.contents(value)
    if isinstance(value, Cell):
        return dict(value.namespace)
    if isinstance(value, Behaviour):
        return {"base": value.parts[3], **value.parts[4], **_captured(value.parts[0])}
    if not isinstance(value, types.FunctionType):
        return {}
    code, scope = value.__code__, value.__globals__
    defaults = inspect.signature(value).parameters.values()
    captured = {p.name: p.default for p in defaults if p.default is not p.empty}
    captured.update({name: scope[name] for name in _names(code) if name in scope})
    for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=False):
        with contextlib.suppress(ValueError):  # an empty cell
            captured[name] = cell.cell_contents
    return captured


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _names(const)


def _name(function: Callable[..., Any] | Cell) -> str:
    if isinstance(function, Cell):
        return function.title
    return f"task {getattr(function, '__qualname__', repr(function))!r}"
