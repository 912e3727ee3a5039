"""`Work`: what `nq.apply` does with pieces of anything, as one job.

A piece is an item: its rows travel as a large value does, and the function is applied where it
arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from nbqueue.client import onlooking
from nbqueue.client.reaching import processes
from nbqueue.client.task import AnyTask, Task
from nbqueue.store.code.pieces import Applied, Call

_PIECES_A_PROCESS = 8
"""More: each piece costs a message and a copy of its column names; fewer: the last ones to end are
waited for by idle processes."""


@dataclass(frozen=True)
class Work:
    """What is to be done with each piece."""

    task: AnyTask
    call: Call
    pieces: int | None
    name: str | None

    def run(self, how: Callable[..., Any], pieces: list[Any]) -> list[Any]:
        """Give what came of each piece, in order."""
        options = {"name": self.task.name, "typing": False}
        sent: AnyTask = Task(Applied(how, self.call), self.task.options.updated(options))
        job = sent.map(pieces, name=self.name)
        with onlooking.waiting(job):
            found: list[Any] = job.result()
        return found

    def cuts(self, n: int) -> list[tuple[int, int]]:
        """Cut n things into pieces of about the same size."""
        pieces = self.pieces or _PIECES_A_PROCESS * (processes() or 1)
        edges = np.linspace(0, n, min(pieces, n) + 1).astype(int)
        return [(int(a), int(b)) for a, b in pairwise(edges)]
