"""``nq.control``: Celery's remote control of the default client's workers.

`inspecting` has the questions; here are the orders. Each goes to all workers, or to those in
``destination``, and gives what each worker said to it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbqueue.client.job import Job
from nbqueue.client.options import check_time_limits
from nbqueue.client.remote.asking import Question, ask, names, seconds, tell
from nbqueue.client.remote.inspecting import Destination, Inspecting
from nbqueue.client.saying import say
from nbqueue.client.task import Task
from nbqueue.core.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd


class Control(Inspecting):
    """Celery's remote control of the default client's workers: ``nq.control``.

    Answers come as DataFrames indexed by worker, as soon as all known workers have given theirs;
    those to orders have ``ok`` (bool) and ``answer`` (text). What Celery answers, as it is, comes
    from `broadcast` and `inspect`. The first use connects.

    >>> nq.control.ping()["ok"].tolist()                    # doctest: +CLUSTER
    [True]
    """

    def broadcast(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        destination: Destination = None,
        *,
        reply: bool = False,
        timeout: float | None = None,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> list[dict[str, Any]] | None:
        """Send any command of Celery's, nbqueue's, or of a module that workers include.

        Gives a list of ``{worker: answer}`` with ``reply``, else ``None``.

        Args:
            command: Its name.
            arguments: Its arguments by name.
            destination: Send it to this worker, or these, by name; else to all.
            reply: Wait for the answers.
            timeout: Seconds to wait for a worker that does not answer.
            limit: Return after so many answers.
            pattern: Send it to the workers whose name matches.
            matcher: How: ``"glob"`` (the default) or ``"pcre"``.

        >>> [answer] = nq.control.broadcast("ping", reply=True)              # doctest: +CLUSTER
        >>> list(answer.values())                           # doctest: +CLUSTER
        [{'ok': 'pong'}]
        """
        if limit is not None:
            _count(limit, "limit")
        if matcher not in (None, "glob", "pcre"):
            raise UsageError(f'matcher is "glob" or "pcre", not {matcher!r}')
        question = Question(
            _text(command, "command"),
            _arguments(arguments),
            names(destination),
            seconds(timeout),
            limit,
            pattern,
            (matcher or "glob") if pattern else None,
        )
        if not reply:
            tell(self._client(), question)
            return None
        return [{name: said} for name, said in ask(self._client(), question).said.items()]

    # -- tasks ---------------------------------------------------------------------------------

    def revoke(
        self,
        what: str | Job | Sequence[str],
        *,
        terminate: bool = False,
        signal: str = "SIGTERM",
        destination: Destination = None,
    ) -> pd.DataFrame | int:
        """Have a job, or tasks of Celery's by their ids, not run.

        A job is cancelled (`Job.cancel`), and the count of its cancelled items comes back. Ids are
        told to all workers, which remember them until they end, and the answers come back.

        Args:
            what: A job, a job's id or name, or ids of Celery's.
            terminate: End what runs, too.
            signal: With which signal, where it is a task of Celery's.
            destination: Only these workers; not for jobs.

        >>> job = double.with_options(queue="nobody").map([1, 2, 3])  # doctest: +CLUSTER
        >>> nq.control.revoke(job)                          # doctest: +CLUSTER
        3
        """
        job = what if isinstance(what, Job) else self._job(what)
        if job is not None:
            return job.cancel(terminate=terminate)
        ids = [what] if isinstance(what, str) else list(what)
        if not ids or not all(isinstance(one, str) and one for one in ids):
            raise UsageError(f"revoke takes a job, an id or several ids, not {what!r}")
        arguments = {"task_id": ids, "terminate": terminate, "signal": signal}
        return self._order("revoke", arguments, destination, None)

    def terminate(
        self, what: str | Job | Sequence[str], *, signal: str = "SIGTERM"
    ) -> pd.DataFrame | int:
        """Revoke, and end what runs: as ``revoke(what, terminate=True)``.

        >>> job = double.with_options(queue="nobody").map([1, 2, 3])  # doctest: +CLUSTER
        >>> nq.control.terminate(job)                       # doctest: +CLUSTER
        3
        """
        return self.revoke(what, terminate=True, signal=signal)

    def _job(self, what: Any) -> Job | None:
        from nbqueue.core.errors import Expired, UnknownJob

        if not isinstance(what, str):
            return None
        try:
            return self._client().job(what)
        except (UnknownJob, Expired):
            return None

    def rate_limit(
        self,
        task: str | Task[Any, Any],
        rate: str | float | None,
        destination: Destination = None,
        timeout: float | None = None,
    ) -> pd.DataFrame:
        """Have a task run at most so often: ``"10/s"``, ``"100/m"``; 0 lifts its limit.

        A notebook's task on all workers together, from when this returns and until told otherwise:
        ``None`` gives it back its own limit. A line says so when no such task has been heard of.
        One of Celery's on each worker by itself, until that ends.

        >>> nq.control.rate_limit(double, "100/s")["ok"].tolist()  # doctest: +CLUSTER
        [True]
        >>> nq.control.rate_limit(double, None)["ok"].tolist()  # doctest: +CLUSTER
        [True]
        """
        arguments = {"task_name": _name(task), "rate_limit": rate}
        found = self._order("rate_limit", arguments, destination, timeout)
        if isinstance(task, str) and found["answer"].str.contains("all workers together").any():
            self._doubt(task)
        return found

    def _doubt(self, task: str) -> None:
        """Say so if none of the latest jobs is of a task of that name."""
        known = self._client().joblog.tasks()
        single = {step for name in known for step in name.split(" | ")}
        if task in single or any(name.endswith(" tasks") for name in known):  # a long workflow
            return
        near = difflib.get_close_matches(task, sorted(single), n=3)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        say(f"no task {task!r} has been sent yet: the limit will hold for the first one{hint}")

    def time_limit(
        self,
        task: str | Task[Any, Any],
        soft: float | None = None,
        hard: float | None = None,
        destination: Destination = None,
        timeout: float | None = None,
    ) -> pd.DataFrame:
        """Change a task's time limits, in seconds; ``None`` for none.

        Those of a notebook's task are each item's, also of jobs that wait already. It holds for
        messages that are begun from now on, and is in the workers' memory until they end.

        >>> nq.control.time_limit(double, soft=50, hard=60)["ok"].tolist()  # doctest: +CLUSTER
        [True]
        >>> nq.control.time_limit(double)["ok"].tolist()    # doctest: +CLUSTER
        [True]
        """
        limits = {"soft": seconds(soft, "soft"), "hard": seconds(hard, "hard")}
        check_time_limits(soft, hard)
        arguments = {"task_name": _name(task), **limits}
        return self._order("time_limit", arguments, destination, timeout)

    # -- events --------------------------------------------------------------------------------

    def enable_events(self, destination: Destination = None) -> pd.DataFrame:
        """Have workers send Celery's task events, as their option ``-E`` does.

        >>> nq.control.enable_events()["ok"].tolist()       # doctest: +CLUSTER
        [True]
        """
        return self._order("enable_events", None, destination, None)

    def disable_events(self, destination: Destination = None) -> pd.DataFrame:
        """Have workers send no task events.

        >>> nq.control.disable_events()["ok"].tolist()      # doctest: +CLUSTER
        [True]
        """
        return self._order("disable_events", None, destination, None)

    def heartbeat(self, destination: Destination = None) -> None:
        """Have workers send an event ``worker-heartbeat`` now.

        >>> nq.control.heartbeat()                          # doctest: +CLUSTER
        """
        self.broadcast("heartbeat", destination=destination)

    # -- pools ---------------------------------------------------------------------------------

    def pool_grow(self, n: int = 1, destination: Destination = None) -> pd.DataFrame:
        """Add ``n`` processes to the pools.

        >>> nq.control.pool_grow(1)["ok"].tolist()          # doctest: +CLUSTER
        [True]
        >>> nq.control.pool_shrink(1)["ok"].tolist()        # doctest: +CLUSTER
        [True]
        """
        return self._order("pool_grow", {"n": _count(n, "n")}, destination, None)

    def pool_shrink(self, n: int = 1, destination: Destination = None) -> pd.DataFrame:
        """Take ``n`` processes from the pools; those that are busy end after what they run.

        >>> nq.control.pool_grow(1)["ok"].tolist()          # doctest: +CLUSTER
        [True]
        >>> nq.control.pool_shrink(1)["ok"].tolist()        # doctest: +CLUSTER
        [True]
        """
        return self._order("nbqueue_shrink", {"n": _count(n, "n")}, destination, None)

    def pool_restart(
        self,
        modules: Sequence[str] | None = None,
        reload: bool = False,
        destination: Destination = None,
    ) -> pd.DataFrame:
        """Restart the pools, importing or reloading ``modules`` (``worker_pool_restarts``).

        >>> nq.control.pool_restart()                       # doctest: +CLUSTER
        Traceback (most recent call last):
        ...
        nbqueue.core.errors.UsageError: pool_restart: ...
        """
        arguments = {"modules": None if modules is None else list(modules), "reload": reload}
        return self._order("pool_restart", arguments, destination, None)

    def autoscale(self, max: int, min: int = 0, destination: Destination = None) -> pd.DataFrame:
        """Change between how many processes workers with ``--autoscale`` choose.

        >>> nq.control.autoscale(4, 1)                      # doctest: +CLUSTER
        Traceback (most recent call last):
        ...
        nbqueue.core.errors.UsageError: autoscale: ...
        """
        if type(max) is not int or type(min) is not int or not 0 <= min <= max or max < 1:
            raise UsageError(f"autoscale takes 1 ≤ max and 0 ≤ min ≤ max, not {max!r} and {min!r}")
        return self._order("autoscale", {"max": max, "min": min}, destination, None)

    def shutdown(self, destination: Destination = None) -> None:
        """Have workers end warmly: each finishes what it runs and takes nothing more.

        The worker of an embedded cluster is replaced by a new one.

        >>> nq.control.shutdown(destination="nobody@nowhere")  # doctest: +CLUSTER
        """
        self.broadcast("shutdown", destination=destination)

    # -- queues --------------------------------------------------------------------------------

    def add_consumer(
        self,
        queue: str,
        exchange: str | None = None,
        exchange_type: str = "direct",
        routing_key: str | None = None,
        destination: Destination = None,
    ) -> pd.DataFrame:
        """Have workers take from a queue, too.

        >>> nq.control.add_consumer("extra")["ok"].tolist()  # doctest: +CLUSTER
        [True]
        >>> nq.control.cancel_consumer("extra")["ok"].tolist()  # doctest: +CLUSTER
        [True]
        """
        arguments = {
            "queue": _text(queue, "queue"),
            "exchange": exchange,
            "exchange_type": exchange_type,
            "routing_key": routing_key,
        }
        return self._order("add_consumer", arguments, destination, None)

    def cancel_consumer(self, queue: str, destination: Destination = None) -> pd.DataFrame:
        """Have workers take from a queue no longer.

        >>> nq.control.cancel_consumer("extra")["ok"].tolist()  # doctest: +CLUSTER
        [True]
        """
        return self._order("cancel_consumer", {"queue": _text(queue, "queue")}, destination, None)

    def __repr__(self) -> str:
        return "<Celery's remote control of the default client's workers>"


def _name(task: Any) -> str:
    name = task.name if isinstance(task, Task) else task
    if not isinstance(name, str) or not name:
        raise UsageError(f"a task is meant by itself or by its name, not {task!r}")
    return name


def _count(n: Any, name: str) -> int:
    if type(n) is not int or n < 1:
        raise UsageError(f"{name} is a whole number of 1 or more, not {n!r}")
    return n


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"{name} is a name, not {value!r}")
    return value


def _arguments(value: Any) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise UsageError(f"arguments is a dict by name, not {value!r}")
    return value or {}
