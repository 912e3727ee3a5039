"""Where a worker or a beat belongs, as its command line and environment say it."""

from __future__ import annotations

import os

from nbqueue.core.errors import UsageError
from nbqueue.core.settings import LEASE_S
from nbqueue.store.broker import routing
from nbqueue.store.broker.broker import REDIS, check_url
from nbqueue.store.connection.connection import redact, store_url
from nbqueue.store.signing import Keyring
from nbqueue.store.wiring import Wiring
from nbqueue.worker.process import memory


class NotSaid(UsageError):
    """Neither an option nor the environment says what must be known."""


def wiring(
    broker: str | None = None, backend: str | None = None, config: str | None = None
) -> Wiring:
    """Give the wiring by two URLs, or by ``$NBQUEUE_BROKER`` and ``$NBQUEUE_BACKEND``.

    ``config`` names a module of Celery settings, of which those about queues are heeded
    (``$NBQUEUE_CONFIG``).

    Raises:
        NotSaid: there is no broker, or one that cannot keep jobs and no store beside it.
        UsageError: ``$NBQUEUE_KEY`` is missing, or a URL or ``$NBQUEUE_LEASE`` not usable.
    """
    broker_url, kept_at = urls(broker, backend)
    return Wiring(
        broker_url=broker_url,
        store_url=kept_at,
        keyring=Keyring.from_environment(),
        settings=routing.settings_of(config or os.environ.get("NBQUEUE_CONFIG")),
        lease_s=_lease_s(),
        memory_mib=_memory_mib(),
    )


def _memory_mib() -> int | None:
    said = os.environ.get("NBQUEUE_MEMORY")
    if not said:
        return None
    found = int(said) if said.isdecimal() else 0
    if found < memory.LEAST_MIB:
        raise UsageError(
            f"$NBQUEUE_MEMORY is {said!r}: give MiB for each process, {memory.LEAST_MIB} or more"
        )
    return found


def _lease_s() -> float:
    said = os.environ.get("NBQUEUE_LEASE") or str(LEASE_S)
    try:
        found = float(said)
    except ValueError:
        found = 0.0
    if not 1 <= found <= 3600:
        raise UsageError(
            f"$NBQUEUE_LEASE is {said!r}: give seconds, from 1 to 3600 ({LEASE_S:g} if you don't)"
        )
    return found


def urls(broker: str | None = None, backend: str | None = None) -> tuple[str, str]:
    """Give the URLs of the broker and the store, by options or the environment.

    Raises:
        NotSaid, UsageError: as in `wiring`; no key is needed.
    """
    broker_url = broker or os.environ.get("NBQUEUE_BROKER")
    if not broker_url:
        raise NotSaid("which broker? Give --broker redis://… or set $NBQUEUE_BROKER")
    check_url(broker_url)
    backend_url = backend or os.environ.get("NBQUEUE_BACKEND")
    if not backend_url and not broker_url.startswith(REDIS):
        raise NotSaid(
            f"the broker {redact(broker_url)} cannot keep jobs: give --backend redis://… too, or "
            "set $NBQUEUE_BACKEND"
        )
    return broker_url, store_url(backend_url or broker_url)
