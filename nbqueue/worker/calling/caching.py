"""Results from the cache, as a wrapper around what the executor calls.

An item's digest is that of its job's function and of its own arguments, as the worker got them. A
job without the option is not wrapped and pays nothing. Only successes are kept. Of arguments that
do not pickle the same way twice nothing would ever be found again: that is told, once a job, among
what the item printed, and nothing is kept.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Callable
from typing import Any

from nbqueue.core.errors import BadSignature, Expired, NotPicklable
from nbqueue.core.outputs import settle
from nbqueue.core.records import JobSpec
from nbqueue.store.values.cache import FRESH, Cached, ResultCache
from nbqueue.store.values.identity import identity
from nbqueue.store.values.packing import BlobStore, unpack
from nbqueue.store.values.results import Packed
from nbqueue.worker.reporting.ranges import RangeRun
from nbqueue.worker.reporting.reporter import Reporter

log = logging.getLogger("nbqueue.worker")

Function = Callable[..., Any]

_told = ""
"""The job that was told of last; this process works on few at a time."""


def within(
    spec: JobSpec,
    function: Function,
    pack: Callable[[Any], Packed],
    cache: ResultCache,
    blobs: BlobStore,
    run: RangeRun,
    reporter: Reporter,
) -> Function:
    """Give the function with the cache in front of it; what it gives is packed."""
    fresh = spec.cache.startswith(FRESH)
    steady = False

    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal steady
        item = run.current
        digest = _digest(spec, args, kwargs)
        found = None if fresh else _look_up(cache, blobs, digest)
        if found is not None:
            for output in found.outputs:
                reporter.output(item, output)
            reporter.hit(item)
            return Packed(found.packed)
        if not steady:  # one of a range stands for the others: it costs another digest
            steady = bool(digest) and digest == _digest(spec, args, kwargs)
            if not steady:
                digest = ""
                _tell(spec, item, reporter)
        with reporter.recording(item) as outputs:
            packed = pack(function(*args, **kwargs))
        if digest:
            cache.put(digest, Cached(packed, settle(outputs)))
        return packed

    return call


def _tell(spec: JobSpec, item: int, reporter: Reporter) -> None:
    global _told
    if _told != spec.id:
        _told = spec.id
        reporter.printed(
            item,
            "stderr",
            "nbqueue: this is never found in the cache again: its arguments do not pickle the same "
            "way twice\n",
        )


def _digest(spec: JobSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Give the digest of a call; empty when its arguments have none, and it is run each time."""
    try:
        told = identity((args, sorted(kwargs.items())))
    except NotPicklable:
        return ""
    return hashlib.sha256(f"{spec.python} {spec.cache.lstrip(FRESH)} {told}".encode()).hexdigest()


def _look_up(cache: ResultCache, blobs: BlobStore, digest: str) -> Cached | None:
    try:
        found = cache.get(digest) if digest else None
        if found is not None and found.packed[:1] != b"P":
            unpack(found.packed, blobs)  # its large parts are kept apart and may be gone
    except Expired:
        return None
    except BadSignature as exc:  # of another key's workers: this one puts its own in its place
        log.warning("a cached result was refused: %s", exc)
        return None
    return found
