"""An embedded cluster that is gone is started again by whoever still needs it.

A supervisor that is killed takes its Redis and its worker with it, so that nothing is left behind;
what was recorded is in Redis's files, and what the worker held comes back. A client that finds its
store away looks after that, in the follower's thread: a cluster that was ended in order, or is
being started by somebody, is left alone. One that was ended in order (`nbqueue down`) is started by
the next use of the default client, as the first use does, and only if it is this user's own.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from nbqueue.client.saying import say
from nbqueue.cluster import embedded
from nbqueue.core.errors import ClusterError

log = logging.getLogger("nbqueue.client")

_AGAIN_S = 5.0
"""Between two looks: a supervisor starts its Redis again by itself in less."""


class Revival:
    """Looks after the embedded cluster in a folder; ``None`` where there is none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._looked = 0.0
        self._failed = ""

    def look(self) -> Any:
        """Start the cluster again if need be; give the connection that keeps it, else ``None``."""
        if self._folder is None or time.monotonic() - self._looked < _AGAIN_S:
            return None
        self._looked = time.monotonic()
        try:
            address = embedded.revive(self._folder)
        except ClusterError as exc:
            if str(exc) != self._failed:
                self._failed = str(exc)
                say(f"the private cluster was killed, and cannot be started again: {exc}")
            return None
        if address is None:
            return None
        say("the private cluster was killed; it was started again, and goes on with its jobs")
        if address.notice:
            say(address.notice)
        return address.keepalive

    def was_ended(self) -> bool:
        """Say whether it is the cluster that a first use starts, and does not run."""
        return self._folder == embedded.default_folder() and not embedded.runs(self._folder)

    def begin_again(self) -> Any:
        """Start it as a first use does; give the connection that keeps it.

        Raises:
            ClusterError: that cannot be done; with the reason.
        """
        address = embedded.ensure(self._folder)
        say("the private cluster had been ended; it was started again, and goes on with its jobs")
        if address.notice:
            say(address.notice)
        return address.keepalive
