"""Messages that are due later: a job's ``eta``, an item's next try, a limit that is reached.

Such a message waits in the store and not at the broker, with a worker or without: Celery's way (a
worker takes the message and holds it until its time) is delivered again and again on Redis, where
holding a message has a time limit, and lost to sight everywhere. The workers look at what is due
(`worker.bootsteps.releasing`) and hand it to the broker:

    keep → nbq:later (by when it is due) → claim (put off by `_CLAIM_S`) → the broker → drop

A worker that dies with a claimed message delays it by `_CLAIM_S`. A message may come to the broker
twice, and is recorded once. Whoever runs it asks whether its job still wants it: a cancelled job's
messages stay here until they are due, and are nothing then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

import redis

from nbqueue.core.errors import UsageError
from nbqueue.core.records import Rejected
from nbqueue.core.settings import KEEP_EXTRA_S, RESULT_EXPIRES_S
from nbqueue.store import keys
from nbqueue.store.broker import message
from nbqueue.store.broker.message import Message, Unverified
from nbqueue.store.broker.publisher import Publisher
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.lua import source
from nbqueue.store.signing import Keyring

log = logging.getLogger("nbqueue.store")

_CLAIM_S = 10.0
"""How long a process has for sending what it has claimed, before another sends it again."""

_LOOK_AGAIN_S = 24 * 3600.0
"""A message that is due later than this is looked at each day: functions in the store expire when
nobody has used them for some days, and the one that it names must not."""

_FUNCTION_S = RESULT_EXPIRES_S + KEEP_EXTRA_S

_LISTEN_S = 20
"""How long Redis lets a process wait for the bell: less than a connection may be silent (30 s)."""

_AT_ONCE = 100
"""Messages that one process claims at a time; others may take the next."""


class Later:
    """Keeps messages until they are due."""

    def __init__(
        self,
        store: redis.Redis,
        keyring: Keyring,
        joblog: JobLog,
        publisher: Publisher,
        *,
        now: Callable[[], float],
        name: str,
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._joblog = joblog
        self._publisher = publisher
        self._now = now
        self._name = name
        self._client: Any = None
        self._listening = False
        self._keep = store.register_script(source("later_keep"))
        self._claim = store.register_script(source("later_claim"))
        self._drop = store.register_script(source("later_drop"))

    def keep(self, kept: Message, due: float) -> str:
        """Keep a message until ``due``, in seconds since the epoch by the store's clock.

        A message that is kept already (the same items, round and so on) is due then instead. Gives
        its envelope.
        """
        envelope = self.envelope(kept)
        self._keep(keys=[keys.LATER, keys.LATER_BELL], args=[due, envelope])
        return envelope

    def envelope(self, kept: Message) -> str:
        """Give the form in which a message is kept."""
        return message.encode(self._keyring, kept)

    def send(self, outgoing: Message) -> None:
        """Give a job's first message to the broker, or keep it until the job's ``eta``.

        Raises:
            BrokerUnreachable: the broker does not take it.
        """
        eta, expires = outgoing.spec.route.eta, outgoing.spec.limits.expires
        # (What expires before its eta is sent then, for a worker to say so.)
        due = eta if eta is None or expires is None else min(eta, expires)
        if due is None or due <= self._now():
            self._publisher.send(outgoing)
            return
        if due > self._now() + _LOOK_AGAIN_S:
            due = self._now() + _LOOK_AGAIN_S
            self._store.expire(keys.function(outgoing.spec.function), _FUNCTION_S)
        self.keep(outgoing, due)

    def drop(self, envelope: str | None) -> None:
        """Keep a message no longer, if one was."""
        if envelope is not None:
            self._store.zrem(keys.LATER, envelope)

    def release(self) -> float | None:
        """Send what is due; give when the next message is (``None``: there is none).

        Raises:
            BrokerUnreachable: the broker does not take it; nothing is lost.
        """
        until = round(self._now() + _CLAIM_S, 6)
        found = cast(
            "list[bytes]",
            self._claim(keys=[keys.LATER], args=[self._now(), until, _AT_ONCE]),
        )
        sent: list[Any] = []
        try:
            for envelope in found[1:]:
                if self._release(envelope.decode(errors="replace")):
                    sent.append(envelope)
        finally:
            if sent:
                self._drop(keys=[keys.LATER], args=[until, *sent])
        return float(found[0]) if found[0] else None

    def wait(self, timeout_s: float) -> None:
        """Wait until a message is kept that is due before all others, or for ``timeout_s``.

        Of several processes that wait, one hears. Only for one thread.
        """
        # An idle Redis looks ten times a second only whether a wait is over: so it is told to wait
        # for long, and asked on when a shorter wait is over here.
        if self._client is None:
            self._client = cast("Any", self._store).client()
        connection: Any = self._client.connection
        try:
            if not self._listening:
                words = ("BLPOP", keys.LATER_BELL, _LISTEN_S)
                connection.send_packed_command(connection.pack_command(*words))
                self._listening = True
            if connection.can_read(timeout_s):
                connection.read_response()
                self._listening = False
        except BaseException:
            self._listening = False
            connection.disconnect()
            raise

    def _release(self, envelope: str) -> bool:
        """Send a message; ``False`` when it stays, for another try when its claim has run out."""
        try:
            kept = message.decode(self._keyring, envelope)
        except Unverified as exc:
            log.error("refused a message that was kept: %s", exc)
            if exc.names_items:
                record = Rejected(
                    exc.round, ((exc.start, exc.stop),), self._name, type(exc).__name__
                )
                self._joblog.commit(exc.job_id, record, self._now())
            return True
        try:
            self.send(kept)
        except UsageError as exc:  # an exchange that has come to lead nowhere: others can be sent
            log.error("job %s: %s", kept.spec.name, exc)
            return False
        return True
