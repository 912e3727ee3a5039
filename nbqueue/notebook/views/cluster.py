"""A cluster as HTML and as text: one moment of it, for where nothing is live.

As in `views.html`: inline styles only, and colours that are right on light and on dark.
"""

from __future__ import annotations

from nbqueue.client.remote.survey import Queue
from nbqueue.core.spans import span
from nbqueue.notebook.cluster_picture import (
    MOST_RUNNING,
    ClusterPicture,
    WorkerPicture,
    refused_as,
)
from nbqueue.notebook.views import sheet
from nbqueue.notebook.views.outputs import quoted

_BOX = "font-size:13px;line-height:1.5;margin:2px 0 6px 0"

_WORKERS = ("worker", "pool", "processes", "runs", "items/s", "done", "memory", "queues")
_QUEUES = ("queue", "waiting", "workers")


def html(picture: ClusterPicture, title: str, note: str = "") -> str:
    """Give the cluster's page."""
    parts = [f"<div><b>{quoted(title)}</b>{_quiet(summary(picture))}</div>"]
    if picture.trouble:
        parts.append(f'<div style="color:#d64545">{quoted(picture.trouble)}</div>')
    if picture.workers:
        rows = [_worker_row(picture, each) for each in picture.workers]
        parts.append(sheet.table(_WORKERS, rows))
    if picture.queues:
        parts.append(sheet.table(_QUEUES, [_queue_row(each) for each in picture.queues]))
    if picture.rejections.total:
        parts.append(f'<div style="opacity:.7">{quoted(refused(picture))}</div>')
    if note:
        parts.append(f'<div style="opacity:.7">{quoted(note)}</div>')
    return f'<div style="{_BOX}">{"".join(parts)}</div>'


def summary(picture: ClusterPicture) -> str:
    """Give the cluster in a line: ``2 workers · 3 of 8 processes busy · 12 waiting``."""
    if picture.at is None:
        return ""
    here = [each.worker for each in picture.workers if not picture.silent_s(each)]
    processes = sum(worker.processes + worker.leaving for worker in here)
    busy = sum(worker.n_running for worker in here)
    waiting = sum(queue.waiting for queue in picture.queues)
    parts = [f"{len(here):,} worker{'s' * (len(here) != 1)}"]
    if here:
        parts.append(f"{busy:,} of {processes:,} process{'es' * (processes != 1)} busy")
    parts.append(f"{waiting:,} message{'s' * (waiting != 1)} waiting")
    return " · ".join(parts)


def refused(picture: ClusterPicture) -> str:
    """Give how much was refused, and what it was the last time.

    >>> from nbqueue.store.rejections import Rejections
    >>> found = Rejections({"unreadable message": 3}, "unreadable message")
    >>> refused(ClusterPicture(rejections=found))
    '3 refused; the last: a message that cannot be read'
    """
    found = picture.rejections
    last = refused_as(found.last)
    which = f"{'; the last' * (found.total > 1)}: {last}" if last else ""
    return f"{found.total:,} refused{which}"


def _worker_row(picture: ClusterPicture, seen: WorkerPicture) -> list[str]:
    worker, rate = seen.worker, seen.items_per_s
    runs = [f"{run.label} ({span(run.for_s)})" for run in worker.running[:MOST_RUNNING]]
    if worker.n_running > len(runs):
        runs.append(f"and {worker.n_running - len(runs):,} more")
    silent_s = picture.silent_s(seen)
    state = f"no answer for {span(silent_s)}" if silent_s else ""
    return [
        worker.name,
        worker.pool,
        f"{worker.processes:,}",
        state or ", ".join(runs) or "idle",
        "" if rate is None else f"{rate:,.3g}",
        f"{worker.done:,}",
        f"{worker.memory_mb:,.0f} MB",
        ", ".join(worker.queues),
    ]


def _queue_row(queue: Queue) -> list[str]:
    return [queue.name, f"{queue.waiting:,}", f"{queue.consumers:,}"]


def _quiet(text: str) -> str:
    return f' <span style="opacity:.7">· {quoted(text)}</span>' if text else ""
