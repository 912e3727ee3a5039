"""Why an item, or a job, is as it is: its history from the log, and what holds it up just now.

shown, futures ──ask──► why ──facts of looking──► verdict ──wording──► Why, JobWhy
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbqueue.client.live import Live
    from nbqueue.client.why.why import JobWhy, Why


def ask(live: Live, i: int | None) -> Why | JobWhy:
    """Say why an item, or without one the job, is as it is."""
    made: Why | JobWhy = import_module("nbqueue.client.why.why").ask(live, i)
    return made
