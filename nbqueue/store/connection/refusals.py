"""What Redis means by an error, and what to do about it: redis-py's exceptions in nbqueue's words.

    away       nobody answers, or not yet (loading), or no connection is to be had
    refused    Redis answers, and takes no writes: no memory, a replica, its disk is full …

Both are exceptions of nbqueue's and of redis-py's at once: whoever deals with a store that is away
says ``except redis.RedisError``, and a person who meets one reads what to do. Pure: text in, text
out.
"""

from __future__ import annotations

import re

import redis

from nbqueue.core import errors
from nbqueue.core.redaction import redact
from nbqueue.store.connection import tls


class BrokerUnreachable(errors.BrokerUnreachable, redis.ConnectionError):
    """Nobody answers, or not with these credentials."""

    __repr__ = BaseException.__repr__  # (redis-py's is about its own fields)


class StoreRefused(errors.StoreRefused, redis.ResponseError):
    """Redis answered, and refused the command for what it is."""

    __repr__ = BaseException.__repr__


class RefusedForNow(StoreRefused):
    """Redis takes nothing at the moment; when that is mended it takes the same command."""


_GOES_ON = "then what waits goes on by itself"

_FOR_NOW = {
    "OOM": (
        "it is out of memory (maxmemory is reached, and it evicts nothing)",
        "raise its maxmemory (CONFIG SET maxmemory 2gb) or forget jobs (job.forget()); " + _GOES_ON,
    ),
    "MISCONF": (
        "it cannot save its data (disk full?)",
        "free space where that Redis keeps its data; " + _GOES_ON,
    ),
    "READONLY": (
        "it is a read-only replica",
        "connect to the primary, or make this one the primary (REPLICAOF NO ONE); " + _GOES_ON,
    ),
    "NOREPLICAS": ("it misses replicas (min-replicas-to-write)", "bring them back; " + _GOES_ON),
    "MASTERDOWN": ("its primary is down", "bring that back; " + _GOES_ON),
    "CLUSTERDOWN": ("its cluster is down", "see CLUSTER INFO; " + _GOES_ON),
    "BUSY": ("somebody's script keeps it busy", "wait, or end that (SCRIPT KILL); " + _GOES_ON),
    "NOPERM": (
        "its ACL does not allow the command to this user",
        "give the user all commands on nbqueue's and Celery's keys (ACL SETUSER)",
    ),
}

_BY_TYPE = {
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.NoPermissionError: "NOPERM",
}

_OURS_TO_HANDLE = (redis.exceptions.NoScriptError, redis.WatchError)
"""Errors that callers take as an answer."""

_CODE = re.compile(rf"(?:^|[\s:-])({'|'.join(_FOR_NOW)})\s")
"""A code within a text: of a script's error (Redis 6), of a pipeline's, of a transaction's."""

_COMMAND = re.compile(r"\ACommand # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
_SCRIPT = re.compile(r"^Error running script.*@user_script: ?\d+: ?-?(?=\S)")
"""What Redis 6 says before the error of a command in a script: nothing that a person needs."""

_TEXTS = (("used memory > 'maxmemory'", "OOM"), ("read only replica", "READONLY"))
"""Beginnings of texts of which redis-py has cut the code off."""


def explained(exc: redis.RedisError | OSError, where: str) -> errors.NbqueueError | None:
    """Put an error of the store at ``where`` into words; ``None`` if it is not about the store."""
    if isinstance(exc, (errors.NbqueueError, *_OURS_TO_HANDLE)):
        return None
    if isinstance(exc, redis.ResponseError):
        return _refused(exc, where)
    if isinstance(exc, (redis.ConnectionError, redis.TimeoutError, OSError)):
        return BrokerUnreachable(_away(exc, where))
    return None


def _refused(exc: redis.ResponseError, where: str) -> errors.NbqueueError:
    text = first_line(exc)
    code = code_of(exc)
    if code is None:
        return StoreRefused(f"Redis at {where} refused a command: {text}")
    what, do = _FOR_NOW[code]
    text = _SCRIPT.sub("", text)
    return RefusedForNow(f"Redis at {where} refuses to write: {what}. To mend it: {do} ({text})")


def code_of(exc: BaseException) -> str | None:
    """Give the code of a refusal that is about Redis's state, and not about the command."""
    for cls, code in _BY_TYPE.items():
        if isinstance(exc, cls):
            return code
    text = str(exc)
    found = _CODE.search(text)
    if found:
        return found[1]
    return next((code for words, code in _TEXTS if words in text), None)


def _away(exc: BaseException, where: str) -> str:
    text = first_line(exc)
    if mended := tls.advice(exc):
        return f"Redis at {where} is not to be trusted: {mended}"
    if isinstance(exc, redis.AuthenticationError):
        return f"Redis at {where} refuses these credentials ({text}): check user and password"
    if isinstance(exc, redis.BusyLoadingError):
        return f"Redis at {where} is still loading its data ({text}): try again in a moment"
    if "max number of clients" in text:
        return (
            f"Redis at {where} has no room for another connection ({text}): close clients that "
            "nobody needs (CLIENT LIST shows them), or raise its maxclients"
        )
    check = "check that it runs"
    if where.startswith("rediss://"):
        check += ", that it speaks TLS at this port,"
    return f"no Redis answers at {where} ({text}): {check} and that the URL is right{ended(text)}"


def ended(text: str) -> str:
    """Say what else it may be where a Unix socket is gone, which a private cluster takes along."""
    if "No such file" not in text:
        return ""
    return (
        "; a private cluster that was ended (`nbqueue down`) is started again by nq.connect() or "
        "`nbqueue up`, and goes on with its jobs"
    )


def first_line(exc: BaseException) -> str:
    """Give the first line of an error's text, or its type where it has none.

    Of a pipeline's error without the command, which has the values in it that were to be written.
    """
    text = _COMMAND.sub("", str(exc)).strip()
    return redact((text or type(exc).__name__).splitlines()[0][:300])
