"""Listings as DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbqueue.core import states
from nbqueue.store.joblog import Summary

if TYPE_CHECKING:
    import pandas as pd


def jobs_frame(summaries: Sequence[Summary]) -> pd.DataFrame:
    """Give a row a job: what ``nq.jobs`` documents."""
    import pandas as pd

    frame = pd.DataFrame(
        {
            "name": [s.name for s in summaries],
            "task": [s.task for s in summaries],
            "state": pd.Categorical([_state(s) for s in summaries], categories=states.NAMES),
            "n": [s.n for s in summaries],
            "done": [s.n - s.left for s in summaries],
            "success": [s.success for s in summaries],
            "failure": [s.failure for s in summaries],
            "revoked": [s.revoked for s in summaries],
            "submitted": _utc([s.submitted for s in summaries]),
            "finished": _utc([s.finished for s in summaries]),
        },
        index=pd.Index([s.id for s in summaries], name="id", dtype=object),
    )
    return frame.astype({"name": object, "task": object}) if frame.empty else frame


def _utc(seconds: Sequence[float | None]) -> pd.Series[pd.Timestamp]:
    import pandas as pd

    return pd.Series(pd.to_datetime(pd.array(seconds, dtype="Float64"), unit="s", utc=True)).array


def _state(s: Summary) -> str:
    if s.left:
        return states.STARTED if s.left < s.n else states.PENDING
    if s.failure:
        return states.FAILURE
    return states.REVOKED if s.revoked else states.SUCCESS
