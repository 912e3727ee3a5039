"""Looks at a cluster that its displays share: the workers are asked once, however many show them.

Each display keeps its own pace, in its own thread; who comes within the pace of another gets what
that one saw, or waits for what it is about to see.
"""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING

from nbqueue.client.remote import control

if TYPE_CHECKING:
    from nbqueue.client.client import Client
    from nbqueue.client.remote.survey import Survey

PACE_S = 2.0
"""How often the cluster is asked. A look costs the kernel 5 ms, and every worker less."""


class _Shared:
    """The latest survey of one client's cluster."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.survey: Survey | None = None
        self.begun = 0.0


_of: weakref.WeakKeyDictionary[Client, _Shared] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def look(client: Client, *, new: bool = False) -> Survey:
    """Give a survey that was begun a moment ago; ``new``: after now.

    Raises:
        NbqueueError: as `control.look`; each who asks finds out for itself.
    """
    asked = time.monotonic()
    with _making:
        shared = _of.setdefault(client, _Shared())
    with shared.lock:
        # Within less than the pace, or a display alone would see the same survey again.
        oldest = asked if new else asked - 0.9 * PACE_S
        if shared.survey is None or shared.begun < oldest:
            begun = time.monotonic()
            shared.survey = None
            shared.survey, shared.begun = control.look(client), begun
        return shared.survey
