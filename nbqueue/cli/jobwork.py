"""``nbqueue jobs cancel``, ``retry``, ``delete``, ``wait`` and ``result``: what is done with jobs.

Several jobs are looked up before anything is done to the first of them, so that a name that was
mistyped changes nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbqueue.cli import parsing
from nbqueue.core import states
from nbqueue.core.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from nbqueue.client.client import Client
    from nbqueue.client.job import Job

_TICK_S = 1.0
"""How often a terminal is told how far a job is."""


def add(words: Any) -> None:
    """Add the commands."""
    sub = parsing.add(words, "cancel", cancel, "cancel what has not ended")
    sub.add_argument("jobs", nargs="+", metavar="JOB", help=parsing.JOB)
    sub.add_argument(
        "--terminate", action="store_true", help="also end what is running, at once (SIGKILL)"
    )
    sub = parsing.add(words, "retry", retry, "run the failed items again, and only those")
    sub.add_argument("job", metavar="JOB", help=parsing.JOB)
    sub = parsing.add(
        words, "delete", delete, "delete jobs that are over: logs, arguments and results"
    )
    sub.add_argument("jobs", nargs="+", metavar="JOB", help=parsing.JOB)
    sub.add_argument("-y", "--yes", action="store_true", help="do not ask")
    sub = parsing.add(words, "wait", wait, "wait for the end; exit status 0 if all succeeded")
    sub.add_argument("job", metavar="JOB", help=parsing.JOB)
    sub.add_argument(
        "--timeout", type=parsing.seconds, metavar="S", help="seconds; the job goes on after them"
    )
    sub = parsing.add(words, "result", result, "print or write what came of a job, a row an item")
    sub.add_argument("job", metavar="JOB", help=parsing.JOB)
    sub.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write it as the ending says: .csv, .jsonl or .parquet (which needs pyarrow)",
    )


@contextmanager
def client_of(options: argparse.Namespace) -> Iterator[Client]:
    """Connect for the length of a block, as somebody who only looks."""
    from nbqueue.client.connecting import connect

    with connect(options.broker, backend=options.backend) as client:
        try:
            yield client
        finally:
            for job in client.follower.unfinished():  # `close` need not say that it goes on
                client.follower.unfollow(job)


def index(job: Job, i: int) -> int:
    """Give the number of an item; negative ones count from the end.

    Raises:
        UsageError: there is no such item.
    """
    try:
        return job._index(i)
    except IndexError as exc:
        raise UsageError(str(exc)) from None


def cancel(options: argparse.Namespace) -> int:
    """Cancel jobs."""
    with client_of(options) as client:
        for job in [client.job(name) for name in options.jobs]:
            count = job.cancel(terminate=options.terminate)
            over = "was over; what still ran of it is ended" if options.terminate else "was over"
            print(f"{job.name}: {_items(count)} cancelled" if count else f"{job.name}: {over}")
    return 0


def retry(options: argparse.Namespace) -> int:
    """Retry what failed of a job."""
    with client_of(options) as client:
        job = client.job(options.job)
        before = job.counts()
        job.retry()
        failed = before[states.FAILURE]
        if failed:
            print(f"{job.name}: {_items(failed)} run again (nbqueue jobs wait {job.name})")
        else:
            print(f"{job.name}: no item has failed")
    return 0


def delete(options: argparse.Namespace) -> int:
    """Delete jobs that are over."""
    with client_of(options) as client:
        # By their counters, because a job whose log cannot be read (another key) is to go, too.
        ids = {client.joblog.find(name): name for name in options.jobs}
        for job_id, name in ids.items():
            left, _ = client.joblog.left_and_bad(job_id)
            if left:
                raise UsageError(
                    f"job {name!r} has {_items(left)} that {'has' if left == 1 else 'have'} not "
                    f"ended, so nothing was deleted: `nbqueue jobs cancel {name}` first, or wait "
                    "for it"
                )
        if not options.yes and not _agreed(list(ids.values())):
            print("nothing was deleted")
            return 1
        for job_id, name in ids.items():
            client.joblog.forget(job_id)
            print(f"{name}: deleted")
        client.sequels.release()
    return 0


def _agreed(names: list[str]) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked: `nbqueue jobs delete --yes` deletes")
    what = f"{len(names)} jobs ({', '.join(names)})" if len(names) > 1 else f"job {names[0]}"
    answer = input(f"delete {what}, with results? This cannot be undone. [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def wait(options: argparse.Namespace) -> int:
    """Wait for a job; 0 when every item succeeded."""
    from nbqueue import terminal

    with client_of(options) as client:
        job = client.job(options.job)
        ended = _waited(job, options.timeout)
        print(terminal.job_line(job))
    if not ended:
        print(f"nbqueue: not ended within {options.timeout:g} s; it goes on", file=sys.stderr)
    return 0 if job.state == states.SUCCESS else 1


def _waited(job: Job, timeout_s: float | None) -> bool:
    """Wait; on a terminal, with a line that says how far the job is."""
    from nbqueue import terminal

    if not sys.stderr.isatty():
        return job.wait(timeout_s)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left = _TICK_S if deadline is None else deadline - time.monotonic()
        ended = job.wait(min(max(left, 0.0), _TICK_S))
        if ended or left <= 0:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            return ended
        print(f"\r\x1b[K{terminal.job_line(job)}", end="", file=sys.stderr, flush=True)


def result(options: argparse.Namespace) -> int:
    """Give what came of a job: on the terminal, or in a file."""
    with client_of(options) as client:
        job = client.job(options.job)
        found = job.to_frame()
        unfinished = "" if job.finished else f" ({job.n - _done(job):,} have not ended)"
    if options.output is None:
        print(found.to_string())
        return 0
    _write(found, options.output)
    print(f"{job.name}: {_items(len(found))}{unfinished} in {options.output}")
    return 0


def _write(frame: pd.DataFrame, path: Path) -> None:
    kind = path.suffix.lower()
    try:
        if kind == ".csv":
            frame.to_csv(path)
        elif kind in (".jsonl", ".ndjson"):
            frame.reset_index().to_json(
                path, orient="records", lines=True, date_format="iso", default_handler=str
            )
        elif kind == ".parquet":
            frame.to_parquet(path)
        else:
            raise UsageError(f"{path}: the ending says how; one of .csv, .jsonl and .parquet")
    except ImportError as exc:
        raise UsageError(f"{path}: {exc}".splitlines()[0]) from None
    except OSError as exc:
        raise UsageError(f"cannot write {path}: {exc.strerror or exc}") from None
    except (ValueError, TypeError) as exc:  # pyarrow's, of a column of many kinds
        if isinstance(exc, UsageError):
            raise
        reason = str(exc).splitlines()[0]
        raise UsageError(f"{path}: {reason}; .jsonl takes values of any kind") from None


def _done(job: Job) -> int:
    return sum(job.counts()[name] for name in states.NAMES[states.FIRST_DONE_CODE :])


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count:,} items"
