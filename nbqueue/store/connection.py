"""Connections to the store: redis-py clients whose timeouts end and whose errors help."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from nbqueue.core.errors import BrokerUnreachable, StoreRefused, UsageError
from nbqueue.core.settings import CONNECT_TIMEOUT_S

SCHEMES = ("redis://", "rediss://", "unix://")

_SECRET = re.compile(r"(://[^:/@\s]*):[^\s;]*@|((?:password|key)=)[^&\s]*")
"""Up to the last @ of a URL: people do write passwords with one in it."""


def redact(url: str) -> str:
    """Give a URL without its password."""
    return _SECRET.sub(lambda m: f"{m[1]}:***@" if m[1] is not None else f"{m[2]}***", url)


def store_url(url: str) -> str:
    """Turn a Celery-style URL into redis-py's (a socket is ``redis+socket://`` in the one)."""
    url = re.sub(r"^redis\+socket://", "unix://", url).replace("?virtual_host=", "?db=")
    # Celery also takes the names of the ssl module; redis-py has words of its own.
    url = re.sub(r"(ssl_cert_reqs=)CERT_(\w+)", lambda m: m[1] + m[2].lower(), url)
    if not url.startswith(SCHEMES):
        raise UsageError(
            f"the store must be Redis ({', '.join(SCHEMES)}), not {redact(url)!r}; "
            "with another broker pass backend='redis://...'"
        )
    return url


def connect(url: str, *, client_name: str | None = None) -> redis.Redis:
    """Give a client for a store; the first command connects.

    Not ``decode_responses``: everything of weight in the store is bytes.
    """
    options: dict[str, Any] = {"client_name": client_name} if client_name else {}
    # redis-py 8 would give up a command after 5 s by itself; a busy store under load is slower.
    return redis.Redis.from_url(
        store_url(url),
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=30,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
        **options,
    )


def probe(url: str) -> None:
    """See that a store answers, soon.

    Raises:
        BrokerUnreachable: within a few seconds, when it does not, or wants other credentials.
    """
    with translated(url):
        try:
            first = redis.Redis.from_url(
                store_url(url),
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                socket_timeout=CONNECT_TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as exc:
            raise UsageError(f"{redact(url)!r} is not a URL of a Redis: {exc}") from None
        with first:
            first.ping()


def impatient(store: redis.Redis, timeout_s: float = CONNECT_TIMEOUT_S) -> redis.Redis:
    """Give a client for the same store that soon gives up: to ask whether it answers."""
    pool = store.connection_pool
    options = {
        **pool.connection_kwargs,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
    }
    return redis.Redis.from_pool(
        redis.ConnectionPool(connection_class=pool.connection_class, **options)
    )


def clock_offset(store: redis.Redis) -> float:
    """Seconds to add to this machine's clock to get the store's.

    The best of three readings; the error is at most half of that one's round trip (Cristian, 1989).
    """
    readings = []
    for _ in range(3):
        before = time.time()
        seconds, micros = store.time()
        after = time.time()
        readings.append((after - before, seconds + micros / 1e6 - (before + after) / 2))
    return min(readings)[1]


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn redis-py's errors into ours within the block.

    Raises:
        BrokerUnreachable: nobody answers at the URL, or it wants other credentials.
        StoreRefused: Redis answered and refused.
    """
    try:
        yield
    except redis.AuthenticationError as exc:
        raise BrokerUnreachable(
            f"Redis at {redact(url)} refuses these credentials ({exc}): check user and password"
        ) from None
    except (redis.ConnectionError, redis.TimeoutError, OSError) as exc:
        raise BrokerUnreachable(
            f"no Redis answers at {redact(url)} ({_first_line(exc)}): check that it runs and that "
            "the URL is right"
        ) from exc
    except redis.ResponseError as exc:
        raise StoreRefused(
            f"Redis at {redact(url)} refused: {_first_line(exc)} (out of memory? read-only "
            "replica? disk full?)"
        ) from exc


def _first_line(exc: BaseException) -> str:
    return redact((str(exc).strip() or type(exc).__name__).splitlines()[0])
