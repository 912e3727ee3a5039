"""What workers answered, as DataFrames. Pure: answers by worker's name in, a frame out.

Answers come through the broker unsigned: what is in them is shown as text, or counted, and an
answer of another shape than Celery's gives no rows instead of an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbqueue.client.remote.survey import read_workers
from nbqueue.core.description import described

if TYPE_CHECKING:
    import pandas as pd

_TEXT = 1000
"""A text of an answer is not shown longer than that; an answer may be anybody's."""

Said = Mapping[str, Any]
Row = dict[str, Any]

_WAITING = {
    "task": "text",
    "job": "text",
    "start": "whole?",
    "stop": "whole?",
    "queue": "text",
    "priority": "whole?",
    "args": "text",
    "id": "text",
    "job_id": "text",
}
_QUEUES = {
    "queue": "text",
    "exchange": "text",
    "exchange_type": "text",
    "routing_key": "text",
    "durable": "bool",
}
_STATS = {
    "pid": "whole?",
    "pool": "text",
    "processes": "whole?",
    "prefetch": "whole?",
    "messages": "whole?",
    "up_s": "float",
    "memory_mb": "float",
    "broker": "text",
}
_ACTIVE = {
    "task": "text",
    "job": "text",
    "item": "whole?",
    "start": "whole?",
    "stop": "whole?",
    "seconds": "float",
    "args": "text",
    "id": "text",
    "job_id": "text",
}


def pings(said: Said, silent: Iterable[str]) -> pd.DataFrame:
    """Give ``ok`` (bool) for each worker, ``False`` for those that were waited for in vain."""
    rows = [(name, {"ok": isinstance(a, dict) and "ok" in a}) for name, a in said.items()]
    return _frame([*rows, *((name, {"ok": False}) for name in silent)], {"ok": "bool"})


def orders(said: Said) -> pd.DataFrame:
    """Give ``ok`` (bool) and ``answer`` (text) for each worker."""
    rows = []
    for name, answer in said.items():
        done = isinstance(answer, dict) and "error" not in answer
        text = next(iter(answer.values()), "") if isinstance(answer, dict) else answer
        rows.append((name, {"ok": done, "answer": text}))
    return _frame(rows, {"ok": "bool", "answer": "text"})


def refusals(said: Said) -> list[str]:
    """List what workers gave as an error, each text once."""
    found = [a["error"] for a in said.values() if isinstance(a, dict) and "error" in a]
    return sorted({str(text)[:_TEXT] for text in found})


def active(said: Said, of_celery: Said) -> pd.DataFrame:
    """Give a row for each message that runs: what `Control.active` documents.

    ``said``: answers to nbqueue's own question; ``of_celery``: to Celery's, of other workers.
    """
    rows = []
    for worker in read_workers(said):
        for run in worker.running:
            row = {
                "task": run.task,
                "job": run.job if run.job_id else "",
                "item": run.item if run.job_id else None,
                "start": run.start if run.job_id else None,
                "stop": run.stop if run.job_id else None,
                "seconds": run.for_s,
                "args": run.args,
                "id": run.message_id,
                "job_id": run.job_id,
            }
            rows.append((worker.name, row))
    rows += _each(of_celery, lambda request: _request(request))
    return _frame(rows, _ACTIVE)


def reserved(said: Said, of_celery: Said) -> pd.DataFrame:
    """Give a row for each message that waits within a worker."""
    mine = _each(said, _waiting, "reserved")
    return _frame([*mine, *_each(of_celery, _waiting)], _WAITING)


def scheduled(said: Said, of_celery: Said) -> pd.DataFrame:
    """Give a row for each message that waits within a worker for its time."""
    mine = _each(said, _scheduled, "scheduled")
    return _frame([*mine, *_each(of_celery, _scheduled)], {"eta": "utc", **_WAITING})


def stats(said: Said) -> pd.DataFrame:
    """Give a row a worker: what `Control.stats` documents."""
    return _frame([(name, _stats(a)) for name, a in said.items() if isinstance(a, dict)], _STATS)


def registered(said: Said) -> pd.DataFrame:
    """Give a row for each task that a worker has by name."""
    return _frame(_each(said, _task), {"task": "text", "info": "text"})


def queues(said: Said) -> pd.DataFrame:
    """Give a row for each queue that a worker takes from."""
    return _frame(_each(said, _queue), _QUEUES)


def settings(said: Said) -> pd.DataFrame:
    """Give a row a setting, and a column a worker."""
    import pandas as pd

    found = {name: a for name, a in said.items() if isinstance(a, dict) and "error" not in a}
    names = sorted({str(key) for a in found.values() for key in a})
    columns = {w: [a.get(name) for name in names] for w, a in found.items()}
    return pd.DataFrame(columns, index=pd.Index(names, name="setting", dtype=object), dtype=object)


def reports(said: Said) -> pd.DataFrame:
    """Give a row a worker with its ``report`` (text)."""
    rows = [(name, {"report": a["ok"]}) for name, a in said.items() if _has(a, "ok")]
    return _frame(rows, {"report": "page"})


def revoked(said: Said) -> pd.DataFrame:
    """Give a row for each ``id`` (text) that a worker remembers as revoked."""
    return _frame(_each(said, lambda found: {"id": found}), {"id": "text"})


def queried(said: Said) -> pd.DataFrame:
    """Give a row for each message that was asked for: ``state`` and what it is."""
    rows = []
    for worker, found in said.items():
        for value in found.values() if isinstance(found, dict) else ():
            if isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[1], dict):
                rows.append((worker, {"state": value[0], **_request(value[1])}))
    return _frame(rows, {"state": "text", **_ACTIVE})


# -- rows ------------------------------------------------------------------------------------------


def _each(
    said: Said, read: Callable[[Any], Row | None], part: str | None = None
) -> Iterator[tuple[str, Row]]:
    for name, answer in said.items():
        found = answer.get(part) if part is not None and isinstance(answer, dict) else answer
        for one in found if isinstance(found, list) else ():
            row = read(one)
            if row is not None:
                yield name, row


def _request(request: Any) -> Row:
    """Read what Celery says of a message."""
    if not isinstance(request, dict):
        return {}
    since = request.get("time_start")
    row = {"task": request.get("name"), "id": request.get("id"), **_what(request.get("args"))}
    return {**row, "started": since} if since else row


def _what(args: Any) -> Row:
    """Read what our messages are called, or show the arguments of another."""
    found = described(args)
    if found is None:
        return {"args": args if isinstance(args, str) else repr(args)}
    return found._asdict()


def _waiting(request: Any) -> Row | None:
    if not isinstance(request, dict):
        return None
    info = request.get("delivery_info")
    info = info if isinstance(info, dict) else {}
    queue = info.get("routing_key")
    return {**_request(request), "queue": queue, "priority": info.get("priority")}


def _scheduled(entry: Any) -> Row | None:
    row = _waiting(entry.get("request")) if isinstance(entry, dict) else None
    return None if row is None else {**row, "eta": _when(entry.get("eta"))}


def _when(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else None


_TASK = re.compile(r"(?P<task>\S+)(?: \[(?P<info>.*)\])?\Z")


def _task(text: Any) -> Row | None:
    match = _TASK.match(text) if isinstance(text, str) else None
    return None if match is None else {"task": match["task"], "info": match["info"] or ""}


def _queue(queue: Any) -> Row | None:
    if not isinstance(queue, dict):
        return None
    exchange = queue.get("exchange")
    exchange = exchange if isinstance(exchange, dict) else {}
    return {
        "queue": queue.get("name"),
        "exchange": exchange.get("name"),
        "exchange_type": exchange.get("type"),
        "routing_key": queue.get("routing_key"),
        "durable": queue.get("durable"),
    }


def _stats(answer: Mapping[str, Any]) -> Row:
    pool, total, usage, broker = (
        found if isinstance(found := answer.get(part), dict) else {}
        for part in ("pool", "total", "rusage", "broker")
    )
    kib = usage.get("maxrss")
    return {
        "pid": answer.get("pid"),
        "pool": str(pool.get("implementation", "")).partition(":")[0].rpartition(".")[2],
        "processes": pool.get("max-concurrency"),
        "prefetch": answer.get("prefetch_count"),
        "messages": sum(n for n in total.values() if isinstance(n, int)),
        "up_s": answer.get("uptime"),
        "memory_mb": kib / 1024 if isinstance(kib, (int, float)) else None,
        "broker": broker.get("transport"),
    }


def _has(answer: Any, key: str) -> bool:
    return isinstance(answer, dict) and key in answer


# -- the frame -------------------------------------------------------------------------------------


def _frame(rows: Iterable[tuple[str, Row]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Give a frame indexed by worker, whose columns have their types even without a row."""
    import pandas as pd

    rows = sorted(rows, key=lambda row: row[0])
    return pd.DataFrame(
        {name: _column([row.get(name) for _, row in rows], kind) for name, kind in columns.items()},
        index=pd.Index([worker for worker, _ in rows], name="worker", dtype=object),
    )


def _column(values: list[Any], kind: str) -> Any:
    import pandas as pd

    if kind in ("text", "page"):
        limit = _TEXT if kind == "text" else None
        texts = ["" if value is None else str(value)[:limit] for value in values]
        return pd.Series(texts, dtype=pd.Series([""]).dtype).array
    if kind == "bool":
        return pd.Series([value is True for value in values], dtype=bool).array
    if kind == "utc":
        return pd.Series(pd.to_datetime(pd.Series(values, dtype=object), utc=True)).array
    numbers = [value if type(value) in (int, float) else None for value in values]
    if kind == "float":
        return pd.Series(numbers, dtype="float64").array
    return pd.array([None if n is None else int(n) for n in numbers], dtype="Int64")
