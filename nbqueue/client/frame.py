"""A job's fold as DataFrames: columns in, columns out, an object an item only where it must be.

pandas and numpy are imported here, when the first frame is asked for, because a kernel or a script
that never asks should not pay for them.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nbqueue.client import expansion
from nbqueue.client.part import Part, block_of
from nbqueue.core import states
from nbqueue.core.columns import NOWHERE
from nbqueue.core.errors import NbqueueError
from nbqueue.core.fold import JobState

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from nbqueue.client.live import Live
    from nbqueue.client.outcome import Outcomes

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


def build(live: Live, *, expand: bool, items: Sequence[int] | None = None) -> pd.DataFrame:
    """Give what ``Job.to_frame`` documents, of all items or of some."""
    import numpy as np
    import pandas as pd

    reader = live.outcomes
    state: JobState | Part = live.state if items is None else Part(live.state, items)
    caches = _caches(live)
    own = {*OWN_COLUMNS, *(["cached"] if caches else [])}
    columns: dict[str, Any] = {}
    for name, values in parameters(live, items).items():
        columns[_free(name, "_arg", {*columns, *own})] = values
    columns["state"] = pd.Categorical.from_codes(
        np.frombuffer(bytearray(state.states), dtype=np.int8), categories=pd.Index(states.NAMES)
    )
    returned = results(state, reader)
    fields = expansion.expand(returned) if expand else None
    if fields is None:
        columns["result"] = returned
    else:
        own.discard("result")
        for name, values in fields.items():
            columns[_free(name, "_result", {*columns, *own})] = values
    columns["error"] = _errors(state)
    columns.update(_times(state))
    columns["worker"] = _workers(state)
    columns["attempts"] = np.frombuffer(bytes(state.attempts), dtype=np.uint8).astype(np.int64)
    columns["memory_mb"] = np.array(state.memory_mb, dtype=np.float64)
    if caches:
        columns["cached"] = np.frombuffer(bytes(state.cached), dtype=np.bool_)
    index = (
        pd.RangeIndex(state.n, name="item")
        if items is None
        else pd.Index(list(items), dtype="int64", name="item")
    )
    for name, values in columns.items():
        if values.dtype == object:  # as it is: pandas would look for dates in it
            columns[name] = pd.Series(values, index=index, dtype=object, copy=False)
    # Each column was made just now, for this frame: a copy would only double the memory.
    return pd.DataFrame(columns, index=index, copy=False)


def _caches(live: Live) -> bool:
    """Say whether results of a job, or of a step of a workflow, may come from the cache."""
    specs = [live.state.spec, *(stage.spec for stage in live.state.stages)]
    return any(spec.cache for spec in specs)


def _free(name: str, suffix: str, taken: set[str]) -> str:
    while name in taken:
        name += suffix
    return name


def parameters(live: Live, items: Sequence[int] | None = None) -> dict[str, Any]:
    """Give a column for each parameter: what each item was called with, defaults included."""
    spec = live.state.spec
    if spec.stages:
        return _nodes(live, range(live.state.n) if items is None else items)
    signature = _signature(live)
    parts: dict[str, list[Any]] = {name: [] for name in spec.params}
    # Block by block, so that the arguments of a million items are never objects all at once.
    numbers = range(-(-spec.n // (spec.block or 1)))
    blocks = map(live.block, numbers) if items is None else [block_of(live, items)]
    for block in blocks:
        for name, values in expansion.bind(spec.params, signature, block).items():
            parts.setdefault(name, []).append(expansion.column(values))
    return {name: expansion.join(columns) for name, columns in parts.items()}


def _nodes(live: Live, items: Sequence[int]) -> dict[str, Any]:
    """Give what the items of a workflow call, and with which arguments of their own."""
    nodes = [live.node(i) for i in items]
    return {
        name: expansion.column([node[k] for node in nodes])
        for k, name in enumerate(live.state.spec.params)
    }


def _signature(live: Live) -> inspect.Signature | None:
    """Give the signature that items were submitted to; ``None`` when it cannot be loaded here."""
    spec = live.state.spec
    try:
        if live.client.functions.kind(spec.function) != "function":
            return None  # a cell: it has parameters only, and would bring its values with it
        # Not that of a later round's function, which may name its parameters otherwise.
        signature = inspect.signature(live.client.functions.get(spec.function))
    except (NbqueueError, TypeError, ValueError):
        return None
    return signature if tuple(signature.parameters) == spec.params else None


def results(state: JobState | Part, reader: Outcomes) -> Any:
    """Give the results in item order: a numeric column when all are numbers, else objects."""
    import numpy as np

    places = np.array(state.place, dtype=np.int64)
    batches = np.array(state.batch_of, dtype=np.int64) - 1
    good = np.frombuffer(bytes(state.states), dtype=np.uint8) == states.SUCCESS_CODE
    order = np.flatnonzero(good)
    pieces: list[tuple[Any, Any]] = []
    if len(order):
        # Batch by batch, so that each is unpickled once however items and batches interleave.
        order = order[np.argsort(batches[order], kind="stable")]
        for items in np.split(order, np.flatnonzero(np.diff(batches[order])) + 1):
            try:
                values = reader.column(int(batches[items[0]])).pick(places[items].tolist())
            except Exception:  # one of them cannot be loaded here: it says so in its place
                numbers = items.tolist() if isinstance(state, JobState) else state.items(items)
                values = [reader.readable(i) for i in numbers]
            pieces.append((items, expansion.numbers(values)))
    return expansion.scatter(state.n, pieces)


def _errors(state: JobState | Part) -> Any:
    import numpy as np
    import pandas as pd

    texts = np.full(state.n, None, dtype=object)
    for code in (states.FAILURE_CODE, states.RETRY_CODE):
        for i in state.where(code):
            texts[i] = "BadSignature" if i in state.rejections else str(state.error(i))
    for i in state.where(states.REVOKED_CODE) if state.reasons else ():
        texts[i] = state.reason(i) or None
    return pd.Series(texts, dtype=pd.Series([""]).dtype).array  # text, as this pandas has it


def _times(state: JobState | Part) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    started: np.ndarray[Any, np.dtype[np.float64]] = np.array(state.started, dtype=np.float64)
    micros = np.where(np.isnan(started), 0, started * 1e6).astype("int64").astype("datetime64[us]")
    micros[np.isnan(started)] = np.datetime64("NaT", "us")
    return {
        "started": pd.Series(micros).dt.tz_localize("UTC").array,
        "queue_s": _queued(state),
        "run_s": np.array(state.run_s, dtype=np.float64),
    }


def _workers(state: JobState | Part) -> Any:
    import numpy as np
    import pandas as pd

    codes = np.array(state.worker, dtype=np.uint16).astype(np.int32)
    codes[codes == NOWHERE] = -1
    return pd.Categorical.from_codes(codes, categories=pd.Index(state.workers))


def _queued(state: JobState | Part) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Give the seconds from the asking for each item's round to its beginning."""
    import numpy as np

    rounds = np.frombuffer(bytes(state.round), dtype=np.uint8)
    submitted = np.array(state.submitted, dtype=np.float64)[rounds - 1]
    waited: np.ndarray[Any, np.dtype[np.float64]] = np.array(state.started) - submitted
    waited[waited < 0] = 0  # clocks differ by a little
    return waited


def timings(state: JobState, now: float) -> dict[str, float]:
    """Give what ``Job.timings`` documents."""
    import numpy as np

    nan = float("nan")
    run = np.array(state.run_s, dtype=np.float64)
    run, queued = (x[~np.isnan(x)] for x in (run, _queued(state)))
    elapsed = (now if state.ended_at is None else state.ended_at) - state.submitted[0]
    return {
        "elapsed_s": elapsed,
        "run_s": float(run.sum()),
        "run_s_median": float(np.median(run)) if len(run) else nan,
        "run_s_max": float(run.max()) if len(run) else nan,
        "queue_s_max": float(queued.max()) if len(queued) else nan,
        "items_per_s": state.n_done / elapsed if elapsed > 0 else nan,
    }


def progress_frame(state: JobState) -> pd.DataFrame:
    """Give what ``Job.progress`` documents."""
    import pandas as pd

    reports = [state.progress[i] for i in sorted(state.progress)]
    rows = [
        {
            "done": float(r.done),
            "total": float("nan") if r.total is None else float(r.total),
            "fraction": r.done / r.total if r.total else float("nan"),
            **{k: v for k, v in r.info.items() if k not in ("done", "total", "fraction")},
        }
        for r in reports
    ]
    index = pd.Index([r.item for r in reports], name="item", dtype="int64")
    return pd.DataFrame(rows, index=index, columns=None if rows else ["done", "total", "fraction"])
