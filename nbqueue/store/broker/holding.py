"""Messages that workers hold of a broker on Redis: how they are noted, kept, and given back.

Redis knows no acknowledgements. A message is taken out of its queue, so kombu notes it as held by
whoever took it, until it is acknowledged; when it has been noted for too long, somebody puts it
back. "Too long" is an hour, because kombu does not know how long a task may take: a dead worker's
messages lie there for an hour, and a task of two hours is started twice. Here a message is held by
a *lease* of seconds, which its worker renews for as long as it lives (`worker.bootsteps.leases`):

    nbq:unacked        hash  delivery tag -> JSON [message, "", its queue]
    nbq:unacked:index  zset  delivery tag by when its lease ends; negative: by how long it is to be

- The keys are nbqueue's own. Plain Celery workers on the same broker put back what has been held
  for longer than *their* time; they neither see these messages, nor are theirs touched here.
- Only Redis's clock counts, so those of machines may differ by more than a lease. Who takes a
  message notes for how long it wants it; the first that looks for leases that have ended (`sweep`)
  counts from then on. Taking a message so costs no question for the time.
- A message that is put back gets another delivery tag. Its late holder (stopped for a while, or cut
  off) then renews and acknowledges what is no more, and takes nothing from the next one.
- A holder that renews in the last moment keeps its message: it is put back only if its lease still
  is as it was when it was found to have ended.

`QoS` does not wait for receipts either: waiting for these replies was 60 % of a worker's main
process. The commands are sent just the same, and their replies read before the next ones are sent:
once in the socket's buffer, they reach Redis even if this process dies the next instant.

This needs kombu's private parts, as `transport` does, and no other module touches them.
"""

from __future__ import annotations

import json
import logging
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import redis
from kombu.transport import redis as kombu_redis
from kombu.transport.virtual import QoS as VirtualQoS
from kombu.utils.uuid import uuid

from nbqueue.core.settings import LEASE_S
from nbqueue.store.lua import source

log = logging.getLogger("nbqueue.store")

UNACKED = "nbq:unacked"
INDEX = UNACKED + ":index"
MUTEX = UNACKED + ":mutex"

FITS = all(
    hasattr(owner, name)
    for owner, name in [
        (kombu_redis.Channel, "_q_for_pri"),
        (kombu_redis.Channel, "_get_message_priority"),
        (kombu_redis.Channel, "pool"),
        (kombu_redis.Channel, "from_transport_options"),
        (kombu_redis.Transport, "_deliver"),
        (kombu_redis.QoS, "unacked_key"),
        (kombu_redis.QoS, "unacked_index_key"),
        (kombu_redis.QoS, "restore_visible"),
    ]
)
"""Whether this kombu has the parts that are used here."""

_CLAIM_S = 5.0
"""How long a process has for putting back a message, before another does."""

_AT_ONCE = 100
"""Messages that one process puts back at a time; others may take the next."""

in_hand: Callable[[], Collection[Any]] = tuple
"""Gives the messages that this process's pool is at: a connection that is lost does not end those
(`worker.bootsteps.leases` says which they are)."""

_noted: weakref.WeakSet[QoS] = weakref.WeakSet()
"""The notes of all of this process's channels."""


def first_lease_s(lease_s: float) -> float:
    """Give how long a message is held until the first renewal is missed.

    It counts from when somebody looks, which after the death of all workers is when there is a new
    one. So it is a shorter one, if that leaves room for a renewal that is late.

    >>> first_lease_s(10.0), first_lease_s(5.0), first_lease_s(2.0)
    (5.0, 4.0, 2.0)
    """
    return min(lease_s, max(lease_s / 2, 4.0))


class QoS(kombu_redis.QoS):
    """The messages that this process holds of one channel."""

    _client: Any = None
    _connection: Any = None
    _owed = 0
    """Replies that have not been read yet."""
    _delivering = False
    _delivered_now: tuple[Any, str] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lease = -first_lease_s(float(self.channel.lease_s))
        self._pool = self.channel.pool  # for later: what is held may outlive its channel
        self._writing = threading.RLock()
        """In a pool of threads or greenlets an item may acknowledge in its own, beside others."""
        _noted.add(self)

    @contextmanager
    def delivering(self, then: Callable[[], None]) -> Iterator[None]:
        """Note the message that arrives in this block at its end, when ``then`` is done with."""
        self._delivering = True
        try:
            yield
            then()
        finally:
            self._delivering = False
            self._note_delivered()

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that this process holds from now on."""
        self._delivered_now = message, delivery_tag
        if not self._delivering:
            self._note_delivered()
        VirtualQoS.append(self, message, delivery_tag)

    def _note_delivered(self) -> None:
        with self._writing:  # to the end: nobody may acknowledge it before it is noted
            if self._delivered_now is None:
                return
            (message, delivery_tag), self._delivered_now = self._delivered_now, None
            raw = json.dumps([message._raw, "", self.channel.taken_from])
            self._write(
                ("ZADD", self._index, self._lease, delivery_tag),
                ("HSET", self._unacked, delivery_tag, raw),
            )

    def ack(self, delivery_tag: str) -> None:
        """Take out a message that is done."""
        try:
            self._note_delivered()
            self._write(("ZREM", self._index, delivery_tag), ("HDEL", self._unacked, delivery_tag))
        finally:  # what could not be taken out comes again, unless its lease were renewed
            VirtualQoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Take out a message, or put it back at the end of its queue."""
        if not requeue:
            self.ack(delivery_tag)
            return
        try:
            self._note_delivered()
            # Over another connection: it must not be quicker than what this one has written.
            self._settle()
            self._held.give_back([delivery_tag], last=True)
        finally:
            VirtualQoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Put back the messages that this process holds, but for those that its pool is at."""
        goes_on = {message.delivery_tag for message in in_hand()}
        tags = [tag for tag in self.tags() if tag not in goes_on]
        try:
            self._note_delivered()
            self._settle()
            if tags:
                self._held.give_back(tags)
        finally:  # what could not be put back is when its lease ends
            for tag in tags:
                VirtualQoS.ack(self, tag)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Put them back because the channel is closed."""
        super().restore_unacked_once(stderr)
        with self._writing:
            self._settle()
            self._drop()  # an acknowledgement that is still to come opens it anew
            self._pool.disconnect()

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Leave it to `Held.sweep`: kombu goes by this machine's clock, and looks seldom."""

    def tags(self) -> list[str]:
        """Give the delivery tags of what this process holds (from any thread)."""
        while True:
            try:
                return [tag for tag in tuple(self._delivered) if tag not in self._dirty]
            except RuntimeError:  # another thread has taken a message meanwhile
                continue

    @cached_property
    def _held(self) -> Held:
        return Held(self.channel, self._pool)

    @cached_property
    def _unacked(self) -> str:
        return f"{self.channel.global_keyprefix}{self.unacked_key}"

    @cached_property
    def _index(self) -> str:
        return f"{self.channel.global_keyprefix}{self.unacked_index_key}"

    def _write(self, *commands: tuple[Any, ...]) -> None:
        with self._writing:
            try:
                self._read_replies()
                self._send(commands)
            except (redis.ConnectionError, redis.TimeoutError, OSError):
                # Redis was away; a new connection either works or tells the consumer to reconnect.
                self._drop()
                self._send(commands)

    def _send(self, commands: tuple[tuple[Any, ...], ...]) -> None:
        if self._connection is None:
            # (The pool itself is asked differently from one redis-py to the next.)
            self._client = redis.Redis(connection_pool=self._pool, single_connection_client=True)
            self._connection = self._client.connection
        self._connection.send_packed_command(self._connection.pack_commands(commands))
        self._owed += len(commands)

    def _settle(self) -> None:
        """Have Redis done with what was sent to it, as far as that can be known."""
        with self._writing:
            try:
                self._read_replies()
            except (redis.ConnectionError, redis.TimeoutError, OSError):
                # A worker that ends has closed its connections before it comes to give back what
                # it holds. A receipt that got lost costs a message more, whose items are done.
                self._drop()

    def _read_replies(self) -> None:
        while self._owed:
            self._owed -= 1
            try:
                self._connection.read_response()
            except redis.ResponseError as exc:
                # Out of memory, say. The message is run all the same; lost if this worker dies now.
                log.warning("Redis refuses to note a message that is being run: %s", exc)

    def _drop(self) -> None:
        connection, self._connection, self._owed = self._connection, None, 0
        if connection is not None:
            connection.disconnect()
            self._client.close()


class Held:
    """What all workers of a broker hold, seen through one channel."""

    def __init__(self, channel: Any, pool: Any = None) -> None:
        self._channel = channel
        prefix = channel.global_keyprefix
        self._keys = [prefix + channel.unacked_index_key, prefix + channel.unacked_key]
        self._lease_s = float(channel.lease_s)
        # Not the channel's own client: that one prefixes some of a script's keys, and not others.
        self._redis = redis.Redis(connection_pool=pool or channel.pool)
        self._scripts = {
            name: self._redis.register_script(source(name))
            for name in ("lease_renew", "lease_sweep", "lease_end")
        }

    def renew(self, *, now: float | None = None) -> int:
        """Renew the leases of all messages that this process holds; say how many those are.

        (``now``, here and below, is for tests.)

        Raises:
            redis.RedisError: the broker is away.
        """
        tags = [tag for noted in tuple(_noted) for tag in noted.tags()]
        if tags:
            self._run("lease_renew", _at(now), self._lease_s, *tags)
        return len(tags)

    def sweep(self, *, now: float | None = None) -> int:
        """Put back into their queues the messages whose leases have ended; say how many.

        Raises:
            redis.RedisError: the broker is away; what is not put back, somebody will.
        """
        found = self._run("lease_sweep", _at(now), _CLAIM_S, _AT_ONCE)
        return sum(
            self._put_back(tag, raw, claimed=claimed)
            for tag, claimed, raw in zip(found[::3], found[1::3], found[2::3], strict=True)
        )

    def give_back(self, tags: Iterable[str] | None = None, *, last: bool = False) -> int:
        """Put back messages that are held, whatever their lease; without tags, all of everybody's.

        They are the next ones, or with ``last`` the last.
        """
        found: Any
        if tags is None:
            found = self._redis.hgetall(self._keys[1])
        else:
            chosen = list(tags)
            raws: Any = self._redis.hmget(self._keys[1], chosen) if chosen else []
            found = dict(zip(chosen, raws, strict=True))
        return sum(self._put_back(tag, raw, last=last) for tag, raw in found.items() if raw)

    def _put_back(self, tag: Any, raw: bytes, *, claimed: bytes = b"", last: bool = False) -> bool:
        payload, _, queue = json.loads(raw)
        payload["headers"]["redelivered"] = True
        properties = payload["properties"]
        properties["delivery_info"]["redelivered"] = True
        properties["delivery_tag"] = uuid()
        key = self._channel.list_of(queue, payload)
        side = "LPUSH" if last else "RPUSH"
        end = self._scripts["lease_end"]
        return bool(end(keys=[*self._keys, key], args=[tag, claimed, side, json.dumps(payload)]))

    def _run(self, script: str, *args: Any) -> Any:
        return self._scripts[script](keys=self._keys, args=args)


class LeasedChannel(kombu_redis.Channel):
    """A channel whose messages are held as described above."""

    QoS = QoS
    lease_s: float = LEASE_S
    from_transport_options: Any = (*kombu_redis.Channel.from_transport_options, "lease_s")
    unacked_key = UNACKED
    unacked_index_key = INDEX
    unacked_mutex_key = MUTEX

    @property
    def taken_from(self) -> str:
        """The queue that the latest message comes from."""
        return str(self.connection.taken_from)

    def list_of(self, queue: str, payload: Any) -> str:
        """Give the key of the list into which a message of a queue belongs."""
        priority = self._get_message_priority(payload, reverse=False)
        return f"{self.global_keyprefix}{self._q_for_pri(queue, priority)}"


class LeasedTransport(kombu_redis.Transport):
    """Knows which queue a message comes from: it goes back there, and nowhere else.

    (kombu asks the message's exchange, which only those know who have declared it.)
    """

    taken_from = ""

    def _deliver(self, message: Any, queue: str) -> None:
        self.taken_from = queue
        super()._deliver(message, queue)


def _at(now: float | None) -> float | str:
    return "" if now is None else now
