"""The cache of results: what an item returned and displayed, under the digest of what it ran.

    stored  =  signature | uint32 length | JSON list of outputs | packed result

An entry is signed for its digest, so a result cannot be passed off as another's. It lasts as long
as jobs do, from its last use.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import redis

from nbqueue.core.settings import RESULT_EXPIRES_S
from nbqueue.store import keys
from nbqueue.store.signing import Keyring

_LENGTH = struct.Struct("<I")
_TTL_S = int(RESULT_EXPIRES_S)

FRESH = "!"
"""In front of a job's digest: what is cached is not looked up, and replaced by what comes out."""


class Cached(NamedTuple):
    """What an item came to."""

    packed: bytes
    """Its result, as `packing.pack_native` gave it."""
    outputs: Sequence[Mapping[str, Any]]
    """What it displayed, as `records.Output` has it."""


class ResultCache:
    """Results by digest, in the store."""

    def __init__(self, store: redis.Redis, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    def get(self, digest: str) -> Cached | None:
        """Give what is cached under a digest, verified.

        Raises:
            BadSignature: an entry is there, and not signed with a key of this process.
        """
        sealed = cast("bytes | None", self._store.getex(keys.cached(digest), ex=_TTL_S))
        if sealed is None:
            return None
        body = self._keyring.unseal(_context(digest), sealed)
        (size,) = _LENGTH.unpack_from(body)
        start = _LENGTH.size + size
        return Cached(bytes(body[start:]), json.loads(bytes(body[_LENGTH.size : start])))

    def put(self, digest: str, cached: Cached) -> None:
        """Keep what an item came to."""
        head = json.dumps(list(cached.outputs)).encode()
        body = b"".join((_LENGTH.pack(len(head)), head, cached.packed))
        self._store.set(keys.cached(digest), self._keyring.seal(_context(digest), body), ex=_TTL_S)

    def clear(self) -> int:
        """Delete all entries; give how many those were."""
        found = self._keys()
        return int(self._store.delete(*found)) if found else 0

    def count(self) -> int:
        """Give how many entries there are."""
        return len(self._keys())

    def _keys(self) -> list[bytes]:
        return list(self._store.scan_iter(match=keys.cached("*"), count=1000))


def _context(digest: str) -> str:
    return f"cached result {digest}"
