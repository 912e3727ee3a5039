"""Connecting: which broker, store and key a client gets, and which client is the default one.

What is given comes first, then the environment, then the private cluster of this user. There is
one default client a process; a fork makes its own.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from celery import Celery

from nbqueue.client.client import Client
from nbqueue.client.projects.joining import Project, project_of
from nbqueue.client.saying import say
from nbqueue.cluster import embedded
from nbqueue.core.errors import UsageError
from nbqueue.core.redaction import Url, secret, url
from nbqueue.store.broker import routing
from nbqueue.store.broker.broker import REDIS, check_url
from nbqueue.store.connection.connection import redact, store_url
from nbqueue.store.signing import Keyring
from nbqueue.store.wiring import own

_lock = threading.RLock()
_default: Client | None = None
_failed: tuple[str, Exception] | None = None
"""What `connect` was last told to connect to in vain, and why; while there is no default client."""


def connect(
    broker: str | None = None,
    *,
    app: Celery | str | None = None,
    backend: str | None = None,
    key: str | None = None,
    name: str = "default",
    task_routes: Any = None,
    task_queues: Any = None,
    config: Any = None,
    result_expires: float | timedelta | None = None,
    task_send_sent_event: bool = False,
) -> Client:
    """Connect to a broker and a store; the result becomes the default client.

    Args:
        broker: Any Celery broker URL (``redis://``, ``rediss://``, ``redis+socket://``,
            ``amqp://``, ``filesystem:///shared/folder`` …). Without one, ``$NBQUEUE_BROKER``;
            without that, the embedded cluster of this user and Python environment, which is started
            if it does not run.
        app: A Celery project to share broker and Redis with: where its app is, as ``celery -A`` has
            it (``"proj.celery:app"``), or the app itself. Its tasks are ``nq.tasks()`` then.
            Functions of the notebook go to the queue ``nbqueue``, which the project's own workers
            do not consume, and workers of ours do (``nbqueue worker -Q nbqueue``).
        backend: URL of the Redis that keeps jobs; by default the broker, if that is Redis.
        key: Signing key, the same as the workers'; by default ``$NBQUEUE_KEY``.
        name: A name for the connection.
        task_routes: Which tasks go where, as Celery's setting: a dict from names and patterns to
            queues, or a function of the task's name, or a list of them.
        task_queues: Queues that are more than a name, as Celery's setting: ``kombu.Queue`` objects,
            with the exchanges and routing keys that lead to them.
        config: Celery settings, as a dict, a module or its name, of which those about routing,
            time zones, ``broker_transport_options`` and those below are heeded; by default
            ``$NBQUEUE_CONFIG``.
        result_expires: How long a job that is sent from here is kept from its end: seconds or a
            timedelta, from a second to a week, which is the default. A job that runs never expires.
        task_send_sent_event: Send Celery's event ``task-sent`` for each message, for Flower and
            ``nbqueue events``.

    Raises:
        UsageError: no broker URL, no key, a broker other than Redis without ``backend`` (of a
            project: neither its broker nor its result backend is one), no such app, or no such
            time.
        BrokerUnreachable: within a few seconds, when broker or store do not answer.
        ClusterError: the embedded cluster could not be started.

    >>> nq.connect()                                        # doctest: +CLUSTER +ELLIPSIS
    <Client 'default': connected, redis+socket://...>
    """
    broker, backend, key = url(broker), url(backend), secret(key)
    given = {
        "task_routes": task_routes,
        "task_queues": task_queues,
        "result_expires": result_expires,
        "task_send_sent_event": task_send_sent_event or None,
    }
    try:
        client = _opened(broker, app, backend, key, name, _settings(config, given))
    except Exception as exc:
        _note_failure(broker, app, exc)
        raise
    return _make_default(client)


def _settings(config: Any, given: Mapping[str, Any]) -> Mapping[str, Any]:
    settings = routing.settings_of(config or os.environ.get("NBQUEUE_CONFIG"))
    return {**settings, **{name: value for name, value in given.items() if value is not None}}


def _opened(
    broker: str | None,
    app: Celery | str | None,
    backend: str | None,
    key: str | None,
    name: str,
    settings: Mapping[str, Any],
) -> Client:
    """Give a client of what `connect` was told, which has reached its broker and store."""
    if app is None:
        return _connected(broker, backend, key, name, settings)
    project = project_of(app)
    broker = Url(project.broker_url) if broker is None else broker
    backend = backend or url(os.environ.get("NBQUEUE_BACKEND") or project.store_url(broker))
    client = _connected(broker, backend, key, name, {**project.settings, **settings})
    client.project = project
    return client


def _note_failure(broker: str | None, app: Celery | str | None, exc: Exception) -> None:
    """Remember that a call would not reach what was asked for; an open default client stays."""
    global _failed
    if opened() is not None:
        return
    if broker is not None:
        _failed = redact(broker), exc
    elif app is not None:
        _failed = f"the project {app!r}", exc


def _connected(
    broker: str | None,
    backend: str | None,
    key: str | None,
    name: str,
    settings: Mapping[str, Any],
) -> Client:
    home = own() if broker is None and backend is None else None
    if home is not None:  # a task that sends more work
        return Client(
            home.broker_url,
            home.store_url,
            home.keyring,
            name=name,
            folder=home.folder,
            settings={**home.settings, **settings},
        )
    if broker is None:
        broker = url(os.environ.get("NBQUEUE_BROKER") or None)
    if broker is None:
        return connect_address(embedded.ensure(), name, settings)
    return _remote(broker, backend, key, name, settings)


def connect_address(
    address: embedded.Address, name: str = "default", settings: Mapping[str, Any] | None = None
) -> Client:
    """Connect to an embedded cluster that runs; the result becomes the default client."""
    if address.notice:
        say(address.notice)
    client = Client(
        address.broker_url,
        address.store_url,
        Keyring(address.key),
        name=name,
        folder=address.folder,
        keepalive=address.keepalive,
        settings=settings,
    )
    return _make_default(client)


def default_client() -> Client:
    """Give the default client, connecting to the embedded cluster (or ``$NBQUEUE_BROKER``) first.

    A forked process gets a connection of its own. A private cluster that was ended is started
    again.

    Raises:
        UsageError: the last `connect` to somewhere else has failed: what is called now is not meant
            for any other cluster.
    """
    with _lock:
        if _failed is not None:
            where, exc = _failed
            raise UsageError(
                f"not connected: nq.connect to {where} has failed ({type(exc).__name__}), and no "
                "other cluster is taken in its stead; call nq.connect(...) again, or nq.connect() "
                "for a private cluster on this machine"
            ) from exc
        if _default is not None and _default._pid != os.getpid() and not _default._closed:
            _make_default(_default.again())
        if _default is not None and _default.outage.lasts:
            _default.begin_again()
        if _default is None or _default._closed:
            connect()
        assert _default is not None
        return _default


def opened() -> Client | None:
    """Give the default client if there is one and it is open; connects to nothing."""
    return None if _default is None or _default.closed else _default


def connect_aside(broker: str | None, backend: str | None, key: str | None) -> Client:
    """Connect as ``nq.connect`` does, and leave the default client as it is."""
    global _default
    with _lock:
        before = _default
        try:
            settings = routing.settings_of(os.environ.get("NBQUEUE_CONFIG"))
            return _connected(broker, backend, key, "aside", settings)
        finally:
            _default = before


def current_project() -> Project | None:
    """Give the Celery project that the default client was connected for, if there is one."""
    return None if _default is None else _default.project


def _remote(
    broker_url: str,
    backend: str | None,
    key: str | None,
    name: str,
    settings: Mapping[str, Any],
) -> Client:
    check_url(broker_url)
    if backend is None:
        backend = url(os.environ.get("NBQUEUE_BACKEND") or None)
    if backend is None:
        if not broker_url.startswith(REDIS):
            raise UsageError(
                f"the broker {redact(broker_url)} cannot keep jobs: pass backend='redis://...' "
                "too, or set $NBQUEUE_BACKEND"
            )
        backend = broker_url
    keyring = Keyring(key) if key is not None else Keyring.from_environment()
    return Client(broker_url, store_url(backend), keyring, name=name, settings=settings)


def _make_default(client: Client) -> Client:
    global _default, _failed
    client.on_close = _forget
    with _lock:
        _default, _failed = client, None
    return client


def _forget(client: Client) -> None:
    global _default
    with _lock:
        if _default is client:
            _default = None


@atexit.register
def _close_default() -> None:
    if _default is not None:
        _default.close()
