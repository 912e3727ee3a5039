"""What commands print: pages and tables of text, made from what was asked for. Does no I/O.

`cli` and `demo` print them. Spans of time are rounded to what a person would say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import CancelledError
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from nbqueue.client.why import printed
from nbqueue.core import states
from nbqueue.core.spans import span

if TYPE_CHECKING:
    import pandas as pd

    from nbqueue.client.job import Job
    from nbqueue.cluster.status import Status

NO_JOBS = "no jobs yet"

_KINDS_OF_ERROR = 5
"""Different errors that a job's page lists. More would push the counts off the screen."""


_MOST_ERRORS = 1000
"""Of a job with a million failures, as many are enough for any program."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str]) -> str:
    """Give lines of aligned columns; those named in ``right`` are numbers.

    >>> print(table(["name", "n"], [["grid", "60"], ["a", "7"]], frozenset({"n"})))
    name   n
    grid  60
    a      7
    """
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def pairs(rows: Sequence[tuple[str, str]]) -> str:
    """Give a line a pair, values below one another."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows)


# -- the cluster -----------------------------------------------------------------------------------


def status_page(found: Status) -> str:
    """Give the embedded cluster as a person wants it."""
    rows = [("cluster", _cluster(found)), ("folder", str(found.folder))]
    if found.running:
        kind = "thread" if found.threads else "process"
        rows += [
            ("workers", f"{_plural(found.workers, kind)}{_pid(found.worker_pid)}"),
            ("redis", f"{found.redis_server}{_pid(found.redis_pid)}"),
            ("socket", str(found.socket)),
            ("clients", f"{found.clients} connected, {found.active_jobs} unfinished job(s)"),
            *([("beat", _beat(found))] if found.schedules or found.beat_pid else []),
            ("ends", _ends(found)),
        ]
    for part, restarts, message in (
        ("worker", found.worker_restarts, found.worker_message),
        ("redis", found.redis_restarts, found.redis_message),
        ("beat", found.beat_restarts, found.beat_message),
    ):
        if message:
            times = f"restarted {restarts} time(s); " if restarts else ""
            rows.append(("trouble", f"{part}: {times}{message}"))
    if found.rejected:
        text = f"{found.rejected:,} time(s), something was not signed with this cluster's key"
        rows.append(("refused", f"{text} (`nbqueue doctor` says what)"))
    return pairs(rows)


def _cluster(found: Status) -> str:
    if found.running:
        return f"{found.phase} for {span(found.uptime_s)}{_pid(found.pid)}"
    if found.phase == "failed":
        return "failed; its logs are in its folder. `nbqueue up` tries again"
    return "not running; the first task or `nbqueue up` starts it"


def _beat(found: Status) -> str:
    waiting = f"{_plural(found.schedules, 'schedule')} enabled"
    return f"{waiting}{_pid(found.beat_pid)}" if found.beat_pid else f"{waiting}; starting"


def _ends(found: Status) -> str:
    keep_alive_s = found.keep_alive_s
    if keep_alive_s is None or (keep_alive_s and found.schedules):
        return "with `nbqueue down`" + (
            "" if keep_alive_s is None else ", or when no schedule is enabled any more"
        )
    return (
        f"{span(keep_alive_s)} after the last client and the last job"
        if keep_alive_s
        else ("with the last client and the last job")
    )


def _pid(pid: int | None) -> str:
    return f", pid {pid}" if pid else ""


def _plural(count: int, word: str) -> str:
    plural = word + ("es" if word.endswith("s") else "s")
    return f"{count} {word if count == 1 else plural}"


# -- jobs ------------------------------------------------------------------------------------------


def jobs_table(frame: pd.DataFrame, *, limit: int) -> str:
    """Give the latest jobs of ``nq.jobs()``, one a line; times are local."""
    if frame.empty:
        return NO_JOBS
    head = (
        "name",
        "task",
        "state",
        "items",
        "done",
        "failed",
        "revoked",
        "submitted",
        "took",
        "id",
    )
    rows = []
    for job in frame.head(limit).reset_index().to_dict("records"):
        took_s = (job["finished"] - job["submitted"]).total_seconds()
        rows.append(
            (
                *(str(job[name]) for name in ("name", "task", "state")),
                *(f"{job[name]:,}" for name in ("n", "done", "failure", "revoked")),
                _local(job["submitted"].timestamp()),
                span(max(took_s, 0.0)) if took_s == took_s else "",
                str(job["id"]),
            )
        )
    text = table(head, rows, frozenset({"items", "done", "failed", "revoked"}))
    more = len(frame) - limit
    return f"{text}\n… and {more} more (--limit)" if more > 0 else text


def _local(at: float) -> str:
    return f"{datetime.fromtimestamp(at, timezone.utc).astimezone():%Y-%m-%d %H:%M:%S}"


def job_page(job: Job) -> str:
    """Give one job: counts, times, and the errors that came first."""
    counts, times = job.counts(), job.timings()
    seen = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    rows = [
        ("job", f"{job.name}  (id {job.id})"),
        ("task", job.task),
        ("state", job.state),
        ("items", f"{job.n:,}" + (f": {seen}" if seen else "")),
        ("elapsed", f"{span(times['elapsed_s'])}, {times['items_per_s']:,.3g} items/s"),
    ]
    if times["run_s_median"] == times["run_s_median"]:
        rows += [
            ("work", f"{span(times['run_s'])} in all items together"),
            (
                "an item",
                f"{span(times['run_s_median'])} (median), {span(times['run_s_max'])} at most",
            ),
            ("queued", f"{span(max(times['queue_s_max'], 0.0))} at most"),
        ]
    page = pairs(rows)
    return f"{page}\n\n{_errors(job)}" if counts[states.FAILURE] else page


def job_line(job: Job) -> str:
    """Give one job in a line: its state, and how many items are in which."""
    counts = ", ".join(f"{count:,} {state}" for state, count in job.counts().items() if count)
    return f"{job.name}: {job.state}" + (f" ({counts})" if counts else "")


def job_facts(job: Job) -> dict[str, Any]:
    """Give one job as JSON has it; times in seconds, ``null`` where there is none."""
    times = {name: value if value == value else None for name, value in job.timings().items()}
    failed = {i: e for i, e in job.exceptions().items() if not isinstance(e, CancelledError)}
    return {
        "id": job.id,
        "name": job.name,
        "task": job.task,
        "state": job.state,
        "n": job.n,
        "counts": job.counts(),
        **times,
        "errors": {i: f"{type(e).__name__}: {e}" for i, e in list(failed.items())[:_MOST_ERRORS]},
    }


def item_facts(job: Job, i: int) -> dict[str, Any]:
    """Give one item as JSON has it."""
    rows = dict(_item_rows(job, i))
    return {"job": job.name, "id": job.id, "item": i, **rows, "output": _printed(job, i)}


def item_page(job: Job, i: int, *, lines: int) -> str:
    """Give one item: its state, its error, and the end of what it printed."""
    page = pairs([("job", f"{job.name}  (id {job.id})"), ("item", f"{i:,}"), *_item_rows(job, i)])
    said = _printed(job, i).splitlines()
    if not said:
        return f"{page}\n\n(it has printed nothing)"
    more = len(said) - lines
    above = f"… {more:,} lines more (--lines)\n" if more > 0 else ""
    return f"{page}\n\n{above}" + "\n".join(said[-lines:])


def _item_rows(job: Job, i: int) -> list[tuple[str, str]]:
    found = job.to_frame(expand=False).iloc[i]
    rows = [("state", str(found["state"])), ("worker", found["worker"]), ("error", found["error"])]
    rows += [("ran", span(found["run_s"]) if found["run_s"] == found["run_s"] else None)]
    rows += [("attempts", str(found["attempts"]))]
    return [(name, value) for name, value in rows if isinstance(value, str)]


def _printed(job: Job, i: int) -> str:
    return printed.text(job.outputs.get(i, ()))


def _errors(job: Job) -> str:
    """Give each different error once, with its first item, and the traceback of the very first."""
    failed = {i: e for i, e in job.exceptions().items() if not isinstance(e, CancelledError)}
    texts = {i: f"{type(exc).__name__}: {exc}".splitlines()[0] for i, exc in failed.items()}
    first = {text: i for i, text in reversed(texts.items())}
    times = Counter(texts.values())
    lines = [
        f"item {first[text]}: {text}" + (f"  (and {n - 1:,} more like it)" if n > 1 else "")
        for text, n in times.most_common(_KINDS_OF_ERROR)
    ]
    if len(times) > _KINDS_OF_ERROR:
        lines.append(f"… and {len(times) - _KINDS_OF_ERROR:,} other errors")
    cause = next(iter(failed.values())).__cause__
    return "\n".join(lines) + (f"\n\n{str(cause).strip()}" if cause is not None else "")
