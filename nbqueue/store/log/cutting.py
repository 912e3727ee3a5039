"""A part of a batch of outcomes, as if the other items had never been in it.

A message that was delivered twice (its worker was taken for dead) may be run by two processes at
once, and each records what the other has not. A batch that is on its way while the other records
a part of it is cut before it is signed again: the log names each item once.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace

from nbqueue.core.records import Outcomes
from nbqueue.core.splitting import Range, indices, runs_of
from nbqueue.store.values import results


def cut(batch: Outcomes, runs: Sequence[Range]) -> Outcomes:
    """Give the batch with the items of ``runs`` only, in their order in the batch."""
    kept = set(indices(runs))
    found = [(place, item) for place, item in enumerate(indices(batch.runs)) if item in kept]
    places = [place for place, _ in found]
    error_of = tuple((item, k) for item, k in batch.error_of if item in kept)
    return replace(
        batch,
        runs=tuple(runs_of(item for _, item in found)),
        states=bytes(batch.states[place] for place in places),
        started=array("f", [batch.started[place] for place in places]),
        run_s=array("f", [batch.run_s[place] for place in places]),
        results=results.pick(batch.results, places),
        # (Errors that are nobody's would be everybody's.)
        errors=batch.errors if error_of or not batch.error_of else (),
        error_of=error_of,
        retries=tuple((item, n) for item, n in batch.retries if item in kept),
        cached=tuple(runs_of(item for item in indices(batch.cached) if item in kept)),
    )
