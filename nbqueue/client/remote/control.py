"""What the workers of a cluster do, and having them grow, shrink, stop or end an item.

What nbqueue's own displays and commands need of remote control; `commands` is all of Celery's, for
people. `asking` puts the questions, `survey` reads the answers. Nothing here is called by a repr.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kombu.connection import Connection

from nbqueue.client.remote.asking import LOCAL_S, Question, ask, connected, tell
from nbqueue.client.remote.survey import Queue, Survey, queues_of, read_workers
from nbqueue.core.description import described
from nbqueue.core.errors import ClusterError, UsageError
from nbqueue.core.splitting import runs_of

if TYPE_CHECKING:
    from nbqueue.client.client import Client

_ALL = 1 << 62
"""After the last item of any job."""


def look(client: Client, *, timeout_s: float | None = None) -> Survey:
    """Ask all workers and queues once; takes as long as the slowest known worker, mostly a moment.

    A client's first look waits a second for workers that are not nbqueue's, too, except on an
    embedded cluster.

    Args:
        client: Whose cluster.
        timeout_s: How long to wait for replies, if not for as long as is sensible.

    Raises:
        BrokerUnreachable: the broker does not answer.
        UsageError: the client is closed.
    """
    with connected(client) as connection:
        answers = ask(client, Question("nbqueue_look", timeout_s=timeout_s), connection)
        workers = read_workers(answers.said)
        sent_to = client.publisher.queues()
        names = {*sent_to, *(name for worker in workers for name in worker.queues)}
        depths = {name: _depth(connection, name) for name in names}
    return Survey(time.monotonic(), workers, queues_of(workers, sent_to, depths), answers.silent)


def queues(client: Client, names: Iterable[str]) -> list[Queue]:
    """Give queues by name, as the broker knows them (Redis counts no consumers).

    Raises:
        BrokerUnreachable: the broker does not answer.
    """
    with connected(client) as connection:
        return [Queue(name, *_depth(connection, name)) for name in names]


def resize(client: Client, worker: str, processes: int) -> None:
    """Give a worker's pool a size; processes that are busy end after what they run.

    Raises:
        UsageError: it has no such pool, or the size is less than 1.
        ClusterError: the worker does not answer.
    """
    if processes < 1:
        raise UsageError(f"a worker has at least 1 process, not {processes}; stop it instead")
    said = _tell(client, worker, "nbqueue_resize", {"n": processes})
    if "ok" not in said:
        raise UsageError(f"worker {worker}: {said.get('error', said)}")


def stop(client: Client, workers: Iterable[str]) -> None:
    """Have workers end warmly: each finishes what it runs, takes nothing more, and is gone.

    What waits stays in its queue. The worker of an embedded cluster is replaced by a new one.
    """
    tell(client, Question("shutdown", destination=tuple(workers)))


def terminate(client: Client, job_id: str, message_ids: Iterable[str]) -> None:
    """Have what runs of a cancelled job end: the messages that are known, and what others run.

    Processes are killed with SIGKILL: what a gentler signal raises in a task, it may swallow. In a
    pool of threads an exception is raised in each.
    """
    answers = ask(client, Question("active", {"safe": True}))
    found = {
        str(request.get("id"))
        for requests in answers.said.values()
        if isinstance(requests, list)
        for request in requests
        if (what := described(request.get("args"))) is not None and what.job_id == job_id
    }
    if ids := sorted({*message_ids, *found}):
        killed = {"task_id": ids, "terminate": True, "signal": "SIGKILL"}
        tell(client, Question("revoke", killed))
        tell(client, Question("nbqueue_end", {"job_id": job_id, "runs": [(0, _ALL)]}))


def end(client: Client, job_id: str, items: Iterable[int]) -> None:
    """Have cancelled items of a job end where they run, and none beside them."""
    ask(client, Question("nbqueue_end", {"job_id": job_id, "runs": runs_of(sorted(items))}))


def _tell(client: Client, worker: str, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    answers = ask(client, Question(command, arguments, destination=(worker,), timeout_s=LOCAL_S))
    if isinstance(said := answers.said.get(worker), dict):
        return said
    raise ClusterError(
        f"worker {worker} does not answer (it may have ended, or is busy with something long in a "
        "solo pool); nq.workers() shows those that do"
    )


def latency(connection: Connection) -> float:
    """Give how many seconds a broker takes to open a channel: a question and an answer."""
    before = time.perf_counter()
    with connection.channel():
        return time.perf_counter() - before


def _depth(connection: Connection, queue: str) -> tuple[int, int]:
    # A channel of its own: RabbitMQ closes the one on which a queue was not found.
    with connection.channel() as channel:
        try:
            found = channel.queue_declare(queue=queue, passive=True)
        except connection.channel_errors:
            return 0, 0  # on Redis an empty queue does not exist
        return found.message_count, found.consumer_count
