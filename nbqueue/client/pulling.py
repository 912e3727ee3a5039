"""Bringing a cell's names back: from a job's results to variables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from nbqueue.client.saying import advise, say
from nbqueue.core import states
from nbqueue.core.errors import UsageError
from nbqueue.store.code.cell import NotBrought, Unnamed

if TYPE_CHECKING:
    from nbqueue.client.job import Errors, Job
    from nbqueue.client.live import Live


def pull(
    job: Job, names: tuple[str, ...], into: MutableMapping[str, Any] | None, errors: Errors
) -> dict[str, Any]:
    """Give what ``Job.pull`` documents, and assign it."""
    __tracebackhide__ = True
    if errors not in ("raise", "drop"):
        raise UsageError(f"errors must be 'raise' or 'drop', not {errors!r}")
    check_is_cell(job, "pull() brings back")
    results = _results(job, errors)
    if not results and job.state != states.SUCCESS:
        return {}
    single = job._live.state.spec.block == 0
    found = dict(results) if single else _columns(results)
    if names:
        _check(job, names, found)
        found = {name: found[name] for name in names}
    else:
        found = {name: v for name, v in found.items() if not isinstance(name, Unnamed)}
    arrived = found
    if single:
        arrived = {k: v for k, v in found.items() if not isinstance(v, NotBrought)}
    _say_what_is_missing(job, found)
    namespace = interactive_namespace() if into is None else into
    if namespace is not None:
        namespace.update(arrived)
    return arrived


def advice(job: Job) -> str | None:
    """Say how to get at what arrived of a job that failed; ``None`` when nothing did."""
    good = job.counts()[states.SUCCESS]
    if good in (0, job.n):
        return None
    return (
        f"{job.n - good:,} of {job.n:,} items of job {job.name!r} did not "
        'succeed. What arrived: job.pull(errors="drop") or job.result(errors="drop"); all items '
        "with their errors: job.to_frame(); to run again what failed: job.retry()"
    )


def _results(job: Job, errors: Errors) -> Any:
    __tracebackhide__ = True
    try:
        results = job.result(errors=errors)
    except Exception as exc:
        if (text := advice(job)) is not None:
            advise(exc, text)
        raise
    if job.n and not results and job.state != states.SUCCESS:
        say(f"nothing of job {job.name!r} arrived: no item has succeeded")
    return results


def check_is_cell(job: Job, verb: str) -> None:
    """Raise UsageError unless a job runs a cell."""
    kind = job._live.kind()
    if kind != "cell":
        what = f"the task {job.task}" if kind == "function" else "an expression"
        raise UsageError(
            f"{verb} the variables of a cell (%%enqueue), and job {job.name!r} runs {what}: "
            "job.result() gives what that returned"
        )


def check_is_task(live: Live, item: int, args: tuple[Any, ...]) -> None:
    """Raise UsageError if a job runs a cell, for its item cannot be called here."""
    if live.kind() == "function":
        return
    given = "".join(f"{k} = {v!r}\n" for k, v in zip(live.state.spec.params, args, strict=False))
    before = f"after\n\n{given}" if given else "as it is"
    raise UsageError(
        f"item {item} of job {live.name!r} is a cell: to debug it, run the cell here without its "
        f"first line (%%enqueue), {before}"
    )


def interactive_namespace() -> MutableMapping[str, Any] | None:
    """Give the notebook's variables; ``None`` in plain Python."""
    # Not imported: whoever runs in IPython has it.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return None if shell is None else shell.user_ns


def _columns(results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    rows = list(results)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _check(job: Job, names: tuple[str, ...], found: Mapping[str, Any]) -> None:
    if lacking := [name for name in names if name not in found]:
        there = ", ".join(found) or "nothing"
        raise UsageError(
            f"job {job.name!r} has brought back no {', '.join(map(repr, lacking))}, only: {there} "
            "(the cell assigned no more, or --out named no more; figures of a sweep come back only "
            "if --out names them)"
        )


def _say_what_is_missing(job: Job, found: Mapping[str, Any]) -> None:
    lost = {}
    for name, value in found.items():
        if isinstance(value, NotBrought):
            lost[name] = f"{name} ({value.reason})"
        elif isinstance(value, list):
            gaps = [v for v in value if isinstance(v, NotBrought)]
            if gaps:
                lost[name] = f"{name} of {len(gaps)} item(s) ({gaps[0].reason})"
    if lost:
        say(f"job {job.name!r} could not bring back {'; '.join(lost.values())}")
