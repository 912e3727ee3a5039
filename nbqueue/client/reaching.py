"""Reaching the default client from anywhere: its jobs, its cluster, and its store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbqueue.client import listing
from nbqueue.client.client import Client
from nbqueue.client.connecting import default_client
from nbqueue.client.job import Job
from nbqueue.client.projects import project
from nbqueue.client.remote.commands import Control
from nbqueue.client.schedules.schedule import Schedule
from nbqueue.client.schedules.schedule import find as find_schedule
from nbqueue.store.values import refs
from nbqueue.store.values.refs import Ref

if TYPE_CHECKING:
    import pandas as pd


def job(id_or_name: str) -> Job:
    """Find a job by its id, or the latest of that name, whichever process submitted it.

    One of a Celery project's tasks is recorded from here on, when `nq.tasks` has said which project
    that is: the process that sent it may be gone.

    Raises:
        UnknownJob: there is none; the message lists near matches.

    >>> _ = double.map([1, 2], name="pair")                 # doctest: +CLUSTER
    >>> nq.job("pair").result()                             # doctest: +CLUSTER
    [2, 4]
    """
    found = default_client().job(id_or_name)
    project.go_on(found)
    return found


def put(value: Any) -> Ref:
    """Send a value to the store once, for any number of tasks and cells to use.

    Equal values have one place there. What is over 1 MB in an argument or a captured variable goes
    there by itself; ``put`` is for smaller ones that are used often, and for keeping a large one
    at hand without hashing it for each job. It is kept for eight days after its last use, and for
    as long as a job that is not over, or a schedule, needs it.

    A task never sees a Ref. One that is an argument is opened when its item is called: each item
    has a copy of its own, ``job.to_frame()`` shows the Ref, and one that has expired fails its item
    alone. One inside an argument (in a list, a dict, an object), or used by a function or a cell,
    is opened with what it is in: items whose arguments are read together share the value, the frame
    shows the value, and one that has expired fails all that were to share it.

    Raises:
        NotPicklable: it cannot travel.

    >>> table = nq.put({"one": 1, "two": 2})                # doctest: +CLUSTER
    >>> nq.task(lambda d, k: d[k]).map([table] * 2, ["one", "two"]).result()   # doctest: +CLUSTER
    [1, 2]
    """
    return refs.put(value, default_client().blobs)


def jobs() -> pd.DataFrame:
    """List all jobs in the store, latest first.

    Indexed by job id; columns ``name``, ``task``, ``state`` (category), ``n``, ``done``,
    ``success``, ``failure``, ``revoked`` (counts of items), ``submitted``, ``finished`` (UTC; NaT
    while it runs).

    >>> job = double.map([1, 2], name="listed")             # doctest: +CLUSTER
    >>> nq.jobs().loc[job.id, "name"]                       # doctest: +CLUSTER
    'listed'
    """
    return default_client().jobs()


def schedule(name: str) -> Schedule:
    """Find a schedule by its name, whichever process made it.

    Raises:
        UnknownSchedule: there is none; the message lists near matches.

    >>> _ = double.every("1h", args=[1], name="hourly")     # doctest: +CLUSTER
    >>> nq.schedule("hourly").cancel()                      # doctest: +CLUSTER
    True
    """
    return find_schedule(default_client(), name)


def schedules() -> pd.DataFrame:
    """List all schedules in the store, in alphabetical order.

    Indexed by name; columns ``schedule`` (text: its times), ``task``, ``enabled`` (bool: not
    paused, and not over), ``last_run`` and ``next_run`` (UTC, when they were and are due; NaT when
    there is none), ``duration_s`` (float), ``outcome`` (category) and ``job`` (id) of the last run,
    ``n_runs`` (int64). A ``next_run`` that is past is overdue: no beat runs.

    >>> _ = double.every("1h", args=[1], name="hourly")     # doctest: +CLUSTER
    >>> nq.schedules().loc["hourly", "schedule"]            # doctest: +CLUSTER
    'every 1 h'
    >>> nq.schedule("hourly").remove()                      # doctest: +CLUSTER
    True
    """
    client = default_client()
    return listing.schedules_frame(client.schedules.rows())


def workers() -> pd.DataFrame:
    """List the workers that answer, as soon as all known ones have.

    The first time a client asks, it waits a second for workers that are not nbqueue's, too; not on
    an embedded cluster. A worker that lives no longer costs that second once, and a line names it.

    Indexed by node name (``worker``); columns ``host``, ``pid``, ``pool``, ``processes``,
    ``running`` (how many messages it is at), ``runs`` (text, jobs and items: ``"grid 17, grid
    18"``), ``longest_s`` (float: how long the one that takes longest has been running; NaN when
    idle), ``queues`` (text), ``done`` (items since it started), ``memory_mb`` (float: resident
    memory of all its processes; what they share is counted in each), ``up_s`` (float).

    Raises:
        BrokerUnreachable: the broker does not answer.

    >>> double.submit(2).result()                           # doctest: +CLUSTER
    4
    >>> nq.workers()[["pool", "queues"]].iloc[0].tolist()   # doctest: +CLUSTER
    ['prefork', 'celery']
    """
    return default_client().workers()


def processes() -> int:
    """Count the processes of all workers that answer; 0 when none does, or not yet."""
    return int(workers()["processes"].sum())


def queues() -> pd.DataFrame:
    """List the queues that workers listen to or that this process has sent to.

    Indexed by name (``queue``); columns ``waiting`` (messages that no worker has taken; one holds
    an item or many) and ``consumers`` (workers that take from it).

    Raises:
        BrokerUnreachable: the broker does not answer.

    >>> double.submit(2).result()                           # doctest: +CLUSTER
    4
    >>> nq.queues().loc["celery"].to_dict()                 # doctest: +CLUSTER
    {'waiting': 0, 'consumers': 1}
    """
    return default_client().queues()


def cluster() -> Client:
    """Give the default client; displayed in a notebook it shows workers and queues, live.

    >>> nq.cluster()                                        # doctest: +CLUSTER +ELLIPSIS
    <Client 'default': connected, redis+socket://...>
    """
    return default_client()


control = Control()
