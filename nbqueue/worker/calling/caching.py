"""Results from the cache, as a wrapper around what the executor calls.

An item's digest is that of its job's function and of its own arguments, as the worker got them. A
job without the option is not wrapped and pays nothing. Only successes are kept.
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
from nbqueue.store.values.cache import Cached, ResultCache
from nbqueue.store.values.identity import identity
from nbqueue.store.values.packing import BlobStore, unpack
from nbqueue.store.values.results import Packed
from nbqueue.worker.reporting.ranges import RangeRun
from nbqueue.worker.reporting.reporter import Reporter

log = logging.getLogger("nbqueue.worker")

Function = Callable[..., Any]


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

    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        item = run.current
        digest = _digest(spec, args, kwargs)
        found = _look_up(cache, blobs, digest)
        if found is not None:
            for output in found.outputs:
                reporter.output(item, output)
            reporter.hit(item)
            return Packed(found.packed)
        with reporter.recording(item) as outputs:
            packed = pack(function(*args, **kwargs))
        if digest:
            cache.put(digest, Cached(packed, settle(outputs)))
        return packed

    return call


def _digest(spec: JobSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Give the digest of a call; empty when its arguments have none, and it is run each time."""
    try:
        told = identity((args, sorted(kwargs.items())))
    except NotPicklable:
        return ""
    return hashlib.sha256(f"{spec.python} {spec.cache} {told}".encode()).hexdigest()


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
