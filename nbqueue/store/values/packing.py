"""Values to bytes and back, by value, with what is large taken out.

Three ways in, cheapest first:

- `ATOMS`: numbers, strings, None. Plain pickle, many at once.
- anything else: cloudpickle, so that functions and classes of the notebook, and of modules that
  live beside it, travel as code (a plain pickle would name them, and a worker has no such names).
- buffers of at least `BLOB_BYTES` (arrays, columns of a DataFrame) leave the pickle as protocol-5
  out-of-band buffers and become blobs; so do large strings and containers, found in a second pass
  that is made only when the first came out too large.

- what is in the store by itself (`Stored`: the Ref of ``nq.put``) is written as its address, and
  read as the value.

    packed  =  "P" pickle  |  "B" uint32 length | JSON list of blob addresses | pickle

Unpacking runs code, as unpickling does: only verified bytes may come here.
"""

from __future__ import annotations

import functools
import importlib
import io
import json
import logging
import pickle
import struct
import types
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, Protocol

import celery
import cloudpickle
import redis
from celery import current_task
from celery.utils.log import get_task_logger, logger_isa, task_logger

from nbqueue.core.errors import NbqueueError, NotPicklable
from nbqueue.core.settings import BLOB_BYTES
from nbqueue.store.values import localmodules

ATOMS = frozenset({type(None), bool, int, float, str, bytes})
"""Exact types that plain pickle handles, that are immutable and need no code to be read."""

_PROTOCOL = 5
_LENGTH = struct.Struct("<I")
_CONTAINERS = (list, dict, tuple, set, frozenset)
_MANY = 1000


class BlobStore(Protocol):
    """Where large values go; see `store.values.blobs`."""

    def put(self, value: bytes | memoryview) -> str:
        """Store bytes, give their address."""

    def get(self, address: str) -> memoryview:
        """Give stored bytes, verified, as private memory that may be changed."""


class Stored:
    """Something that is in the store already, and travels as its address (`refs.Ref`)."""

    def address_in(self, blobs: BlobStore) -> str:
        """Give the address of the packed value in this store."""
        raise NotImplementedError


class Stays(TypeError):
    """Something is of use only where it is: its ``__reduce__`` says so, and what to do instead."""


def all_atoms(values: Iterable[Any]) -> bool:
    """Say whether plain pickle will do for all of these."""
    return ATOMS.issuperset(map(type, values))


def pack(
    value: Any, blobs: BlobStore, *, on_function: Callable[[types.FunctionType], None] | None = None
) -> bytes:
    """Pickle a value by value.

    Raises:
        NotPicklable: something in it cannot be pickled; the message carries pickle's reason.
    """
    if type(value) in ATOMS and (not isinstance(value, (str, bytes)) or len(value) < BLOB_BYTES):
        return b"P" + pickle.dumps(value, _PROTOCOL)
    try:
        packed = _dump(value, blobs, on_function, find_large=False)
        if len(packed) >= BLOB_BYTES:
            packed = _dump(value, blobs, on_function, find_large=True)
    except (NbqueueError, redis.RedisError):
        raise  # a blob that cannot be stored is not the value's fault
    except Stays as exc:
        raise NotPicklable(_reason(exc)) from exc
    except Exception as exc:  # pickling runs __reduce__ of any class: anything may come out
        raise NotPicklable(f"{_short(value)} cannot be pickled: {_reason(exc)}") from exc
    return packed


def pack_native(value: Any, blobs: BlobStore) -> bytes:
    """Pickle a result in the process that made it: plain pickle where it can, else by value."""
    addresses: list[str] = []
    try:
        body = pickle.dumps(value, _PROTOCOL, buffer_callback=_taker(blobs, addresses))
    except (NbqueueError, redis.RedisError):
        raise
    except Exception:  # whatever plain pickle stumbles over, cloudpickle gets its chance
        return pack(value, blobs)
    if len(body) >= BLOB_BYTES:
        return pack(value, blobs)
    return _join(addresses, body)


def unpack(packed: bytes | memoryview, blobs: BlobStore) -> Any:
    """Unpickle what `pack` gave."""
    view = memoryview(packed)
    if view[0] == ord("P"):
        return pickle.loads(view[1:])  # noqa: S301 - verified by whoever took it out of the store
    (size,) = _LENGTH.unpack_from(view, 1)
    head = 1 + _LENGTH.size + size
    addresses = json.loads(bytes(view[1 + _LENGTH.size : head]))
    return _Unpickler(
        io.BytesIO(view[head:]), blobs, buffers=[blobs.get(a) for a in addresses]
    ).load()


def unpack_exception(packed: bytes, blobs: BlobStore) -> BaseException | None:
    """Unpickle an exception; ``None`` where it did not travel, or its class is not importable."""
    if not packed:
        return None
    try:
        exc = unpack(packed, blobs)
    except Exception:  # the text stands in for it
        return None
    return exc if isinstance(exc, BaseException) else None


def why_no_exception(packed: bytes, blobs: BlobStore) -> str:
    """Say why `unpack_exception` gives none, and what to do about it as far as that is known."""
    try:
        if packed:
            unpack(packed, blobs)
    except Exception as broken:  # as above
        if is_misfit(broken):
            return (
                f"the exception itself does not come back: {broken}, for Python calls it with "
                "what super().__init__() was given: give that all arguments, or define __reduce__"
            )
    return "the exception itself could not be pickled"


def is_misfit(broken: Exception) -> bool:
    """Say whether unpickling failed for a class was called with what its __init__ does not take."""
    return isinstance(broken, TypeError) and "__init__() " in str(broken)


def _dump(value: Any, blobs: BlobStore, on_function: Any, *, find_large: bool) -> bytes:
    addresses: list[str] = []
    file = io.BytesIO()
    cls = _FindingPickler if find_large else _Pickler
    with localmodules.by_value():
        pickler = cls(file, blobs, addresses, on_function)
        pickler.dump(value)
    return _join(addresses, file.getvalue(), has_references=pickler.has_references)


def _join(addresses: list[str], body: bytes, *, has_references: bool = False) -> bytes:
    if not addresses and not has_references:
        return b"P" + body
    head = json.dumps(addresses).encode()
    return b"B" + _LENGTH.pack(len(head)) + head + body


def _taker(blobs: BlobStore, addresses: list[str]) -> Callable[[pickle.PickleBuffer], bool]:
    def take(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < BLOB_BYTES:
            return True  # stays in the pickle
        addresses.append(blobs.put(raw))
        return False

    return take


class _Pickler(cloudpickle.Pickler):
    """cloudpickle's, with local modules rebuilt from their parts and functions reported."""

    def __init__(
        self, file: io.BytesIO, blobs: BlobStore, addresses: list[str], on_function: Any
    ) -> None:
        super().__init__(file, protocol=_PROTOCOL, buffer_callback=_taker(blobs, addresses))
        self._blobs = blobs
        self._on_function = on_function
        self.has_references = False

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.FunctionType) and self._on_function is not None:
            self._on_function(obj)
        if isinstance(obj, Stored):
            self.has_references = True
            return _opened, (obj.address_in(self._blobs),)
        if obj is current_task:  # a proxy, which would be pickled as the None that it stands for
            return getattr, (celery, "current_task")
        if isinstance(obj, logging.Logger) and logger_isa(obj, task_logger):
            return get_task_logger, (obj.name,)  # by its name alone it would be any logger
        if isinstance(obj, types.ModuleType):
            if localmodules.is_local(obj):
                return localmodules.reduce(obj)
            if type(obj) is not types.ModuleType:  # nbqueue itself, and others that load lazily
                return importlib.import_module, (obj.__name__,)
        return _decorated(obj) or super().reducer_override(obj)


_CACHED = type(functools.cache(len))


def _decorated(obj: Any) -> tuple[Any, ...] | None:
    """Reduce what functools makes of a notebook's functions, which cloudpickle leaves to pickle."""
    if isinstance(obj, _CACHED) and not localmodules.is_installed(obj):
        options = obj.cache_parameters()
        return _cached, (obj.__wrapped__, options["maxsize"], options["typed"])
    if isinstance(obj, functools.cached_property):
        return _cached_property, (obj.func, obj.attrname)  # without the lock of older Pythons
    registry = getattr(obj, "registry", None) if isinstance(obj, types.FunctionType) else None
    if isinstance(registry, types.MappingProxyType) and not localmodules.is_installed(obj):
        return _dispatching, (dict(registry),)
    return None


def _cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    return functools.lru_cache(maxsize, typed)(function)


def _cached_property(function: Callable[[Any], Any], name: str | None) -> Any:
    made = functools.cached_property(function)
    made.attrname = name
    return made


def _dispatching(registry: dict[type, Callable[..., Any]]) -> Any:
    made = functools.singledispatch(registry[object])
    for kind, function in registry.items():
        made.register(kind, function)
    return made


class _FindingPickler(_Pickler):
    """Takes large strings and containers out as blobs; asked of every object, so slower."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seen: dict[int, tuple[Any, str | None]] = {}

    def persistent_id(self, obj: Any) -> Any:
        kind = type(obj)
        if kind in (bytes, bytearray, str):
            if len(obj) < BLOB_BYTES:
                return None
        elif kind not in _CONTAINERS or len(obj) < _MANY:
            return None
        if id(obj) not in self._seen:
            self._seen[id(obj)] = (obj, self._as_blob(obj))
        return self._seen[id(obj)][1]

    def _as_blob(self, obj: Any) -> str | None:
        if isinstance(obj, (str, bytes, bytearray)):
            body = b"P" + pickle.dumps(obj, _PROTOCOL)
        else:
            body = _dump(obj, self._blobs, self._on_function, find_large=False)
        if len(body) < BLOB_BYTES:
            return None
        self.has_references = True
        return self._blobs.put(body)


def _opened(address: str) -> NoReturn:
    """Stand in a pickle for a value in the store; `_Unpickler` puts its own method here."""
    raise NotImplementedError(address)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, blobs: BlobStore, buffers: Iterable[memoryview]) -> None:
        super().__init__(file, buffers=buffers)
        self._blobs = blobs
        self._values: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        if name == _opened.__name__ and module == __name__:
            return self.persistent_load
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        if pid not in self._values:  # one object stays one, however often it is referred to
            self._values[pid] = unpack(self._blobs.get(pid), self._blobs)
        return self._values[pid]


def _short(value: Any) -> str:
    text = f"a value of type {type(value).__module__}.{type(value).__qualname__}"
    return text.replace("builtins.", "")


def _reason(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__
