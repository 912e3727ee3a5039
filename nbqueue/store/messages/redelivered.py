"""Messages that a broker delivers again although whoever had them is still running them.

RabbitMQ delivers again what a connection held that is lost, and what a worker has held for longer
than ``consumer_timeout``: half an hour, unless it is set. (It looks once a minute, closes the
worker's channel with "PRECONDITION_FAILED", and delivers all that was held on it.) Neither says
that anybody has died: after a restart of the broker, or in the fifth hour of an item, its worker
goes on, records what comes of it, and only the acknowledgement is too late.

So a worker of such a broker notes in the store what it is at (`worker.bootsteps.renewing`), by a
lease that it renews for as long as it lives, and who gets a message again looks there first:

    nbq:lease:MESSAGE    string  which delivery of a message is being run; expires unless renewed
    nbq:aside            zset    messages that came again meanwhile, by when to look at them
    nbq:aside:messages   hash    those

    no lease   the one who had it is dead, or has ended: it is run, with care   (`executor`)
    a lease    it is put aside here, and acknowledged; some worker sends it again when the lease is
               over, and who gets it then finds that all has been done, unless its holder has died

What is put aside is as safe as all else that is in the store, and nobody is suspected of having
killed a worker because a broker was restarted.

Rejected: a longer timeout by the argument ``x-consumer-timeout`` of our queues. Only RabbitMQ 3.12
and later knows it; a queue that is there without it cannot be declared with it; and it helps
nothing when a connection is lost. A longer `consumer_timeout` in rabbitmq.conf is somebody else's
file. To acknowledge long items early: then nobody has the message of a worker that dies.

On Redis a worker holds its messages by leases anyway (`holding`), and this is not used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import redis

from nbqueue.store import keys
from nbqueue.store.broker.message import Message, encode
from nbqueue.store.lua import source
from nbqueue.store.signing import Keyring

LEASE_S = 5.0
"""How long such a lease lasts, at most. Shorter: an item whose worker stands still for a moment may
run twice if just then its message comes again; longer: what a dead worker ran waits."""

_AT_ONCE = 100
"""Messages that are looked at in one turn. More: the script holds up the store for longer."""


class Delivery(NamedTuple):
    """A message as somebody got it."""

    message_id: str
    token: str
    """Differs from one delivery of a message to the next."""


class Redelivered:
    """Knows which messages are being run, and keeps those that came again meanwhile."""

    def __init__(self, store: redis.Redis, keyring: Keyring, *, lease_s: float) -> None:
        self._keyring = keyring
        self._lease_ms = int(1000 * lease_s)
        self._renew = store.register_script(source("redelivered_renew"))
        self._take = store.register_script(source("redelivered_take"))
        self._over = store.register_script(source("redelivered_over"))
        self._look = store.register_script(source("redelivered_look"))

    def renew(self, deliveries: Iterable[Delivery]) -> None:
        """Begin or renew the leases of messages that are being run."""
        if found := list(deliveries):
            names = [keys.lease(message_id) for message_id, _ in found]
            self._renew(keys=names, args=[self._lease_ms, *(token for _, token in found)])

    def take(self, message: Message, delivery: Delivery) -> bool:
        """Take a message that came again; ``False`` when it is being run, and was put aside."""
        aside = encode(self._keyring, replace(message, came_back=delivery.message_id))
        args: list[int | str] = [self._lease_ms, *delivery, aside]
        names = [keys.lease(delivery.message_id), keys.ASIDE, keys.ASIDE_MESSAGES]
        return bool(self._take(keys=names, args=args))

    def over(self, delivery: Delivery) -> None:
        """Note that a message is not being run any more, if it was: what was put aside is due."""
        self._over(keys=[keys.lease(delivery.message_id), keys.ASIDE], args=[*delivery])

    def look(self) -> int:
        """Have what was put aside be sent (`later`) whose holder is gone; say how many."""
        names = [keys.ASIDE, keys.ASIDE_MESSAGES, keys.LATER]
        return int(self._look(keys=names, args=[keys.lease(""), _AT_ONCE]))
