"""Looks at a cluster that its displays share: the workers are asked once, however many show them.

A look is what the workers and queues say, and what the store has counted as refused.

Each display keeps its own pace, in its own thread; who comes within the pace of another gets what
that one saw, or waits for what it is about to see.
"""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbqueue.client.remote import control
from nbqueue.store import rejections
from nbqueue.store.connection import patience

if TYPE_CHECKING:
    from nbqueue.client.client import Client
    from nbqueue.client.remote.survey import Survey
    from nbqueue.store.rejections import Rejections

PACE_S = 2.0
"""How often the cluster is asked. A look costs the kernel 5 ms, and every worker less."""


@dataclass(frozen=True)
class Look:
    """What was found in one go."""

    survey: Survey
    rejections: Rejections


class _Shared:
    """The latest look at one client's cluster."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.found: Look | None = None
        self.begun = 0.0


_of: weakref.WeakKeyDictionary[Client, _Shared] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def look(client: Client, *, new: bool = False) -> Look:
    """Give a look that was begun a moment ago; ``new``: after now.

    Raises:
        NbqueueError: as `control.look`, or the store does not answer; each who asks finds out for
            itself.
    """
    asked = time.monotonic()
    with _making:
        shared = _of.setdefault(client, _Shared())
    with shared.lock:
        # Within less than the pace, or a display alone would have the same look again.
        oldest = asked if new else asked - 0.9 * PACE_S
        if shared.found is None or shared.begun < oldest:
            begun = time.monotonic()
            shared.found = None
            shared.found, shared.begun = _look(client), begun
        return shared.found


def _look(client: Client) -> Look:
    with patience.none():  # it comes by again
        return Look(control.look(client), rejections.read(client.store))
