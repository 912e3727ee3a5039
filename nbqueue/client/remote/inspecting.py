"""Asking workers: ``nq.control.active()`` and the others, by Celery's names, as DataFrames.

Each asks all workers, or those in ``destination``, and returns when all that are known have
answered. A worker that does not answer costs its timeout once, and a line names it. `answers` makes
the frames; `commands` adds what changes something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbqueue.client.client import Client
from nbqueue.client.connecting import default_client
from nbqueue.client.remote import answers
from nbqueue.client.remote.asking import Answers, Question, ask, names, seconds
from nbqueue.client.saying import say
from nbqueue.core.errors import ClusterError, UsageError

if TYPE_CHECKING:
    import pandas as pd

Destination = str | Sequence[str] | None


class Inspecting:
    """The questions. Every one takes these:

    Args:
        destination: Ask this worker, or these, by name (``nq.workers()`` lists them); else all.
        timeout: Seconds to wait for a worker that does not answer; 1 by default, as Celery's, on
            an embedded cluster 3.

    Every one raises:
        BrokerUnreachable: the broker does not answer.
        ClusterError: none of the workers in ``destination`` does.
        UsageError: something else than names or seconds was given, or no worker could do it.
    """

    def __init__(self, client: Callable[[], Client] = default_client) -> None:
        self._client = client

    def ping(self, destination: Destination = None, timeout: float | None = None) -> pd.DataFrame:
        """Say who answers: indexed by ``worker``, ``ok`` (bool).

        Known workers that do not answer are listed with ``False``.

        >>> nq.control.ping()["ok"].tolist()                # doctest: +CLUSTER
        [True]
        """
        found = self._put("ping", None, destination, timeout, quietly=True)
        return answers.pings(found.said, found.silent)

    def active(self, destination: Destination = None, timeout: float | None = None) -> pd.DataFrame:
        """List what runs, a row a message.

        Indexed by ``worker``; columns ``task`` (the function's name), ``job`` (its job's name;
        empty for a task of Celery's), ``item`` (the one that runs; missing for the first tenth of a
        second, where a message holds several), ``start`` and ``stop`` (the items that the message
        came with: Int64), ``seconds`` (float: how long the item has been running), ``args`` (text,
        of a task of Celery's), ``id`` (of the message), ``job_id``.

        >>> nq.control.active().empty                       # doctest: +CLUSTER
        True
        """
        said, rest = self._both("nbqueue_look", "active", {"safe": True}, destination, timeout)
        return answers.active(said, rest)

    def reserved(
        self, destination: Destination = None, timeout: float | None = None
    ) -> pd.DataFrame:
        """List what workers have taken and not begun, a row a message.

        Indexed by ``worker``; columns ``task``, ``job``, ``start`` and ``stop`` (items: Int64),
        ``queue``, ``priority`` (Int64), ``args``, ``id``, ``job_id``.

        >>> nq.control.reserved().columns[:3].tolist()      # doctest: +CLUSTER
        ['task', 'job', 'start']
        """
        said, rest = self._both("nbqueue_taken", "reserved", {}, destination, timeout)
        return answers.reserved(said, rest)

    def scheduled(
        self, destination: Destination = None, timeout: float | None = None
    ) -> pd.DataFrame:
        """List what waits in workers for its time: as `reserved`, and ``eta`` (UTC).

        >>> "eta" in nq.control.scheduled().columns         # doctest: +CLUSTER
        True
        """
        said, rest = self._both("nbqueue_taken", "scheduled", {}, destination, timeout)
        return answers.scheduled(said, rest)

    def stats(self, destination: Destination = None, timeout: float | None = None) -> pd.DataFrame:
        """Give a row a worker.

        Indexed by ``worker``; columns ``pid``, ``pool``, ``processes``, ``prefetch`` (messages that
        it may hold), ``messages`` (that it has begun; Int64 all), ``up_s``, ``memory_mb`` (peak of
        its main process; float), ``broker`` (text: the transport). All that Celery says is in
        ``nq.control.inspect().stats()``.

        >>> nq.control.stats()["pool"].tolist()             # doctest: +CLUSTER
        ['prefork']
        """
        return answers.stats(self._put("stats", None, destination, timeout).said)

    def registered(
        self,
        *taskinfoitems: str,
        builtins: bool = False,
        destination: Destination = None,
        timeout: float | None = None,
    ) -> pd.DataFrame:
        """List the tasks that workers know by name: functions that travel by value are not.

        Indexed by ``worker``; columns ``task`` and ``info`` (text: what differs from the default).

        Args:
            *taskinfoitems: Attributes to tell in ``info``: ``"rate_limit"``, ``"max_retries"`` ….
            builtins: Also Celery's own tasks, and the one that stands for all functions by value.
            destination: As for all questions.
            timeout: As for all questions.

        >>> known = nq.control.registered(builtins=True)["task"].tolist()    # doctest: +CLUSTER
        >>> "celery.chord" in known                         # doctest: +CLUSTER
        True
        """
        arguments = {"taskinfoitems": list(taskinfoitems) or None, "builtins": builtins}
        frame = answers.registered(self._put("registered", arguments, destination, timeout).said)
        return frame if builtins else frame[~frame["task"].str.startswith("nbqueue.")]

    def active_queues(
        self, destination: Destination = None, timeout: float | None = None
    ) -> pd.DataFrame:
        """List the queues that workers take from.

        Indexed by ``worker``; columns ``queue``, ``exchange``, ``exchange_type``, ``routing_key``
        (text), ``durable`` (bool).

        >>> nq.control.active_queues()["queue"].tolist()    # doctest: +CLUSTER
        ['celery']
        """
        return answers.queues(self._put("active_queues", None, destination, timeout).said)

    def conf(
        self,
        with_defaults: bool = False,
        destination: Destination = None,
        timeout: float | None = None,
    ) -> pd.DataFrame:
        """Give Celery's settings: indexed by ``setting``, a column a worker (passwords hidden).

        >>> "task_default_queue" in nq.control.conf(with_defaults=True).index  # doctest: +CLUSTER
        True
        """
        arguments = {"with_defaults": with_defaults}
        return answers.settings(self._put("conf", arguments, destination, timeout).said)

    def report(self, destination: Destination = None, timeout: float | None = None) -> pd.DataFrame:
        """Give ``report`` (text) by ``worker``: versions and settings, for a bug report.

        >>> "celery" in nq.control.report()["report"].iloc[0]  # doctest: +CLUSTER
        True
        """
        return answers.reports(self._put("report", None, destination, timeout).said)

    def revoked(
        self, destination: Destination = None, timeout: float | None = None
    ) -> pd.DataFrame:
        """List what workers remember as revoked by Celery's `revoke`: ``id`` by ``worker``.

        Items of jobs are not among them: `Job.cancel` records those in the job.

        >>> nq.control.revoked().columns.tolist()           # doctest: +CLUSTER
        ['id']
        """
        return answers.revoked(self._put("revoked", None, destination, timeout).said)

    def query_task(
        self,
        ids: str | Sequence[str],
        destination: Destination = None,
        timeout: float | None = None,
    ) -> pd.DataFrame:
        """Find messages by their ids: as `active`, and ``state`` (text: active, reserved …).

        >>> nq.control.query_task("no such id").empty       # doctest: +CLUSTER
        True
        """
        arguments = {"ids": [ids] if isinstance(ids, str) else list(ids)}
        return answers.queried(self._put("query_task", arguments, destination, timeout).said)

    def inspect(self, *args: Any, **options: Any) -> Any:
        """Give Celery's own ``app.control.inspect(…)``, whose answers are dicts.

        >>> nq.control.inspect(timeout=3, limit=1).ping().popitem()[1]       # doctest: +CLUSTER
        {'ok': 'pong'}
        """
        return self._client().app.control.inspect(*args, **options)

    # -- inside --------------------------------------------------------------------------------

    def _put(
        self,
        command: str,
        arguments: Mapping[str, Any] | None,
        destination: Destination,
        timeout: float | None,
        *,
        quietly: bool = False,
    ) -> Answers:
        whom = names(destination)
        question = Question(command, arguments or {}, whom, seconds(timeout))
        found = ask(self._client(), question)
        if whom is not None and not found.said and not (quietly and len(whom) > 1):
            raise ClusterError(
                f"{_list(whom)} does not answer within {found.waited_s:.1f} s: not running, or "
                "busy with something long in a solo pool; nq.workers() shows those that answer"
            )
        if found.silent and not quietly:
            say(
                f"{_list(found.silent)} did not answer within {found.waited_s:.1f} s; for half a "
                "minute it is not waited for"
            )
        return found

    def _order(
        self,
        command: str,
        arguments: Mapping[str, Any] | None,
        destination: Destination,
        timeout: float | None,
    ) -> pd.DataFrame:
        """Put an order; raise what all workers refuse alike."""
        said = self._put(command, arguments, destination, timeout).said
        frame = answers.orders(said)
        if not frame.empty and not frame["ok"].any():
            name = command.replace("nbqueue_", "pool_")  # ours in the place of Celery's
            raise UsageError(f"{name}: {'; '.join(answers.refusals(said))}; nothing was done")
        return frame

    def _both(
        self,
        command: str,
        of_celery: str,
        arguments: Mapping[str, Any],
        destination: Destination,
        timeout: float | None,
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Ask nbqueue's question, and Celery's those who do not know it."""
        said = self._put(command, None, destination, timeout).said
        others = [
            name for name, answer in said.items() if isinstance(answer, dict) and "error" in answer
        ]
        rest = self._put(of_celery, arguments, others, timeout).said if others else {}
        return said, rest


def _list(workers: Sequence[str]) -> str:
    return f"worker{'s' if len(workers) > 1 else ''} {', '.join(workers)}"
