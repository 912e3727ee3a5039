"""A warning when nobody listens on a queue that a cell names.

Whether anybody does, only the workers can say (`client.unheard`). So they are asked in a thread,
and the line comes when they have answered, under the cell that sent the job: a thread that runs in
its cell's context prints there (ipykernel 7; before that, under the latest cell).
"""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING

from nbqueue.store.broker.broker import DEFAULT_QUEUE

if TYPE_CHECKING:
    from nbqueue.client.client import Client

heard: set[str] = {DEFAULT_QUEUE}
"""Queues that a worker listened on when they were last asked about; completion offers them."""


def warn_later(client: Client, queue: str) -> None:
    """Say so, soon, if no worker listens on a queue; returns at once."""
    context = contextvars.copy_context()
    threading.Thread(
        target=context.run, args=(_warn, client, queue), name="nbqueue-queues", daemon=True
    ).start()


def _warn(client: Client, queue: str) -> None:
    heard.update(client.unheard.ask([queue]))
