"""`Wiring`: where a worker belongs; and what this process is, if it is one.

A task that sends more work does so through a client like anybody's, and that must meet the worker's
own broker and store: they may be a private cluster that no environment variable names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbqueue.core.settings import LEASE_S
from nbqueue.store.signing import Keyring


@dataclass(frozen=True)
class Wiring:
    """Where a worker belongs: what the launcher was told."""

    broker_url: str = field(repr=False)
    store_url: str = field(repr=False)
    keyring: Keyring
    folder: Path | None = None
    """The embedded cluster's folder, where blobs are files that its client shares."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Celery settings about queues (`routing.SETTINGS`)."""
    lease_s: float = LEASE_S
    """How long the worker holds a message on Redis without renewing that."""
    memory_mib: int | None = None
    """How much memory each process of the pool may take."""


_own: list[Wiring] = []


def settle(wiring: Wiring) -> None:
    """Note that this process is a worker's."""
    _own[:] = [wiring]


def own() -> Wiring | None:
    """Give where this process belongs; ``None`` when it is no worker's."""
    return _own[0] if _own else None
