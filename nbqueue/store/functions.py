"""Functions by value: the code a kernel has in memory, stored under its own signature.

    stored  =  uint32 length | JSON {python, name, sources} | packed (function, {name: module})

``sources`` maps file names to source text for every function in the pickle, so that a worker's
traceback shows the notebook cell's own lines. The modules are local ones that some function
imports in its body: a worker makes them importable before it calls.
"""

from __future__ import annotations

import dis
import importlib
import importlib.util
import json
import linecache
import struct
import sys
import types
from collections.abc import Callable
from typing import Any, cast

import redis

from nbqueue.core.errors import BadSignature, Expired, FunctionNotLoadable, NotPicklable
from nbqueue.core.settings import KEEP_EXTRA_S, RESULT_EXPIRES_S
from nbqueue.store import keys, localmodules
from nbqueue.store.packing import BlobStore, pack, unpack
from nbqueue.store.signing import Keyring

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

_LENGTH = struct.Struct("<I")
_TTL_S = RESULT_EXPIRES_S + KEEP_EXTRA_S


def dump(function: Callable[..., Any], blobs: BlobStore) -> bytes:
    """Pickle a function, what it uses, and its source.

    Raises:
        NotPicklable: it uses a value that cannot travel; the message names the variable.
    """
    sources: dict[str, str] = {}
    modules: dict[str, types.ModuleType] = {}
    wanted: set[str] = set()

    def look(inner: types.FunctionType) -> None:
        filename = inner.__code__.co_filename
        if filename not in sources:
            sources[filename] = "".join(linecache.getlines(filename, inner.__globals__))
        wanted.update(_imports(inner.__code__))

    try:
        packed = pack((function, modules), blobs, on_function=look)
        # Modules found in function bodies may import more of their kind.
        while missing := {name: m for name in wanted - set(modules) if (m := _local(name))}:
            modules.update(missing)
            packed = pack((function, modules), blobs, on_function=look)
    except NotPicklable as exc:
        raise _named(function, blobs, exc) from None
    head = json.dumps(
        {
            "python": PYTHON,
            "name": getattr(function, "__qualname__", repr(function)),
            "sources": sources,
        }
    ).encode()
    return _LENGTH.pack(len(head)) + head + packed


def load(stored: bytes, blobs: BlobStore) -> Callable[..., Any]:
    """Unpickle what `dump` gave (verified before), and make its sources and modules known.

    Raises:
        FunctionNotLoadable: it was pickled by another Python, or needs what is not installed here.
    """
    (size,) = _LENGTH.unpack_from(stored)
    head = json.loads(stored[_LENGTH.size : _LENGTH.size + size])
    name = head["name"]
    if head["python"] != PYTHON:
        raise FunctionNotLoadable(
            f"{name!r} comes from Python {head['python']} and this worker runs Python {PYTHON}; "
            "functions travel by value only between equal versions: start the worker with the "
            "notebook's Python"
        )
    for filename, text in head["sources"].items():
        lines = text.splitlines(keepends=True)
        linecache.cache[filename] = (len(text), None, lines, filename)
    try:
        function, modules = unpack(memoryview(stored)[_LENGTH.size + size :], blobs)
    except ModuleNotFoundError as exc:
        raise FunctionNotLoadable(
            f"{name!r} needs the package {exc.name!r}, which is not installed where this worker "
            f"runs ({sys.executable}): install it there (pip install {(exc.name or '').split('.')[0]}) "
            "and retry the job"
        ) from exc
    except Exception as exc:  # unpickling runs code of any package: anything may come out
        raise FunctionNotLoadable(
            f"{name!r} cannot be loaded by this worker: {type(exc).__name__}: {exc} (are the same "
            "package versions installed there?)"
        ) from exc
    sys.modules.update(modules)
    return cast("Callable[..., Any]", function)


class Functions:
    """The functions of a store, cached by address on both sides."""

    def __init__(self, store: redis.Redis, keyring: Keyring, blobs: BlobStore) -> None:
        self._store = store
        self._keyring = keyring
        self._blobs = blobs
        self._loaded: dict[str, Callable[..., Any]] = {}

    def put(self, stored: bytes) -> str:
        """Store a dumped function and give its address."""
        address = self._keyring.address(stored)
        key = keys.function(address)
        if not self._store.expire(key, _TTL_S):
            self._store.set(key, stored, ex=_TTL_S)
        return address

    def get(self, address: str) -> Callable[..., Any]:
        """Load the function at an address.

        Raises:
            Expired: it is not in the store any more.
            BadSignature: what is stored there was not signed with a key of this process.
            FunctionNotLoadable: it cannot be loaded here; the message says what to do.
        """
        if address not in self._loaded:
            stored = cast("bytes | None", self._store.get(keys.function(address)))
            if stored is None:
                raise Expired(
                    f"function {address[:12]}… is not in the store any more: submit it again"
                )
            if not self._keyring.matches(address, stored):
                raise BadSignature(
                    f"function {address[:12]}… is not signed with this process's key; clients and "
                    "workers need the same $NBQUEUE_KEY"
                )
            self._loaded[address] = load(stored, self._blobs)
        return self._loaded[address]


def _imports(code: types.CodeType) -> set[str]:
    """Names of modules imported anywhere within a function's body."""
    names = {
        cast(str, op.argval) for op in dis.get_instructions(code) if op.opname == "IMPORT_NAME"
    }
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names |= _imports(const)
    return names


def _local(name: str) -> types.ModuleType | None:
    """Give a module if it lives beside the notebook; import it if no cell has."""
    module = sys.modules.get(name)
    if module is None:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        probe = types.ModuleType(name)
        probe.__file__ = spec.origin if spec else None
        if not localmodules.is_local(probe):
            return None
        module = importlib.import_module(name)
    return module if localmodules.is_local(module) else None


def _named(function: Callable[..., Any], blobs: BlobStore, exc: NotPicklable) -> NotPicklable:
    """Find the variable of a function that cannot be pickled and say which it is."""
    captured: dict[str, Any] = {}
    if isinstance(function, types.FunctionType):
        names = function.__code__.co_names
        captured.update({n: function.__globals__[n] for n in names if n in function.__globals__})
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
        captured.update({n: cell.cell_contents for n, cell in cells if cell != types.CellType()})
    for name, value in captured.items():
        try:
            pack(value, blobs)
        except NotPicklable as reason:
            return NotPicklable(
                f"{_name(function)} uses the variable {name!r}: {reason}. Make it inside the "
                "function instead, or pass what it is made from"
            )
    return NotPicklable(f"{_name(function)}: {exc}")


def _name(function: Callable[..., Any]) -> str:
    return f"task {getattr(function, '__qualname__', repr(function))!r}"
