"""What opens a job: signed by its client, so that any worker can do it in the client's name."""

from __future__ import annotations

from typing import Any, NamedTuple

from nbqueue.core.records import JobSpec
from nbqueue.store import keys
from nbqueue.store.signing import SIZE


class Opening(NamedTuple):
    """What the message of a job has, besides its items, to make the job exist."""

    spec: JobSpec
    body: bytes
    """The ``opened`` record."""
    signature: bytes
    call: bytes
    """Signature and packed arguments of a single call; empty when they are in blocks."""

    @property
    def inline(self) -> bytes:
        """Packed arguments of a single call."""
        return self.call[SIZE:]


def opening_arguments(opening: Opening) -> list[Any]:
    """Give what ``open_job`` in the scripts wants to know."""
    spec = opening.spec
    return [
        opening.body,
        opening.signature,
        spec.n,
        spec.name,
        spec.task,
        spec.submitted,
        keys.bell(spec.origin),
        opening.call,
        b"" if opening.call or not spec.n else 1,
    ]
