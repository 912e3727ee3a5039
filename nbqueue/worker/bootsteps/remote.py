"""What a worker answers and does when a client asks: commands beside Celery's own.

``nbqueue_look`` tells in one reply what Celery spreads over four (``stats``, ``active``,
``active_queues`` and the node's name), and what Celery does not know: items. ``nbqueue_taken``
tells what waits in the worker, and ``nbqueue_resize`` gives the pool a size. They run in the
worker's main process, between two messages, so they must be quick and must not wait.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from celery.worker import state as worker_state
from celery.worker.control import control_command, inspect_command
from celery.worker.request import Request

from nbqueue.core.description import described
from nbqueue.worker.process.tally import Tally

_RUNNING = 200
"""How many messages a reply names. More would make a reply of a large thread pool heavy."""

_WAITING = 1000
"""How many that wait; a worker takes few in advance, except of those that have a time."""

_STUCK_S = 2.0
"""How long a process has for ending an item by itself. Longer than it takes under load."""

_RESIZABLE = ("prefork",)
"""Pools that can be given another size while they run; Celery's threads and solo cannot."""


@inspect_command()
def nbqueue_look(state: Any, **_: Any) -> dict[str, Any]:
    """Say what this worker is and what it is at."""
    consumer = state.consumer
    pool = consumer.pool
    pids = _children(pool)
    kind = _kind(pool)
    tally: Tally = state.app.nbqueue_tally
    items = tally.running()
    active = list(state.tset(worker_state.active_requests))
    leaving = consumer.nbqueue_keeper.leaving
    return {
        "pid": os.getpid(),
        "pool": kind,
        "processes": pool.num_processes - leaving,
        "leaving": leaving,
        "resizable": _resizable(consumer),
        "queues": sorted(queue.name for queue in consumer.task_consumer.queues),
        "running": [_running(request, items, time.time()) for request in active[:_RUNNING]],
        "n_running": len(active),
        "done": tally.done(),
        "memory_mb": _memory_mb([os.getpid(), *pids]),
        "up_s": time.monotonic() - _SINCE,
    }


@inspect_command()
def nbqueue_taken(state: Any, **_: Any) -> dict[str, Any]:
    """Say which messages wait in this worker: for a process, or for their time.

    As Celery's ``reserved`` and ``scheduled`` do, but with what a message is about in the place of
    its arguments, which of a range are an envelope and heavy.
    """
    reserved = state.tset(worker_state.reserved_requests) - state.tset(worker_state.active_requests)
    now = [request.info(safe=True) for request in list(reserved)[:_WAITING]]
    timed = (entry.entry.args[:1] for entry in state.consumer.timer.schedule.queue)
    later = [
        {"eta": args[0].eta.isoformat(), "request": args[0].info(safe=True)}
        for args in timed
        if args and isinstance(args[0], Request) and args[0].eta
    ]
    return {"reserved": now, "scheduled": later[:_WAITING]}


@control_command(args=[("job_id", str)], signature="<JOB ID> [RUNS]")
def nbqueue_end(state: Any, job_id: str, runs: Sequence[Sequence[int]]) -> dict[str, Any]:
    """End items of a job that run here; they are cancelled already, or they would run again.

    The process that runs an item ends it within a tenth of a second. One that is stuck in code that
    lets no other thread run is killed from here a while later.
    """
    unwanted = state.app.nbqueue_tally.unwanted
    told = []
    requests = state.tset(worker_state.reserved_requests)  # of which the active ones are some
    for request in requests | state.tset(worker_state.active_requests):
        found = described(request.argsrepr)
        if found is None or found.job_id != job_id:
            continue
        for a, b in runs:
            if a < found.stop and found.start < b:
                unwanted.add(request.id, max(a, found.start), min(b, found.stop))
                told.append(request.id)
    if told and _kind(state.consumer.pool) == "prefork":
        state.consumer.timer.call_after(_STUCK_S, _kill_stuck, (state, frozenset(told)))
    return {"ok": len(set(told))}


def _kill_stuck(state: Any, message_ids: frozenset[str]) -> None:
    """Kill the processes that should have ended an item by themselves and have not."""
    tally: Tally = state.app.nbqueue_tally
    items = tally.running()
    for request in list(state.tset(worker_state.active_requests)):
        if request.id not in message_ids or not request.worker_pid:
            continue
        # A process that is stuck from the first moment could not say which item it is at.
        found = described(request.argsrepr)
        alone = found.start if found is not None and found.stop - found.start == 1 else None
        item = items[request.id][0] if request.id in items else alone
        if item is not None and tally.unwanted.has(request.id, item):
            os.kill(request.worker_pid, signal.SIGKILL)


@control_command(args=[("n", int)], signature="<N>")
def nbqueue_resize(state: Any, n: int) -> dict[str, Any]:
    """Have N pool processes; those that are busy end after what they run."""
    kind = _kind(state.consumer.pool)
    if not _resizable(state.consumer):
        return {"error": f"a worker with this pool ({kind}) keeps its size"}
    if n < 1:
        return {"error": f"a worker has at least 1 process, not {n}"}
    state.consumer.nbqueue_keeper.resize(state.consumer, n)
    return {"ok": n}


@control_command(args=[("n", int)], signature="[N=1]")
def nbqueue_shrink(state: Any, n: int = 1) -> dict[str, Any]:
    """Have N processes fewer; those that are busy end after what they run."""
    consumer = state.consumer
    if not _resizable(consumer):
        return nbqueue_resize(state, n)  # type: ignore[no-any-return]  # Celery's decorator
    now = consumer.pool.num_processes - consumer.nbqueue_keeper.leaving
    if n >= now:
        return {
            "error": f"this worker has {now} process(es), and {n} fewer would leave it none: at "
            f"most {now - 1} can be taken away, and nq.control.shutdown() ends a worker"
        }
    said: dict[str, Any] = nbqueue_resize(state, now - n)
    return said


def _resizable(consumer: Any) -> bool:
    return _kind(consumer.pool) in _RESIZABLE and not consumer.controller.autoscaler


_SINCE = time.monotonic()


def _kind(pool: Any) -> str:
    """Give a pool's name as ``--pool`` has it."""
    module: str = type(pool).__module__.rpartition(".")[2]
    return "threads" if module == "thread" else module


def _children(pool: Any) -> list[int]:
    found = (pool.info or {}).get("processes", [])
    return [int(pid) for pid in found] if isinstance(found, list) else []


def _running(request: Any, items: Mapping[str, tuple[int, float]], now: float) -> dict[str, Any]:
    since = request.time_start or now
    item, begun = items.get(request.id, (None, since))
    return {
        "id": request.id,
        "task": request.name,
        "what": request.argsrepr,
        "for_s": max(now - since, 0.0),
        "item": item,
        "item_for_s": max(now - begun, 0.0),
    }


def _memory_mb(pids: Sequence[int]) -> float:
    """Give the resident memory of processes, added up: what they share is counted in each."""
    if Path("/proc/self/statm").exists():
        page_mb = resource.getpagesize() / 1024**2
        return round(sum(_pages(pid) for pid in pids) * page_mb, 1)
    command = ["ps", "-o", "rss=", "-p", ",".join(map(str, pids))]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return round(sum(int(kib) for kib in shown.split()) / 1024, 1)


def _pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0  # it has just ended
