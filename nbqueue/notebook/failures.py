"""Why items of a job failed, in a line each: the same reasons counted together. Pure.

JobState ──first──► [(item, "ValueError: bad"), …] ──kinds──► [Kind, …], the most frequent first
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbqueue.core import states

if TYPE_CHECKING:
    from nbqueue.core.fold import JobState

MOST = 3
"""Reasons that are told."""

LOOKED_AT = 200
"""Failed items whose errors are compared. Higher: dearer, ten times a second while many fail."""

_REFUSED = "BadSignature: the worker does not have this client's key"


@dataclass(frozen=True)
class Kind:
    """One reason for which items failed."""

    item: int
    """The first item that had it."""
    error: str
    """Class and message of that item's error; others of the kind may differ in the message."""
    times: int


def reason(state: JobState, i: int) -> str:
    """Give why an item failed, is to run again or was revoked: an error's class, without the
    module, and its message, or the reason that was given; empty where there is none.
    """
    if i in state.rejections:
        return _REFUSED
    error = state.error(i)
    return state.reason(i) if error is None else error.brief


def first(state: JobState, most: int = LOOKED_AT) -> list[tuple[int, str]]:
    """Give the first failed items and their reasons; the lock is held."""
    found: list[tuple[int, str]] = []
    at = state.states.find(states.FAILURE_CODE)
    while at != -1 and len(found) < most:
        found.append((at, reason(state, at)))
        at = state.states.find(states.FAILURE_CODE, at + 1)
    return found


def kinds(failed: Iterable[tuple[int, str]], most: int = MOST) -> list[Kind]:
    """Count failures of the same reason, the most frequent first; of ties, the first item's.

    Reasons that differ in their message only are one kind when there are more than ``most``: a
    message that names the item would make each item a kind of its own.

    >>> kinds([(3, "E: a"), (5, "E: b"), (9, "E: b")], most=2)
    [Kind(item=5, error='E: b', times=2), Kind(item=3, error='E: a', times=1)]
    >>> kinds([(3, "E: a"), (5, "E: b"), (9, "F: c")], most=2)
    [Kind(item=3, error='E: a', times=2), Kind(item=9, error='F: c', times=1)]
    """
    failed = list(failed)
    groups = _grouped(failed, whole=True)
    if len(groups) > most:
        groups = _grouped(failed, whole=False)
    found = [Kind(*items[0], len(items)) for items in groups]
    return sorted(found, key=lambda kind: (-kind.times, kind.item))[:most]


def _grouped(failed: list[tuple[int, str]], *, whole: bool) -> list[list[tuple[int, str]]]:
    groups: dict[str, list[tuple[int, str]]] = {}
    for item, error in failed:
        key = error if whole else error.partition(":")[0]
        groups.setdefault(key, []).append((item, error))
    return list(groups.values())


class Watch:
    """The most frequent reasons for which a job's items failed, counted only when more have."""

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None
        self._kinds: list[Kind] = []

    def kinds(self, state: JobState) -> list[Kind]:
        """Give them as they are now; the lock is held."""
        now = state.counts[states.FAILURE_CODE], state.current_round
        if now != self._seen:
            self._seen, self._kinds = now, kinds(first(state))
        return self._kinds
