"""Runs a `Cell` in a function's place: once for each item, each time a fresh copy.

Lean: IPython is imported with the first cell, or when a task displays something (`shell`).
"""

from __future__ import annotations

import builtins
import importlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from nbqueue.core.errors import NotPicklable
from nbqueue.store.code.cell import VALUE, Cell, NotBrought
from nbqueue.store.values.packing import BlobStore, pack_native
from nbqueue.store.values.results import Packed
from nbqueue.worker.capturing import capture
from nbqueue.worker.cells import leftovers
from nbqueue.worker.current import reporting

_SHELL = "nbqueue.worker.cells.shell"

_one_at_a_time = threading.RLock()
"""``sys.modules["__main__"]``, the shell and the descriptors are the process's: in a pool of
threads, cells run one after the other."""


def shell() -> Any:
    """Give this process's shell, made when it is first asked for."""
    with _one_at_a_time:
        return importlib.import_module(_SHELL).shell()


def runner(fresh: Callable[[], Any], blobs: BlobStore) -> Callable[..., Any]:
    """Give a function that runs a cell with an item's arguments and gives the item's result."""

    def run(*args: Any) -> Any:
        cell: Cell = fresh()
        names = {**dict(cell.namespace), **dict(zip(cell.params, args, strict=True))}
        namespace = cell.namespace if isinstance(cell.namespace, dict) else {}
        namespace.update(names)
        namespace.setdefault("__builtins__", builtins)
        with _one_at_a_time, _descriptors():
            try:
                value = shell().run(cell, namespace)
            finally:
                capture.complete()
        if cell.expression:
            return value
        found = {name: namespace[name] for name in cell.out if name in namespace}
        found = {name: v for name, v in found.items() if not leftovers.left(v, cell.pictures)}
        found = leftovers.without_widgets(found)
        if cell.value and value is not None and (kept := leftovers.kept(value)) is not None:
            found[VALUE] = kept
        return _brought(found, blobs)

    return run


def _brought(values: dict[str, Any], blobs: BlobStore) -> Packed:
    """Pack all values that can be pickled, together, so that what they share stays shared."""
    try:
        return Packed(pack_native(values, blobs))
    except NotPicklable:
        return Packed(pack_native({k: _or_not(v, blobs) for k, v in values.items()}, blobs))


def _or_not(value: Any, blobs: BlobStore) -> Any:
    try:
        pack_native(value, blobs)
    except NotPicklable as exc:
        return NotBrought(type(value).__name__, str(exc))
    return value


def _descriptors() -> AbstractContextManager[None]:
    """Have what is written to descriptors 1 and 2 go to the item that this thread runs."""
    here = reporting()
    return nullcontext() if here is None else capture.descriptors(*here, alone=True)
