"""A job's fold as DataFrames: columns in, columns out, no Python object an item where none is needed.

pandas and numpy are imported here, when the first frame is asked for, because a kernel or a script
that never asks should not pay for them.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from nbqueue.client import expansion
from nbqueue.core import states
from nbqueue.core.fold import JobState
from nbqueue.core.records import Cancelled, Outcomes, Progressed, Record, Rejected, Retried, Started
from nbqueue.store.joblog import JobLog

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from nbqueue.client.job import Job
    from nbqueue.client.outcome import Outcomes as Reader

OWN_COLUMNS = (
    "state",
    "result",
    "error",
    "started",
    "queue_s",
    "run_s",
    "worker",
    "attempts",
    "memory_mb",
)


def build(job: Job, state: JobState, reader: Reader, *, expand: bool) -> pd.DataFrame:
    """Give what ``Job.to_frame`` documents."""
    import numpy as np
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, values in _parameters(job, state).items():
        columns[f"{name}_arg" if name in OWN_COLUMNS else name] = values
    columns["state"] = pd.Categorical.from_codes(
        np.frombuffer(bytes(state.states), dtype=np.int8), categories=list(states.NAMES)
    )
    results = _results(state, reader)
    fields = expansion.expand(results) if expand else None
    if fields is None:
        columns["result"] = results
    else:
        taken = set(columns) | set(OWN_COLUMNS)
        columns.update({f"{k}_result" if k in taken else k: v for k, v in fields.items()})
    columns["error"] = _errors(state)
    columns.update(_times(state))
    columns["worker"] = _workers(state)
    columns["attempts"] = np.frombuffer(bytes(state.attempts), dtype=np.uint8).astype(np.int64)
    columns["memory_mb"] = np.array(state.memory_mb, dtype=np.float64)
    return pd.DataFrame(columns, index=pd.RangeIndex(state.n, name="item"))


def _parameters(job: Job, state: JobState) -> dict[str, Any]:
    """Give a column for each parameter: what each item was called with, defaults included."""
    import pandas as pd

    blocks = [job._block(k) for k in range(-(-state.n // (state.spec.block or 1)))]
    params = state.spec.params
    if blocks and all(b.columns is not None and len(b.columns) == len(params) for b in blocks):
        return {
            name: _join([expansion.column(b.columns[k]) for b in blocks if b.columns is not None])
            for k, name in enumerate(params)
        }
    calls = [block.call(place) for block in blocks for place in range(len(block))]
    bound = expansion.bind(params, job._signature(), calls)
    return {name: expansion.column(values) for name, values in bound.items()} or {
        name: pd.Series(dtype=object) for name in params
    }


def _join(parts: Sequence[Any]) -> Any:
    import pandas as pd

    if len(parts) == 1:
        return parts[0]
    return pd.concat([pd.Series(part) for part in parts], ignore_index=True)


def _results(state: JobState, reader: Reader) -> Any:
    """Give the results in item order: a numeric column when all are numbers, else objects."""
    import numpy as np

    n = state.n
    places = np.array(state.place, dtype=np.int64)
    batches = np.array(state.batch_of, dtype=np.int64) - 1
    good = np.frombuffer(bytes(state.states), dtype=np.uint8) == states.SUCCESS_CODE
    out = np.full(n, None, dtype=object)
    order = np.flatnonzero(good)
    if len(order) == 0:
        return out
    # Batch by batch, so that each is unpickled once however items and batches interleave.
    order = order[np.argsort(batches[order], kind="stable")]
    edges = np.flatnonzero(np.diff(batches[order])) + 1
    for items in np.split(order, edges):
        column = reader.column(int(batches[items[0]]))
        for i, place in zip(items.tolist(), places[items].tolist(), strict=True):
            out[i] = column[place]
    return expansion.column(out, missing=n - len(order))


def _errors(state: JobState) -> Any:
    import numpy as np
    import pandas as pd

    texts = np.full(state.n, None, dtype=object)
    for i in state.where(states.FAILURE_CODE):
        rejection = state.rejections.get(i)
        texts[i] = "BadSignature" if rejection else str(state.error(i))
    return pd.array(texts, dtype="str" if _PANDAS_3() else "object")


def _PANDAS_3() -> bool:
    import pandas as pd

    return int(pd.__version__.partition(".")[0]) >= 3


def _times(state: JobState) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    started: np.ndarray[Any, np.dtype[np.float64]] = np.array(state.started, dtype=np.float64)
    submitted = np.array(state.submitted)[np.frombuffer(bytes(state.round), dtype=np.uint8) - 1]
    micros = np.where(np.isnan(started), 0, started * 1e6).astype("int64").astype("datetime64[us]")
    micros[np.isnan(started)] = np.datetime64("NaT")
    return {
        "started": pd.Series(micros).dt.tz_localize("UTC").array,
        "queue_s": np.maximum(started - submitted, 0),
        "run_s": np.array(state.run_s, dtype=np.float64),
    }


def _workers(state: JobState) -> Any:
    import numpy as np
    import pandas as pd

    codes = np.array(state.worker, dtype=np.uint16).astype(np.int32)
    codes[codes == 0xFFFF] = -1
    return pd.Categorical.from_codes(codes, categories=list(state.workers))


def timings(state: JobState, now: float) -> dict[str, float]:
    """Give what ``Job.timings`` documents."""
    run = [t for t in state.run_s if t == t]
    submitted = state.submitted[0]
    queued = [t - submitted for t in state.started if t == t]
    ends = [t + d for t, d in zip(state.started, state.run_s, strict=True) if d == d]
    elapsed = (max(ends, default=now) if state.finished else now) - submitted
    nan = float("nan")
    return {
        "elapsed_s": elapsed,
        "run_s": sum(run),
        "run_s_median": statistics.median(run) if run else nan,
        "run_s_max": max(run, default=nan),
        "queue_s_max": max(queued, default=nan),
        "items_per_s": state.n_done / elapsed if elapsed > 0 else nan,
    }


def progress_frame(state: JobState) -> pd.DataFrame:
    """Give what ``Job.progress`` documents."""
    import pandas as pd

    reports = [state.progress[i] for i in sorted(state.progress)]
    rows = [
        {
            "done": r.done,
            "total": float("nan") if r.total is None else r.total,
            "fraction": r.done / r.total if r.total else float("nan"),
            **{k: v for k, v in r.info.items() if k not in ("done", "total", "fraction")},
        }
        for r in reports
    ]
    index = pd.Index([r.item for r in reports], name="item", dtype="int64")
    return pd.DataFrame(rows, index=index, columns=None if rows else ["done", "total", "fraction"])


def log_lines(joblog: JobLog, job_id: str, item: int | None) -> list[str]:
    """Give what ``Job.log`` documents."""
    lines, after = [], "-"
    while entries := joblog.read(job_id, after):
        for entry in entries:
            if item is None or _concerns(entry.record, item):
                at = datetime.fromtimestamp(int(entry.id.partition("-")[0]) / 1000, timezone.utc)
                lines.append(
                    f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} {_line(entry.record)}"
                )
        after = entries[-1].id
    return lines


def _concerns(record: Record, item: int) -> bool:
    match record:
        case Outcomes() | Retried() | Rejected():
            return _within(record.runs, item)
        case Cancelled():
            return record.runs is None or _within(record.runs, item)
        case Started() | Progressed():
            return record.item == item
        case _:
            return True


def _within(runs: Iterable[tuple[int, int]], item: int) -> bool:
    return any(a <= item < b for a, b in runs)


def _line(record: Record) -> str:
    match record:
        case Outcomes():
            good = record.states.count(states.SUCCESS_CODE)
            text = f"items {_runs(record.runs)} on {record.worker}: {good} SUCCESS"
            bad = record.n - good
            return f"{text}, {bad} FAILURE ({'; '.join(map(str, record.errors))})" if bad else text
        case Started() | Progressed():
            return f"item {record.item}: {record.kind} {_rest(record)}"
        case Retried() | Rejected():
            return f"items {_runs(record.runs)}: {record.kind} (round {record.round})"
        case Cancelled():
            return f"items {_runs(record.runs) if record.runs is not None else 'left'}: cancelled"
        case _:
            return record.kind


def _rest(record: Started | Progressed) -> str:
    if isinstance(record, Started):
        return f"on {record.worker}"
    return f"{record.done:g} of {record.total:g}" if record.total else f"{record.done:g}"


def _runs(runs: Sequence[tuple[int, int]]) -> str:
    shown = [f"{a}" if b == a + 1 else f"{a}-{b - 1}" for a, b in runs[:5]]
    return ", ".join(shown) + (", …" if len(runs) > 5 else "")
