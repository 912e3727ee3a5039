"""Argument blocks: what a job's items are called with, many items to a block.

    block  =  packed ("columns", (column, column, ...))     positional arguments, a list (or a
                                                           range) a parameter
           |  packed ("rows", [(args, kwargs), ...])         anything else

    form   =  "columns" or "rows", and "+refs" when arguments are Refs (`refs`)

Refs that are arguments stay Refs until an item is called: a frame of a thousand arrays loads none,
and an item has its own. Columns are smaller and quicker than rows, and the frame wants them. A
block is signed for its job and number, so blocks cannot be swapped.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import redis

from nbqueue.core.errors import Expired, NotPicklable
from nbqueue.core.settings import BLOB_BYTES
from nbqueue.store import keys
from nbqueue.store.signing import Keyring
from nbqueue.store.values.packing import BlobStore, Stays, all_atoms, pack, unpack
from nbqueue.store.values.refs import Pointer, Ref

_PROBATION_S = 24 * 3600
"""Blocks of a job that was never accepted (a client that died while it sent) go after this. Longer
than such a job can wait in its queue until a worker opens it, if its client died in between."""

_ADVICE = "Pass what it is made from instead (a path, a URL, a seed), and make it inside the task"

Call = tuple[tuple[Any, ...], dict[str, Any]]


class Block:
    """The arguments of consecutive items."""

    def __init__(self, form: str, data: Any) -> None:
        form, _, refs = form.partition("+")
        self.columns: Sequence[Sequence[Any]] | None = data if form == "columns" else None
        self._rows: list[Any] | None = None if form == "columns" else data
        self.has_refs = bool(refs)

    def __len__(self) -> int:
        return len(self.columns[0] if self.columns is not None else self._rows or ())

    @property
    def rows(self) -> list[tuple[Any, ...]] | None:
        """What its items are called with, Refs as they are; ``None`` if not by position alone."""
        if self.columns is None:
            return None
        if self._rows is None:  # not before: a frame needs columns only
            self._rows = list(zip(*self.columns, strict=True))
        return self._rows

    def call(self, place: int) -> Call:
        """Give what one item is called with, Refs as they are."""
        rows = self.rows
        if rows is not None:
            return rows[place], {}
        args, kwargs = (self._rows or ())[place]
        return tuple(args), dict(kwargs)

    def opened(self, place: int) -> Call:
        """Give what one item is called with, and a copy of its own of each Ref's value.

        Raises:
            Expired: a Ref's value is not in the store any more.
        """
        args, kwargs = self.call(place)
        if not self.has_refs:
            return args, kwargs
        return tuple(map(_open, args)), {name: _open(value) for name, value in kwargs.items()}


def pack_columns(
    columns: Sequence[Sequence[Any]], blobs: BlobStore, names: Sequence[str], first: int
) -> bytes:
    """Pack a block of columns; ``first`` is the number of its first item, for error messages."""
    pointed = [_pointing(column, blobs) for column in columns]
    same = all(a is b for a, b in zip(pointed, columns, strict=True))
    try:
        return pack(("columns" if same else "columns+refs", tuple(pointed)), blobs)
    except NotPicklable as exc:
        raise _named(columns, blobs, names, first, exc) from None


def pack_rows(
    rows: Sequence[tuple[Any, ...]], blobs: BlobStore, names: Sequence[str], first: int
) -> bytes:
    """Pack a block of rows that are not equally long."""
    try:
        return pack(("rows", [(row, {}) for row in rows]), blobs)
    except NotPicklable as exc:
        for place, row in enumerate(rows):
            try:
                pack(row, blobs)
            except NotPicklable:
                raise _named([[v] for v in row], blobs, names, first + place, exc) from None
        raise


def pack_call(
    args: tuple[Any, ...], kwargs: dict[str, Any], blobs: BlobStore, names: Sequence[str]
) -> bytes:
    """Pack the block of a single call."""
    if all_atoms(args) and all_atoms(kwargs.values()):
        quick = b"P" + pickle.dumps(("rows", [(args, kwargs)]), 5)
        if len(quick) < BLOB_BYTES:
            return quick
    row = _pointing(args, blobs), _pointing_named(kwargs, blobs)
    same = row[0] is args and row[1] is kwargs
    try:
        return pack(("rows" if same else "rows+refs", [row]), blobs)
    except NotPicklable as exc:
        columns = [[value] for value in (*args, *kwargs.values())]
        raise _named(columns, blobs, [*names[: len(args)], *kwargs], 0, exc) from None


def call_of(row: Any) -> Call:
    """Give the call that a row of arguments stands for: a tuple of them, or a dict by name.

    Raises:
        TypeError: it is neither, nor can be gone through.
    """
    return ((), dict(row)) if isinstance(row, Mapping) else (tuple(row), {})


def pack_calls(calls: Sequence[Call], blobs: BlobStore, names: Sequence[str], first: int) -> bytes:
    """Pack a block of calls with keyword arguments."""
    rows = [(_pointing(args, blobs), _pointing_named(kwargs, blobs)) for args, kwargs in calls]
    same = all(a is args and k is kw for (a, k), (args, kw) in zip(rows, calls, strict=True))
    try:
        return pack(("rows" if same else "rows+refs", rows), blobs)
    except NotPicklable as exc:
        for place, (args, kwargs) in enumerate(calls):
            columns = [[value] for value in (*args, *kwargs.values())]
            named = [*names[: len(args)], *kwargs]
            try:
                pack((args, kwargs), blobs)
            except NotPicklable:
                raise _named(columns, blobs, named, first + place, exc) from None
        raise


def read(packed: bytes | memoryview, blobs: BlobStore) -> Block:
    """Read a packed block (verified before)."""
    form, data = unpack(packed, blobs)
    if form == "columns+refs":
        data = tuple(_pointed(column, blobs) for column in data)
    elif form == "rows+refs":
        data = [
            (
                _pointed(args, blobs),
                dict(zip(kwargs, _pointed(kwargs.values(), blobs), strict=True)),
            )
            for args, kwargs in data
        ]
    return Block(form, data)


def _pointing(values: Sequence[Any], blobs: BlobStore) -> Sequence[Any]:
    """Give values with a `Pointer` for each Ref; the same object when there is none."""
    if type(values) is range or not any(issubclass(k, Ref) for k in set(map(type, values))):
        return values
    return [v.pointer(blobs) if isinstance(v, Ref) else v for v in values]


def _pointing_named(values: dict[str, Any], blobs: BlobStore) -> dict[str, Any]:
    given = list(values.values())
    pointing = _pointing(given, blobs)
    return values if pointing is given else dict(zip(values, pointing, strict=True))


def _pointed(values: Iterable[Any], blobs: BlobStore) -> list[Any]:
    """Give values with the Refs again."""
    return [v.ref(blobs) if isinstance(v, Pointer) else v for v in values]


def _open(value: Any) -> Any:
    return value.get() if isinstance(value, Ref) else value


def seal(keyring: Keyring, job_id: str, number: int, packed: bytes) -> bytes:
    """Sign a packed block for its place."""
    return keyring.seal(_context(job_id, number), packed)


class Arguments:
    """The argument blocks of a store's jobs."""

    def __init__(self, store: redis.Redis, keyring: Keyring, blobs: BlobStore) -> None:
        self._store = store
        self._keyring = keyring
        self._blobs = blobs

    def put(self, job_id: str, number: int, packed: bytes) -> None:
        """Store a packed block; it stays only if the job is opened within a day."""
        key = keys.args(job_id)
        pipe = self._store.pipeline(transaction=False)
        pipe.hset(key, str(number), seal(self._keyring, job_id, number, packed))
        pipe.expire(key, _PROBATION_S)  # each time: a slow generator may take longer than that
        pipe.execute()

    def keep(self, job_id: str) -> None:
        """Keep the blocks that were added to a job that runs for as long as the job."""
        self._store.persist(keys.args(job_id))

    def discard(self, job_id: str) -> None:
        """Drop the blocks of a job that is not going to be."""
        self._store.delete(keys.args(job_id))

    def get(self, job_id: str, number: int) -> Block:
        """Read a block.

        Raises:
            Expired: the job is not in the store any more.
            BadSignature: the block was changed, or signed with another key.
        """
        return read(self._packed(job_id, number), self._blobs)

    def copy(self, source: str, job_id: str, number: int) -> None:
        """Give a job a block of another's.

        Raises:
            Expired, BadSignature: as `get`.
        """
        self.put(job_id, number, bytes(self._packed(source, number)))

    def _packed(self, job_id: str, number: int) -> bytes | memoryview:
        sealed = cast("bytes | None", self._store.hget(keys.args(job_id), str(number)))
        if sealed is None and number == 0:
            sealed = cast("bytes | None", self._store.hget(keys.meta(job_id), "call"))
        if sealed is None:
            raise Expired(f"the arguments of job {job_id!r} are not in the store any more")
        return self._keyring.unseal(_context(job_id, number), sealed)


def _context(job_id: str, number: int) -> str:
    return f"arguments {number} of job {job_id}"


def _named(
    columns: Sequence[Sequence[Any]],
    blobs: BlobStore,
    names: Sequence[str],
    first: int,
    exc: NotPicklable,
) -> NotPicklable:
    """Find the value that cannot be pickled and say which it is."""
    for column, values in enumerate(columns):
        for place, value in enumerate(values):
            try:
                pack(value, blobs)
            except NotPicklable as reason:
                name = names[column] if column < len(names) else f"argument {column}"
                said = f"item {first + place}: {name}={_brief(value)}: {reason}. Nothing was sent"
                advised = isinstance(reason.__cause__, Stays)
                return NotPicklable(said if advised else f"{said}. {_ADVICE}")
    return NotPicklable(f"{exc}. Nothing was sent")


def _brief(value: Any) -> str:
    """Show a value in few characters, whatever its own repr does."""
    try:
        text = repr(value)
    except Exception:  # it is somebody's code: anything may come out
        text = ""
    return text if 0 < len(text) <= 80 else object.__repr__(value)
