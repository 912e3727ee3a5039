"""The record of items that all end alike, in one error, without having been run to an end."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from nbqueue.core import states
from nbqueue.core.records import Error, Outcomes
from nbqueue.core.splitting import Range, count


def all_failed(
    runs: Sequence[Range],
    error: Error,
    *,
    round_: int,
    worker: str,
    at: float,
    times: float = 0.0,
    memory_mb: float = 0.0,
) -> Outcomes:
    """Give the record that says so; ``times`` is NaN where the items never began."""
    n = count(runs)
    column = array("f", [times]) * n
    return Outcomes(
        round=round_,
        worker=worker,
        runs=tuple(runs),
        states=bytes([states.FAILURE_CODE]) * n,
        base=at,
        started=column,
        run_s=column,
        memory_mb=memory_mb,
        results=b"",
        errors=(error,),
    )
