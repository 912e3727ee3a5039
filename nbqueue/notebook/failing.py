"""How a cell fails that waited for its job: as if it had run here.

What IPython shows is what the worker's IPython said, with the cell's own lines; that it was another
process, and how the exception came here, helps nobody who asked for ``--wait``.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbqueue.client import pulling
from nbqueue.core.errors import RemoteError
from nbqueue.core.outputs import settle

if TYPE_CHECKING:
    from nbqueue.client.job import Job


def wait(job: Job) -> None:
    """Wait for a job to succeed.

    Raises:
        Exception: what its first failed item raised; IPython shows it as the item did.
    """
    until_over(job)
    live = job._live
    item = live.first_bad()
    exc = live.first_exception()
    if item is None or exc is None:
        return
    with live.lock:
        said = settle(record.output for record in live.state.outputs.get(item, ()))
    lines = shown(exc, said)
    if job.n > 1:
        lines.insert(0, f"in item {item:,} of job {job.name!r}:")
    if (text := pulling.advice(job)) is not None:
        lines += ["", text]
    exc._render_traceback_ = lambda: lines  # type: ignore[attr-defined]  # which IPython asks for
    raise exc


def until_over(job: Job) -> None:
    """Wait for a job's end; an interrupt (■) is shown without the frames of the waiting."""
    try:
        job.wait()
    except KeyboardInterrupt as exc:
        lines = ["KeyboardInterrupt"]
        exc._render_traceback_ = lambda: lines  # type: ignore[attr-defined]  # IPython asks
        raise


def shown(exc: BaseException, said: list[dict[str, Any]]) -> list[str]:
    """Give the lines of an error: as its item showed it, else as far as it is known here."""
    errors: list[Mapping[str, Any]] = [o for o in said if o["output_type"] == "error"]
    # (A RemoteError stands in for an exception of another name.)
    if errors and (isinstance(exc, RemoteError) or errors[-1]["ename"] == type(exc).__name__):
        return list(errors[-1]["traceback"])
    cause = [] if exc.__cause__ is None else str(exc.__cause__).strip("\n").splitlines()
    return cause or "".join(traceback.format_exception_only(exc)).splitlines()
