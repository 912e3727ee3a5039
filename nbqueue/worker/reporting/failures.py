"""Exceptions of tasks to `Error` records: text for people, and the exception if it travels."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

from celery.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded

from nbqueue.core.records import Error
from nbqueue.store.values.packing import BlobStore, is_misfit, pack_native, unpack
from nbqueue.worker.process import memory

_PACKAGE = Path(__file__).parents[2]
_CALLS = {str(_PACKAGE / "client" / "task.py"), str(_PACKAGE / "store" / "code" / "behaviour.py")}
"""Where a task that calls a task by its name comes through."""

_MESSAGE_CHARS = 10_000
_TRACEBACK_CHARS = 100_000


def describe(exc: BaseException, blobs: BlobStore, *, hide: str = "") -> Error:
    """Give the error record of an exception.

    The outer frames of the folder ``hide`` (the executor's own) are left out of the traceback, and
    so is what stands between a task and the task that it calls.
    """
    tb: TracebackType | None = exc.__traceback__
    while hide and tb is not None and tb.tb_frame.f_code.co_filename.startswith(hide):
        tb = tb.tb_next
    if isinstance(exc, MemoryError):
        memory.explain(exc)
    try:
        message = message_of(exc)
        lines = _traceback(exc, tb)
    except Exception as broken:  # an exception's own __str__ may raise anything
        message = f"<its __str__ raised {type(broken).__name__}>"
        lines = "".join(traceback.format_tb(tb))
    return Error(
        type=_name(type(exc)),
        message=_cut(message, _MESSAGE_CHARS),
        traceback=_cut(lines, _TRACEBACK_CHARS),
        pickled=_pickled(exc, blobs),
    )


def message_of(exc: BaseException) -> str:
    """Give what an exception says."""
    # Celery's limits give their repr where the message belongs.
    if isinstance(exc, (SoftTimeLimitExceeded, TimeLimitExceeded)) and exc.args:
        return str(exc.args[0])
    return str(exc)


def _name(cls: type) -> str:
    module = cls.__module__
    return (
        cls.__qualname__ if module in ("builtins", "__main__") else f"{module}.{cls.__qualname__}"
    )


def _traceback(exc: BaseException, tb: TracebackType | None) -> str:
    """Give a traceback without our frames between tasks, so that Python folds a recursion."""
    told = traceback.TracebackException(type(exc), exc, tb, compact=True)
    left = [told]
    while left:
        one = left.pop()
        one.stack[:] = [frame for frame in one.stack if not _is_call(frame)]
        beside = (one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ()))
        left += [other for other in beside if other is not None]
    return "".join(told.format())


def _is_call(frame: traceback.FrameSummary) -> bool:
    return frame.name == "__call__" and frame.filename in _CALLS


def _pickled(exc: BaseException, blobs: BlobStore) -> bytes:
    """Pickle an exception if it comes back whole, or if the client can say why it does not."""
    packed = b""
    try:
        packed = pack_native(exc, blobs)
        return packed if type(unpack(packed, blobs)) is type(exc) else b""
    except Exception as broken:  # any reason is good enough: the text travels instead
        return packed if is_misfit(broken) else b""


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - limit:,} characters left out …\n{text[-half:]}"
