"""Connections to the store: redis-py clients whose timeouts end and whose errors help.

`Store` is redis-py's client, but for what comes of a command that fails: it waits, where its thread
has the `patience`, and what it raises says in nbqueue's words what is wrong (`refusals`).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from nbqueue.core.errors import UsageError
from nbqueue.core.redaction import Url
from nbqueue.core.redaction import redact as redact
from nbqueue.core.settings import CONNECT_TIMEOUT_S
from nbqueue.store.connection import keepalive, patience, refusals, tls
from nbqueue.store.connection.patience import Patience, Source, nobody

T = TypeVar("T")

SCHEMES = ("redis://", "rediss://", "unix://")

_COMMAND_S = 30
"""Longest wait for a reply. Less, and a store under load seems to be away."""


def store_url(url: str) -> Url:
    """Turn a Celery-style URL into redis-py's (a socket is ``redis+socket://`` in the one)."""
    url = re.sub(r"^redis\+socket://", "unix://", url).replace("?virtual_host=", "?db=")
    # Celery also takes the names of the ssl module; redis-py has words of its own.
    url = re.sub(r"(ssl_cert_reqs=)(?:CERT_)?(\w+)", lambda m: m[1] + m[2].lower(), url)
    if not url.startswith(SCHEMES):
        raise UsageError(
            f"the store must be Redis ({', '.join(SCHEMES)}), not {redact(url)!r}; "
            "with another broker pass backend='redis://...'"
        )
    return Url(url)


class Pool(redis.ConnectionPool):
    """redis-py's, whose lock the garbage collector may take in the middle of its holder's work.

    A client that has a connection of its own gives it back as it is collected; with redis-py 5 the
    thread that is just taking one then waits for itself. (Private; later versions have this.)
    """

    def reset(self) -> None:
        """Start anew, as in a fork."""
        super().reset()
        if isinstance(getattr(self, "_lock", None), type(threading.Lock())):
            self._lock = threading.RLock()


class Store(redis.Redis):
    """redis-py's client, with the store's errors and this thread's `patience`."""

    where = ""
    """Its URL, without the password."""
    patience: Source = staticmethod(nobody)
    """What threads have that have not said how long they wait."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command.

        Raises:
            refusals.BrokerUnreachable, refusals.StoreRefused: which are `redis.RedisError`, too.
        """
        try:
            return self._execute(*args, **options)
        except (redis.RedisError, OSError) as exc:
            return _again(self, exc, lambda: self._execute(*args, **options))

    def client(self) -> Store:
        """Give a client with a connection of its own."""
        made: Store = super().client()  # type: ignore[no-untyped-call]  # redis-py
        return self._like(made)

    def _execute(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        """Give a pipeline with the same errors and patience."""
        made = _Pipe(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        return self._like(made)

    def _like(self, made: S) -> S:
        made.where, made.patience = self.where, self.patience
        return made


class _Pipe(Pipeline):
    where = ""
    patience: Source = staticmethod(nobody)

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack, scripts = list(self.command_stack), set(self.scripts)
        try:
            return super().execute(raise_on_error)
        except (redis.RedisError, OSError) as exc:
            run = super().execute

            def again() -> list[Any]:
                self.command_stack, self.scripts = list(stack), set(scripts)
                return run(raise_on_error)

            return _again(self, exc, again)


S = TypeVar("S", Store, _Pipe)


def _again(asked: Store | _Pipe, exc: redis.RedisError | OSError, run: Callable[[], T]) -> T:
    """Run what has failed until it succeeds or the patience of this thread is at its end."""
    patient: Patience | None = None
    while True:
        explained = refusals.explained(exc, asked.where)
        if explained is None:
            raise exc
        patient = patient or patience.for_a_wait(asked.patience)
        if patient is None or not patient.wait(explained):
            raise explained from None  # (what it came from has the password among its variables)
        try:
            found = run()
        except (redis.RedisError, OSError) as again:
            exc = again
        else:
            patient.outage.found()
            return found


def connect(url: str, *, client_name: str | None = None, command_s: float = _COMMAND_S) -> Store:
    """Give a client for a store; the first command connects, and each is tried three times.

    Not ``decode_responses``: everything of weight in the store is bytes.
    """
    options: dict[str, Any] = {"client_name": client_name} if client_name else {}
    # redis-py 8 would give up a command after 5 s by itself; a busy store under load is slower.
    options |= secured(url) | keepalive_of(url)
    pool = Pool.from_url(
        store_url(url),
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=command_s,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
        **options,
    )
    # (redis-py's hints say that a subclass's `from_pool` gives a plain client.)
    store: Store = Store.from_pool(pool)  # type: ignore[assignment]
    store.where = redact(url)
    return store


def secured(url: str) -> dict[str, Any]:
    """Give redis-py's options for TLS, where a store's URL wants it.

    Raises:
        UsageError: the URL says of it what nobody understands.
    """
    found = tls.of(url)
    return {} if found is None else tls.for_redis(found)


def keepalive_of(url: str) -> dict[str, Any]:
    """Give redis-py's options by which a dead connection is noticed; a socket's never dies so."""
    return {} if store_url(url).startswith("unix://") else keepalive.options()


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
                **secured(url),
            )
        except ValueError as exc:
            raise UsageError(f"{redact(url)!r} is not a URL of a Redis: {exc}") from None
        with first:
            # Not PING: a Redis whose disk is full refuses that, though it can be read.
            first.echo("")


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


def eviction(store: Store) -> str:
    """Say that a Redis throws away jobs when its memory is full; empty when it does not.

    Raises:
        refusals.BrokerUnreachable: it does not answer.
    """
    try:
        said: dict[str, Any] = store.info("memory")
    except redis.ResponseError:  # its ACL keeps that to itself
        return ""
    policy = str(said.get("maxmemory_policy", "noeviction"))
    if not int(said.get("maxmemory", 0)) or policy == "noeviction":
        return ""
    return (
        f"Redis at {store.where} throws keys away when its memory is full (maxmemory-policy is "
        f"{policy}), and with them jobs, messages and results, without a word. To mend it: CONFIG "
        "SET maxmemory-policy noeviction, and the same in its redis.conf"
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
    except (redis.RedisError, OSError) as exc:
        explained = refusals.explained(exc, redact(url))
        if explained is None:
            raise
        raise explained from None  # (what it came from has the password among its variables)
