"""`LocalCluster`: a private Redis and workers of one's own, for as long as they are needed."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from nbqueue.client.client import Client
from nbqueue.client.connecting import connect_address
from nbqueue.client.options import check_count
from nbqueue.client.remote import control
from nbqueue.client.saying import say
from nbqueue.cluster import embedded
from nbqueue.core.errors import ClusterError, InfrastructureError, UsageError

_ASK_S = 0.5
"""How long one question to it is waited for. A worker that is not listening yet never hears it."""

_START_S = 10.0
"""How long a worker that is still starting is waited for before it is given another size."""


class LocalCluster:
    """A private cluster on this machine, apart from the embedded one that all notebooks share.

    Args:
        workers: How many worker processes; one a core by default.
        threads: How many threads instead of processes.
        name: A name makes it lasting: its folder is kept, and the same name finds it again. Without
            one, everything is deleted on ``close``.
        keep_alive_s: Seconds that it goes on without clients and without anything to do; with 0 a
            schedule does not keep it either.
        max_tasks_per_child: After how many messages (of as many items as travel together) a worker
            process is replaced by a new one, where a library leaks.
        max_memory_per_child: With how many KiB of resident memory, likewise, between two messages.

    Raises:
        UsageError: a number that is none, or less than 1.
        ClusterError: it could not be started; the message says what to install.

    >>> with nq.LocalCluster(workers=1) as cluster:         # doctest: +CLUSTER
    ...     client = cluster.connect()
    ...     double.submit(4).result()
    8
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        threads: int | None = None,
        name: str | None = None,
        keep_alive_s: float | None = 0,
        max_tasks_per_child: int | None = None,
        max_memory_per_child: int | None = None,
    ) -> None:
        options = _options(
            max_tasks_per_child=max_tasks_per_child, max_memory_per_child=max_memory_per_child
        )
        workers = None if workers is None else check_count(workers, "workers")
        threads = None if threads is None else check_count(threads, "threads")
        self.name = name
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if name is None:
            self._temporary = tempfile.TemporaryDirectory(
                prefix="nbqueue-", ignore_cleanup_errors=True
            )
            self.folder = Path(self._temporary.name)
        else:
            self.folder = embedded.default_folder().parent / f"cluster-{name}"
        self._address = embedded.ensure(
            self.folder,
            workers=workers,
            threads=threads,
            keep_alive_s=keep_alive_s,
            worker_options=options,
        )
        self._clients: list[Client] = []
        self._threads = threads

    @property
    def broker_url(self) -> str:
        """The broker's URL, in Celery's form."""
        return self._address.broker_url

    def connect(self, name: str = "default") -> Client:
        """Connect to it; the result becomes the default client.

        >>> with nq.LocalCluster(workers=1) as cluster, cluster.connect():  # doctest: +CLUSTER
        ...     nq.task(abs).submit(-1).result()
        1
        """
        client = connect_address(self._address, name)
        self._clients.append(client)
        return client

    def scale(self, n: int) -> None:
        """Have ``n`` worker processes from now on; those that are busy end after their item.

        Raises:
            UsageError: ``n`` is less than 1, or the cluster runs threads.
            ClusterError: its worker does not answer.

        >>> with nq.LocalCluster(workers=1) as cluster:     # doctest: +CLUSTER
        ...     cluster.scale(2)
        """
        if self._threads is not None:
            raise UsageError("a cluster of threads cannot be scaled; make one with more threads")
        n = check_count(n, "n")
        client = self._clients[-1] if self._clients else self.connect()
        control.resize(client, self._worker(client), n)

    def _worker(self, client: Client) -> str:
        give_up = time.monotonic() + _START_S
        while not (found := control.look(client, timeout_s=_ASK_S).workers):
            if time.monotonic() > give_up:
                raise ClusterError(
                    f"the worker of the cluster in {self.folder} has not answered for "
                    f"{_START_S:g} s; worker.log in that folder says what it is at"
                )
        return found[0].name

    def close(self) -> None:
        """End its workers and its Redis; without a name, delete everything it kept.

        >>> cluster = nq.LocalCluster(workers=1)            # doctest: +CLUSTER
        >>> cluster.close()                                 # doctest: +CLUSTER
        """
        if self.name is None and self._clients:
            self._say_schedules(self._clients[-1])
        for client in self._clients:
            self._say_what_ends(client)
            client.close()
        if self._address.keepalive is not None:
            self._address.keepalive.close()
        embedded.stop(self.folder)
        if self._temporary is not None:
            self._temporary.cleanup()

    def _say_what_ends(self, client: Client) -> None:
        running = client.follower.unfinished()
        if not running:
            return
        for job in running:
            client.follower.unfollow(job)  # the client would say that they go on
        names = ", ".join(repr(job.name) for job in running[:5])
        more = f" and {len(running) - 5} more" if len(running) > 5 else ""
        fate = (
            "are lost with this cluster, which has no name"
            if self.name is None
            else f"go on when nq.LocalCluster(name={self.name!r}) is started again"
        )
        say(f"{len(running)} unfinished job(s) {fate}: {names}{more}")

    def _say_schedules(self, client: Client) -> None:
        try:
            names = client.schedules.names()
        except InfrastructureError:  # it has gone already
            return
        if names:
            shown = ", ".join(map(repr, names[:5])) + (" …" if len(names) > 5 else "")
            say(f"{len(names)} schedule(s) are lost with this cluster, which has no name: {shown}")

    def __enter__(self) -> LocalCluster:
        self.connect()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<LocalCluster {self.name or 'unnamed'}: {self.broker_url}>"


def _options(**numbers: int | None) -> tuple[str, ...]:
    """Give options of the worker's launcher, those of them that are asked for."""
    return tuple(
        word
        for name, number in numbers.items()
        if number is not None
        for word in ("--" + name.replace("_", "-"), str(check_count(number, name)))
    )
