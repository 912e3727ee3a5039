"""A warning when nobody listens on a queue.

Whether anybody does, only the workers can say, and they are given a second to. So they are asked in
a thread, and the line comes when they have answered, under the cell that sent the job: a thread
that runs in its cell's context prints there (ipykernel 7; before that, under the latest cell).
"""

from __future__ import annotations

import contextvars
import logging
import threading
from typing import TYPE_CHECKING

from nbqueue.store.broker import DEFAULT_QUEUE

if TYPE_CHECKING:
    from nbqueue.client.client import Client

log = logging.getLogger("nbqueue.notebook")

_ASK_S = 1.0
"""How long workers are given to answer. Less: a busy machine's workers are said to be missing."""

heard: set[str] = {DEFAULT_QUEUE}
"""Queues that a worker listened on when they were last asked about; completion offers them."""


def warn_later(client: Client, queue: str) -> None:
    """Say so, soon, if no worker listens on a queue; returns at once."""
    context = contextvars.copy_context()
    threading.Thread(
        target=context.run, args=(_warn, client, queue), name="nbqueue-queues", daemon=True
    ).start()


def _warn(client: Client, queue: str) -> None:
    try:
        listening = _listening(client)
    except Exception as exc:  # a courtesy: whatever is wrong, the job itself will show
        log.debug("cannot ask which queues are listened on: %s", exc)
        return
    heard.update(listening)
    client.unheard.found(queue, listening)


def _listening(client: Client) -> set[str]:
    with client.app.connection_for_write() as connection:
        inspect = client.app.control.inspect(timeout=_ASK_S, connection=connection)
        answers = inspect.active_queues() or {}
    return {queue["name"] for queues in answers.values() for queue in queues}
