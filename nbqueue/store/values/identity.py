"""What makes two values the same for the cache: a digest that survives the kernel.

A function's pickle names the file that its cell was compiled in and the line, which another kernel
names otherwise, and cloudpickle gives each class of the notebook a random mark. Here both are left
out: the same source with the same captured values has the same digest, wherever it was typed.

Equal digests mean equal values. The converse does not hold: a value that does not pickle the same
way twice (an object that pickles the time, or its address; two equal texts where there was one and
the same) has another digest each time, which costs a cached result and never gives a wrong one.
Sets, whose order differs from process to process, are put in order here.
"""

from __future__ import annotations

import hashlib
import pickle
import types
from typing import Any

import cloudpickle

from nbqueue.core.errors import NotPicklable
from nbqueue.store.values import localmodules

_TRACKER = {"_make_skeleton_class": 4, "_make_skeleton_enum": 5}
"""Where among the arguments of its class makers cloudpickle has the random mark."""


def identity(value: Any) -> str:
    """Give the digest of a value: 64 hexadecimal digits.

    Raises:
        NotPicklable: it cannot be pickled, so it cannot be told from others.
    """
    try:
        with localmodules.by_value():
            return _digest(value)
    except Exception as exc:  # pickling runs __reduce__ of any class: anything may come out
        raise NotPicklable(f"cannot be cached, because it cannot be pickled: {exc}") from exc


def is_steady(value: Any) -> bool:
    """Say whether a value has the same digest twice, as far as this process can tell."""
    try:
        return identity(value) == identity(value)
    except NotPicklable:
        return False


def _digest(value: Any) -> str:
    digest = hashlib.sha256()
    _Digester(digest).dump(value)
    return digest.hexdigest()


class _Into:
    """A file that only remembers the digest of what is written to it."""

    def __init__(self, digest: Any) -> None:
        self.write = digest.update


class _Digester(cloudpickle.Pickler):
    def __init__(self, digest: Any) -> None:
        def take(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            digest.update(b"%d:" % raw.nbytes)
            digest.update(raw)
            return False

        super().__init__(_Into(digest), protocol=5, buffer_callback=take)

    def persistent_id(self, obj: Any) -> Any:
        # Asked of everything, where `reducer_override` is not asked of built-in types.
        if type(obj) is set or type(obj) is frozenset:
            return type(obj).__name__, sorted(map(_digest, obj))
        return None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.CodeType):
            return tuple, (_meaning(obj),)
        if isinstance(obj, types.ModuleType) and localmodules.is_local(obj):
            return localmodules.reduce(obj)
        reduced = super().reducer_override(obj)
        if not isinstance(reduced, tuple):
            return reduced
        mark = _TRACKER.get(getattr(reduced[0], "__name__", ""))
        return reduced if mark is None else _unmarked(reduced, mark)


def _meaning(code: types.CodeType) -> tuple[Any, ...]:
    """Give what a code object does, without where it was written."""
    return (
        code.co_code,
        code.co_consts,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags,
        getattr(code, "co_exceptiontable", b""),
    )


def _unmarked(reduced: Any, mark: int) -> tuple[Any, ...]:
    make, args, (state, slots), *rest = reduced
    args = (*args[:mark], "", *args[mark + 1 :])
    # Python 3.13 notes the line at which a class begins.
    state = {name: value for name, value in state.items() if name != "__firstlineno__"}
    return (make, args, (state, slots), *rest)
