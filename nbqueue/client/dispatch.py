"""From a call to a message: pack the arguments, publish, open the job, follow it.

The message is the acceptance. Arguments and function are in the store before it is published, and a
job is opened right after, by whoever comes first of client and worker (the message carries the
spec), so a client that dies in between leaves either a job that runs or nothing that anybody waits
for. Items stream through: a generator of millions is never held in memory.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from math import inf
from typing import Any, NamedTuple

from nbqueue.client import addressing, behaving, cancelling, unsent
from nbqueue.client.client import Client
from nbqueue.client.job import Job
from nbqueue.client.live import Live
from nbqueue.client.options import TaskOptions, headers_text, rate_per_s
from nbqueue.client.saying import say
from nbqueue.core.errors import Expired, InfrastructureError
from nbqueue.core.records import JobSpec, Limits
from nbqueue.core.settings import BLOCK_BYTES, BLOCK_ITEMS, INLINE_BYTES
from nbqueue.store.broker.message import Message
from nbqueue.store.broker.publisher import Unconfirmed
from nbqueue.store.code.functions import PYTHON
from nbqueue.store.connection import patience
from nbqueue.store.values import arguments, bounds
from nbqueue.store.values.packing import BlobStore

_PROBE = 32
"""Items that are packed first to see how large items are."""

_QUIET_S = 5.0
"""An iterable that is read for longer is spoken of: nothing runs meanwhile."""

_KEEP_BYTES = 32_000_000
"""Packed arguments up to this size stay in the client, so that a frame needs no store."""

Row = tuple[Any, ...]
Call = tuple[Row, dict[str, Any]]


class Named(NamedTuple):
    """A row of which some arguments are given by name, since they are not taken otherwise."""

    args: Row
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Submission:
    """A task as it is sent: everything but the arguments."""

    task: str
    function: str
    params: tuple[str, ...]
    options: TaskOptions
    name: str | None = None
    max_retries: int = 0
    """How often an item that raises is run again at once."""
    after: tuple[str, ...] = ()
    """Ids of the jobs that must succeed first."""
    cache: str = ""
    """Digest of the function when its results may come from the cache."""


def submit_call(client: Client, sub: Submission, args: Row, kwargs: dict[str, Any]) -> Job:
    """Send one call."""
    packed = arguments.pack_call(args, kwargs, client.blobs, sub.params)
    spec = make_spec(client, sub, n=1, block=0, args=args, kwargs=kwargs)
    inline = packed if len(packed) <= INLINE_BYTES else b""
    if not inline:
        with unsent.nothing_sent():
            client.arguments.put(spec.id, 0, packed)
    live = Live(client, spec)
    live.blocks = {0: packed}
    return _send(client, live, Message(client.joblog.opening(spec, inline), 0, 1, whole=True))


def submit_rows(
    client: Client,
    sub: Submission,
    rows: Iterable[Any],
    *,
    bare: bool = False,
    blobs: BlobStore | None = None,
    job_id: str = "",
) -> Job:
    """Send one item a row of arguments, or an argument without a tuple around it.

    ``blobs`` is where large values go, if not to the client's own.
    """
    job_id = job_id or new_id()
    upload = Upload(client, job_id, sub.params, blobs=blobs)
    try:
        with unsent.nothing_sent():
            upload.all(rows, bare=bare)
    except BaseException as exc:
        discard(client, job_id)
        if isinstance(exc, KeyboardInterrupt):
            say("stopped reading what to map over; nothing was sent")
        raise
    spec = make_spec(client, sub, n=upload.n, block=upload.block or 1, job_id=job_id)
    live = Live(client, spec)
    live.blocks = upload.kept
    return _send(client, live, Message(client.joblog.opening(spec), 0, spec.n, whole=True))


def _send(client: Client, live: Live, message: Message) -> Job:
    client.follower.follow(live)
    try:
        if message.spec.after and message.spec.n:
            for job_id in message.spec.after:
                client.follower.open_now(job_id)
            with unsent.not_known(message.spec.name):
                client.sequels.hold(message)
            return Job(live)
        if message.spec.n:
            _publish(client, message)
    except BaseException as exc:
        client.follower.unfollow(live)
        if not isinstance(exc, Unconfirmed):  # its arguments may be wanted; if not, they expire
            discard(client, live.id)
        raise
    if message.opening.call or not unsent.opened(
        lambda: client.joblog.open(message.opening), message.spec
    ):
        # Most calls are over before anybody asks for them; the worker opens those as it commits.
        client.follower.open_later(message.opening)
    if not message.spec.n:
        client.follower.catch_up(live)
    return Job(live)


def _publish(client: Client, message: Message) -> None:
    if message.spec.route.eta is None:
        try:
            client.publisher.send(message)
        except InfrastructureError as exc:
            unsent.settle(exc, client.joblog, message.spec)
    else:
        with unsent.not_known(message.spec.name):
            client.later.send(message)


def discard(client: Client, job_id: str) -> None:
    """Drop the blocks of a job that is not going to be; those that stay expire."""
    with suppress(InfrastructureError), patience.none():
        client.arguments.discard(job_id)


def withdraw(client: Client, job_id: str) -> None:
    """Have a job that may have been sent come to nothing, and leave nothing of it."""
    with suppress(InfrastructureError, Expired):
        if client.joblog.refuse(job_id):
            discard(client, job_id)
        else:
            job = client.job(job_id)
            cancelling.everything(job._live)
            job.forget()


def make_spec(
    client: Client,
    sub: Submission,
    *,
    n: int,
    block: int,
    job_id: str = "",
    args: Row = (),
    kwargs: dict[str, Any] | None = None,
) -> JobSpec:
    """Give the spec of a task's job; the arguments of a single call may decide where it goes."""
    job_id = job_id or new_id()
    return JobSpec(
        id=job_id,
        name=sub.name or f"{sub.task}-{job_id[:6]}",
        task=sub.task,
        function=sub.function,
        n=n,
        block=block,
        params=sub.params,
        submitted=client.now(),
        origin=client.id,
        python=PYTHON,
        chunksize=sub.options.chunksize,
        cwd=client.cwd(),
        route=addressing.route(client, sub.task, sub.options, args, kwargs),
        limits=_limits(client, sub),
        after=sub.after,
        cache=sub.cache,
        ignore_result=behaving.flag(sub.options, "ignore_result", False),
        track_started=behaving.flag(sub.options, "track_started", False),
        result_expires=client.result_expires_s,
        headers="" if sub.options.headers is None else headers_text(sub.options.headers),
    )


def _limits(client: Client, sub: Submission) -> Limits:
    options = sub.options
    return Limits(
        max_retries=sub.max_retries,
        soft_time_limit=options.soft_time_limit,
        time_limit=options.time_limit,
        expires=addressing.expires(client, options),
        rate_limit=rate_per_s(options.rate_limit),
        concurrency=options.concurrency,
    )


def new_id() -> str:
    """Give an id for a job."""
    return secrets.token_hex(8)


class Upload:
    """Packs rows into blocks of equal size and stores them as they come."""

    def __init__(
        self,
        client: Client,
        job_id: str,
        params: Sequence[str],
        *,
        first: int = 0,
        kept: dict[int, bytes] | None = None,
        blobs: BlobStore | None = None,
    ) -> None:
        self._first = first
        self._client = client
        self._blobs = blobs or client.blobs
        self._job_id = job_id
        self._params = params
        self.n = 0
        self.block = 0
        self.kept: dict[int, bytes] = {} if kept is None else kept
        """Packed blocks, by number, as far as they are kept here."""
        self.numbers: list[int] = []
        """Numbers of all blocks."""
        self._kept_bytes = 0
        self._bare = False
        self._bounds = bounds.Bounds()
        self._speaks_at = time.monotonic() + _QUIET_S

    def all(self, rows: Iterable[Any], *, bare: bool) -> None:
        """Store rows of arguments; ``bare`` when each is the only argument, without a tuple.

        Raises:
            JobTooLarge: they are more, or larger, than those of one job may be.
        """
        self._bare = bare
        self._bounds.check_ahead(rows)
        if bare and type(rows) is range:  # a block of one is a range, too: numbers are made there
            self.block = BLOCK_ITEMS
            for start in range(0, len(rows), self.block):
                part = rows[start : start + self.block]
                self._put(self._pack(part), len(part))
            return
        stream: Iterator[Any] = iter(rows)
        probe = list(islice(stream, _PROBE))
        if not probe:
            return
        each = len(self._pack(probe)) / len(probe)
        self.block = int(min(max(BLOCK_BYTES / each, 1), BLOCK_ITEMS))
        stream = chain(probe, stream)
        while rows_ := list(islice(stream, self.block)):
            self._put(self._pack(rows_), len(rows_))

    def calls(self, calls: Iterable[Call]) -> None:
        """Store calls with positional and keyword arguments."""
        self.all((Named(*call) if call[1] else call[0] for call in calls), bare=False)

    def _put(self, packed: bytes, n: int) -> None:
        self._bounds.add(n, len(packed))
        number = self._first + self.n // self.block
        self._client.arguments.put(self._job_id, number, packed)
        self.numbers.append(number)
        self._keep(number, packed)
        self.n += n
        if time.monotonic() > self._speaks_at:
            self._speaks_at = inf
            say(
                f"{self.n:,} items were read so far, and none runs before all were (what is "
                "stopped here leaves nothing behind; a task's imap() runs them as they come)"
            )

    def _pack(self, rows: Sequence[Any]) -> bytes:
        if self._bare:
            return arguments.pack_columns([rows], self._blobs, self._params, self.n)
        if Named in set(map(type, rows)):
            calls = [row if type(row) is Named else (row, {}) for row in rows]
            return arguments.pack_calls(calls, self._blobs, self._params, self.n)
        if len({len(row) for row in rows}) == 1 and rows[0]:
            columns = [list(column) for column in zip(*rows, strict=True)]
            return arguments.pack_columns(columns, self._blobs, self._params, self.n)
        return arguments.pack_rows(rows, self._blobs, self._params, self.n)

    def _keep(self, number: int, packed: bytes) -> None:
        self._kept_bytes += len(packed)
        if self._kept_bytes <= _KEEP_BYTES:
            self.kept[number] = packed
