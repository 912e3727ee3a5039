"""`Client`: a connection to one broker and one store, with all that its jobs need of both.

`connecting` makes clients, and knows which one is the process's default.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from celery.utils.time import maybe_make_aware

from nbqueue.client import listing
from nbqueue.client.code import CodeCache
from nbqueue.client.expiry import expiry
from nbqueue.client.follower import UNREAD, Follower
from nbqueue.client.job import Job
from nbqueue.client.live import Live
from nbqueue.client.projects.joining import Project
from nbqueue.client.remote import control
from nbqueue.client.remote.roster import Roster
from nbqueue.client.revival import Revival
from nbqueue.client.saying import say
from nbqueue.client.schedules.scheduler import Scheduler
from nbqueue.client.unheard import Unheard
from nbqueue.core.errors import UsageError
from nbqueue.store import rejections
from nbqueue.store.broker import broker, routing
from nbqueue.store.broker.publisher import Publisher
from nbqueue.store.code.functions import Functions
from nbqueue.store.connection.connection import (
    Store,
    clock_offset,
    eviction,
    probe,
    redact,
    translated,
)
from nbqueue.store.connection.connection import connect as connect_store
from nbqueue.store.connection.patience import Outage, Patience
from nbqueue.store.log.joblog import JobLog
from nbqueue.store.messages.later import Later
from nbqueue.store.messages.plans import Plans
from nbqueue.store.messages.sequels import Sequels
from nbqueue.store.messages.turns import Turns
from nbqueue.store.nodes import Nodes
from nbqueue.store.signing import Keyring
from nbqueue.store.values import arguments
from nbqueue.store.values.arguments import Arguments, Block
from nbqueue.store.values.blobs import Blobs, cache_folder, private_folder
from nbqueue.store.values.cache import ResultCache
from nbqueue.store.wiring import own

if TYPE_CHECKING:
    import pandas as pd

_PATIENCE_S = 10.0
"""How long a call waits for a store or a broker that is away. Redis and RabbitMQ restart in less;
longer, and whoever works at the notebook is kept from finding out."""

_COMMAND_S = 8.0
"""Longest wait for a reply of a store that is silent, before another try: a person waits for it."""


class Client:
    """A connection to a broker and a store; made by ``nq.connect``.

    >>> with nq.connect() as client:                        # doctest: +CLUSTER
    ...     client.jobs().columns[0]
    'name'
    """

    project: Project | None = None
    """The Celery project that it was made for."""
    on_close: Callable[[Client], None] | None = None
    """Is told when it was closed."""
    _closed = False

    def __init__(
        self,
        broker_url: str,
        backend_url: str,
        keyring: Keyring,
        *,
        name: str = "default",
        folder: Path | None = None,
        keepalive: Any = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.id = secrets.token_hex(8)
        self.name = name
        self.broker_url = redact(broker_url)
        """Where messages go, without its password."""
        self.keyring = keyring
        self.app = broker.make_app(broker_url, settings=settings)
        self.result_expires_s = expiry((settings or {}).get("result_expires"))
        """How long its jobs are kept from their end; 0 for the default."""
        self.routed = not routing.ROUTES.isdisjoint(settings or ())
        """Whether Celery's router is asked where a job goes."""
        self.publisher = Publisher(self.app, keyring)
        self._folder = folder
        self.outage = Outage(say)
        """What is known of its store being away."""
        self._keepalive = keepalive
        self._revival = Revival(folder if keepalive is not None else None)
        self._pid = os.getpid()

        def make() -> Client:
            shared = connect_store(backend_url) if keepalive is not None else None
            made = Client(
                broker_url,
                backend_url,
                keyring,
                name=name,
                folder=folder,
                keepalive=shared,
                settings=settings,
            )
            made.project = self.project
            return made

        # A closure, because attributes get printed and URLs have passwords.
        self._make = make
        self.lives: WeakValueDictionary[str, Live] = WeakValueDictionary()
        """The jobs that somebody holds, by id: however often one is found, it is followed once."""
        self.store = store = self._reach(backend_url)
        self._clock_offset_s = clock_offset(store)
        self.joblog = JobLog(store, keyring)
        self.follower = Follower(store, self.joblog, self.id, self.outage)
        self.follower.start()
        broker.ping(self.app, broker_url)
        blobs = private_folder(folder / "blobs") if folder else cache_folder()
        self.blobs = Blobs(store, keyring, blobs, remote=folder is None)
        self.functions = Functions(store, keyring, self.blobs, settles_in=False)
        self.cache = ResultCache(store, keyring)
        self.arguments = Arguments(store, keyring, self.blobs)
        self.turns = Turns(store)
        me = f"client {self.id}"
        keyring.on_refusal = rejections.counter(store, me)
        self.later = Later(store, keyring, self.joblog, self.publisher, now=self.now, name=me)
        self.plans = Plans(self.joblog, self.later, self.blobs, now=self.now, name=me)
        self.sequels = Sequels(
            store,
            keyring,
            self.joblog,
            self.later,
            self.blobs,
            plans=self.plans,
            now=self.now,
            name=me,
        )
        self.schedules = Scheduler(self, store, backend_url)
        self.default_queue: str = self.app.conf.task_default_queue
        self.unheard = Unheard(self)
        self.follower.on_sweep, self.follower.on_look = self.sequels.release, self._look
        self.nodes, self.roster = Nodes(store), Roster()
        self.code = CodeCache(self.functions, self.blobs)
        self.follower.on_lost = self._distrust
        self.store_url = redact(backend_url)
        """Where jobs are kept, without its password."""

    def _reach(self, backend_url: str) -> Store:
        probe(backend_url)
        store = connect_store(
            backend_url, client_name=f"{self._known_as()}-{os.getpid()}", command_s=_COMMAND_S
        )
        store.patience = self.publisher.patience = self._patience
        if not self.embedded and (warning := eviction(store)):
            say(warning)
        return store

    def _distrust(self) -> None:
        """Take nothing for granted after an outage: Redis may have begun anew, with nothing."""
        self.publisher.suspect()
        self.code.forget()
        if (kept := self._revival.look()) is not None:
            self._keepalive.close()
            self._keepalive = kept

    def begin_again(self) -> None:
        """Start this user's private cluster if that was ended: somebody uses this client again.

        Closes this client if the cluster's folder, with its key, is gone: another one is needed.

        Raises:
            ClusterError: it cannot be started; with the reason.
        """
        if self._folder is None or self._keepalive is None or not self._revival.was_ended():
            return
        if not (self._folder / "key").exists():
            self.close()
            return
        kept = self._revival.begin_again()
        self._keepalive.close()
        self._keepalive = kept

    def _patience(self) -> Patience:
        return Patience(_PATIENCE_S, self.outage)

    def _look(self) -> None:
        lives = [self.lives.get(job.id) for job in self.follower.unfinished()]
        self.unheard.look([live for live in lives if live is not None])

    @property
    def embedded(self) -> bool:
        """Whether its cluster is a private one on this machine: one worker with many processes."""
        return self._folder is not None

    def _known_as(self) -> str:
        # (A private cluster stays while it has clients; what its own tasks send holds it anyway.)
        return "nbqueue-client" if own() is None else "nbqueue-task"

    def cwd(self) -> str:
        """Folder that tasks run in: this process's, where the workers are on this machine."""
        # (pathlib takes ten times as long, for each call that is sent.)
        return os.getcwd() if self.embedded else ""  # noqa: PTH109 - see above

    def again(self) -> Client:
        """Give a client for the same broker and store: a forked process needs one of its own."""
        return self._make()

    def now(self) -> float:
        """Seconds since the epoch, by the store's clock."""
        return time.time() + self._clock_offset_s

    def timestamp(self, moment: datetime) -> float:
        """Seconds since the epoch; a moment without a time zone is in Celery's (UTC if unset)."""
        return float(maybe_make_aware(moment, self.app.timezone, naive_as_utc=False).timestamp())

    def job(self, id_or_name: str) -> Job:
        """Find a job by id, or the latest by name, with all that is known of it.

        Raises:
            UnknownJob: there is none; the message lists near matches.
            UsageError: it is no text.
            Expired: its log is gone.

        >>> _ = double.map([1, 2], name="a pair")           # doctest: +CLUSTER
        >>> nq.connect().job("a pair").n                    # doctest: +CLUSTER
        2
        """
        if not isinstance(id_or_name, str):
            raise UsageError(
                f"a job is found by its id or its name, a text, not by {id_or_name!r}; nq.jobs() "
                "lists those there are"
            )
        with translated(self.store_url):
            self.follower.open_if_taken()
            job_id = self.joblog.find(id_or_name)
            known = self.lives.get(job_id)
            live = known or Live(self, self.joblog.spec(job_id))
            if known is None:
                live.replays, live.cursor = True, UNREAD
            self.follower.follow(live, elsewhere=True)
            self.follower.catch_up(live)
            live.replays = False
        return Job(live)

    def jobs(self) -> pd.DataFrame:
        """List all jobs in the store, latest first; see ``nq.jobs``.

        >>> _ = double.map([1, 2], name="two of them")      # doctest: +CLUSTER
        >>> "two of them" in nq.connect().jobs()["name"].tolist()  # doctest: +CLUSTER
        True
        """
        with translated(self.store_url):
            self.follower.open_if_taken()
            return listing.jobs_frame(self.joblog.summaries())

    def clear_cache(self) -> int:
        """Forget all results of tasks with ``cache=True``; give how many those were.

        >>> nq.connect().clear_cache() >= 0                 # doctest: +CLUSTER
        True
        """
        with translated(self.store_url):
            return self.cache.clear()

    def workers(self) -> pd.DataFrame:
        """List the workers that answer; see ``nq.workers``.

        >>> nq.connect().workers()["processes"].tolist()    # doctest: +CLUSTER
        [2]
        """
        found = control.look(self)
        if found.silent:
            say(f"no answer from {', '.join(found.silent)}: ended, hung or busy in a solo pool")
        return listing.workers_frame(found.workers)

    def queues(self) -> pd.DataFrame:
        """List the queues; see ``nq.queues``.

        >>> "celery" in nq.connect().queues().index         # doctest: +CLUSTER
        True
        """
        return listing.queues_frame(control.look(self).queues)

    def block(self, job_id: str, number: int, packed: bytes | None) -> Block:
        """Give an argument block of a job."""
        if packed is not None:
            return arguments.read(packed, self.blobs)
        return self.arguments.get(job_id, number)

    @property
    def closed(self) -> bool:
        """Whether nothing more is heard through it: it was closed, or this process is a fork."""
        return self._closed or self._pid != os.getpid()

    def check(self) -> None:
        """Raise what there is to raise before a wait on this client.

        Raises:
            UsageError: it was closed, or belongs to the process that this one was forked from.
        """
        if (deaf := self.deaf) is not None:
            raise deaf

    @property
    def deaf(self) -> UsageError | None:
        """Why nothing more is heard of jobs through it, if that is so."""
        if self._closed:
            return UsageError(
                "the client of this job is closed, so nothing more is heard of it; "
                "nq.job(name) brings it back with the client that is open now"
            )
        if self._pid != os.getpid():
            return UsageError(
                "this job belongs to the process that this one was forked from; nq.job(name) "
                "brings it back here"
            )
        return None

    def close(self) -> None:
        """Disconnect; jobs that still run go on, and a line says which.

        >>> client = nq.connect()                           # doctest: +CLUSTER
        >>> client.close()                                  # doctest: +CLUSTER
        >>> client.closed                                   # doctest: +CLUSTER
        True
        """
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        running = self.follower.unfinished()
        if running:
            names = ", ".join(repr(job.name) for job in running[:5])
            more = f" and {len(running) - 5} more" if len(running) > 5 else ""
            say(
                f"{len(running)} unfinished job(s) go on without this client: {names}{more}; "
                f"nq.job({running[0].name!r}) brings one back"
            )
        self.follower.close()
        for live in list(self.lives.values()):
            live.unheard()
        self.unheard.close()
        self.publisher.close()
        self.app.close()
        if self._keepalive is not None:
            self._keepalive.close()
        if self.on_close is not None:
            self.on_close(self)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "connected"
        return f"<Client {self.name!r}: {state}, {self.broker_url}>"
