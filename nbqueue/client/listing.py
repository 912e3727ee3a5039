"""Listings as DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nbqueue.client.remote.survey import Queue, Running, Worker
from nbqueue.core import states
from nbqueue.store.log.catalogue import Summary
from nbqueue.store.schedules.runs import EXPIRED, SKIPPED, Run

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from nbqueue.client.schedules.scheduler import Row


def jobs_frame(summaries: Sequence[Summary]) -> pd.DataFrame:
    """Give a row a job: what ``nq.jobs`` documents."""
    import pandas as pd

    return pd.DataFrame(
        {
            "name": _text([s.name for s in summaries]),
            "task": _text([s.task for s in summaries]),
            "state": pd.Categorical([_state(s) for s in summaries], categories=states.NAMES),
            "n": _whole([s.n for s in summaries]),
            "done": _whole([s.n - s.left for s in summaries]),
            "success": _whole([s.success for s in summaries]),
            "failure": _whole([s.failure for s in summaries]),
            "revoked": _whole([s.revoked for s in summaries]),
            "submitted": _utc([s.submitted for s in summaries]),
            "finished": _utc([s.finished for s in summaries]),
        },
        index=pd.Index([s.id for s in summaries], name="id", dtype=object),
    )


def workers_frame(workers: Sequence[Worker]) -> pd.DataFrame:
    """Give a row a worker: what ``nq.workers`` documents."""
    import pandas as pd

    return pd.DataFrame(
        {
            "host": _text([w.host for w in workers]),
            "pid": _whole([w.pid for w in workers]),
            "pool": _text([w.pool for w in workers]),
            "processes": _whole([w.processes for w in workers]),
            "running": _whole([w.n_running for w in workers]),
            "runs": _text([", ".join(r.label for r in w.running) for w in workers]),
            "longest_s": _float([_longest(w.running) for w in workers]),
            "queues": _text([", ".join(w.queues) for w in workers]),
            "done": _whole([w.done for w in workers]),
            "memory_mb": _float([w.memory_mb for w in workers]),
            "up_s": _float([w.up_s for w in workers]),
        },
        index=pd.Index([w.name for w in workers], name="worker", dtype=object),
    )


def queues_frame(queues: Sequence[Queue]) -> pd.DataFrame:
    """Give a row a queue: what ``nq.queues`` documents."""
    import pandas as pd

    return pd.DataFrame(
        {
            "waiting": _whole([q.waiting for q in queues]),
            "consumers": _whole([q.consumers for q in queues]),
        },
        index=pd.Index([q.name for q in queues], name="queue", dtype=object),
    )


def schedules_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Give a row a schedule: what ``nq.schedules`` documents."""
    import numpy as np
    import pandas as pd

    last = [row.last or Run("", np.nan, "") for row in rows]
    return pd.DataFrame(
        {
            "schedule": _text([row.times for row in rows]),
            "task": _text([row.task for row in rows]),
            "enabled": np.array([row.enabled for row in rows], dtype=bool),
            "last_run": _utc([row.last.due if row.last else None for row in rows]),
            "next_run": _utc([row.next_run for row in rows]),
            "duration_s": _float([run.duration_s for run in last]),
            "outcome": _outcomes(last),
            "n_runs": _whole([row.n_runs for row in rows]),
            "job": _text([run.job for run in last]),
        },
        index=pd.Index([row.name for row in rows], name="name", dtype=object),
    )


def history_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """Give a row a run: what ``Schedule.history`` documents."""
    import pandas as pd

    return pd.DataFrame(
        {
            "due": _utc([run.due for run in runs]),
            "outcome": _outcomes(runs),
            "finished": _utc([run.finished for run in runs]),
            "duration_s": _float([run.duration_s for run in runs]),
        },
        index=pd.Index([run.job for run in runs], name="job", dtype=object),
    )


def _outcomes(runs: Sequence[Run]) -> Any:
    import pandas as pd

    # (No run has no outcome: not one of the categories.)
    return pd.Categorical(
        [run.outcome or None for run in runs], categories=[*states.NAMES, SKIPPED, EXPIRED]
    )


def _longest(running: Sequence[Running]) -> float:
    return max((each.for_s for each in running), default=float("nan"))


def _float(numbers: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    import numpy as np

    return np.array(numbers, dtype=np.float64)


def _text(texts: Sequence[str]) -> Any:
    import pandas as pd

    # As this pandas has text; an empty list would not say.
    return pd.Series(texts, dtype=pd.Series([""]).dtype).array


def _whole(numbers: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    import numpy as np

    return np.array(numbers, dtype=np.int64)


def _utc(seconds: Sequence[float | None]) -> Any:
    import numpy as np
    import pandas as pd

    # Microseconds: more digits than that are those of the binary fraction.
    micros = [None if s is None else round(s * 1e6) for s in seconds]
    return pd.Series(np.array(micros, dtype="datetime64[us]")).dt.tz_localize("UTC").array


def _state(s: Summary) -> str:
    if s.left:
        return states.STARTED if s.left < s.n else states.PENDING
    if s.failure:
        return states.FAILURE
    return states.REVOKED if s.revoked else states.SUCCESS
