"""The fan-out over a result: one item for each of its elements, found out as the workflow runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from nbqueue.core.errors import UsageError
from nbqueue.core.plan import block_number
from nbqueue.core.settings import BLOCK_ITEMS
from nbqueue.store.broker.message import Message
from nbqueue.store.values import arguments, bounds
from nbqueue.worker.process.workplace import Workplace


def spreading(place: Workplace, message: Message) -> Callable[[Any], int]:
    """Give what a stage that spreads calls with the result: it gives the next stage its items."""
    stage = message.stage
    assert stage is not None
    grown = stage.number + 1
    spec = message.spec

    def spread(value: Any) -> int:
        """Store the arguments of an item for each element; give how many those are."""
        count, within = 0, bounds.Bounds()
        within.check_ahead(value)
        elements = iter(_elements(value, spec.task))
        while rows := list(islice(elements, BLOCK_ITEMS)):
            packed = _packed(rows, place, star=stage.star, first=count)
            within.add(len(rows), len(packed))
            place.arguments.put(spec.id, block_number(grown, count // BLOCK_ITEMS), packed)
            count += len(rows)
        place.arguments.keep(spec.id)
        place.plans.spread(spec.id, grown, count)
        return count

    return spread


def _elements(value: Any, task: str) -> Iterable[Any]:
    if hasattr(value, "__iter__") or hasattr(value, "__getitem__"):
        found: Iterable[Any] = value
        return found
    raise UsageError(
        f"{task} was to have an item for each element of what the step before returned, but that "
        f"is {value!r}, which has none: return a list"
    )


def _packed(rows: list[Any], place: Workplace, *, star: bool, first: int) -> bytes:
    if not star:
        return arguments.pack_columns([rows], place.blobs, (), first)
    try:
        calls = [arguments.call_of(row) for row in rows]
    except TypeError:
        raise UsageError(
            "starmap needs a tuple of arguments for each item, but one of the elements from "
            f"{first} on is none: return a list of tuples (or dicts), or use nq.map"
        ) from None
    if any(kwargs for _, kwargs in calls):
        return arguments.pack_calls(calls, place.blobs, (), first)
    return arguments.pack_rows([args for args, _ in calls], place.blobs, (), first)
