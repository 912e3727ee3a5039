"""``nbqueue demo``: the main job from a terminal, as a user would write it in a script.

A support vector machine for scikit-learn's digits (in the package, no download), each combination
of two parameters scored by cross-validation: sixty items, some quick and some slow, on the
embedded cluster. Also an example to read: everything below `main` uses the public API only.
"""

from __future__ import annotations

import importlib.util
import itertools
import shutil
import sys
import time
from typing import TYPE_CHECKING

from nbqueue.core import states
from nbqueue.core.errors import UsageError
from nbqueue.core.spans import span
from nbqueue.terminal import job_page

if TYPE_CHECKING:
    from nbqueue.client.job import Job

NAME = "digits-demo"

C = (0.1, 0.3, 1, 3, 10, 30)
GAMMA = (0.00001, 0.00003, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.03)

_REDRAW_S = 0.1
"""Ten times a second looks alive; more often only costs the workers' processor time."""

_LINE_ITEMS = 10
"""Without a terminal to redraw on, a line for each of so many items."""

_PATIENCE_S = 20.0
"""Workers start within seconds; after this long without an item begun, say where to look."""

_BAR = 20

_ENDED = (states.SUCCESS, states.FAILURE, states.REVOKED)

_GOES_ON = f"""
stopped watching; the job goes on.
  nbqueue jobs {NAME}                how far it is
  nq.job("{NAME}")                   the same job in Python or a notebook; .cancel() ends it"""

_NOBODY_BEGINS = """
nothing has begun yet: `nbqueue status` tells whether workers run (Ctrl-C only stops watching)"""

_NEXT = f"""
next, in a notebook or in Python:
  import nbqueue as nq
  job = nq.job("{NAME}")             this job again, from any process
  job.to_frame()                          all of it, one row an item
and here:
  nbqueue jobs                            what ran and what runs
  nbqueue down                            end the cluster (after 10 quiet minutes it ends itself)"""


def score(C: float, gamma: float) -> dict[str, float]:
    """Give mean and standard deviation of the accuracy over five folds."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.svm import SVC

    X, y = load_digits(return_X_y=True)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    accuracy = cross_val_score(SVC(C=C, gamma=gamma), X, y, cv=folds)
    return {"accuracy": float(accuracy.mean()), "std": float(accuracy.std())}


def main() -> int:
    """Search, show progress and print the best rows; 1 when an item failed, 130 after Ctrl-C."""
    if importlib.util.find_spec("sklearn") is None:
        raise UsageError("the demo needs scikit-learn: pip install 'nbqueue[demo]'")
    import nbqueue as nq

    print(f"{len(C)} × {len(GAMMA)} parameters of an SVM on scikit-learn's digits, 5 folds each")
    with nq.connect() as client:
        print(f"connected to {client.broker_url}", flush=True)
        job = nq.task(score).starmap(itertools.product(C, GAMMA), name=NAME)
        try:
            watch(job)
        except KeyboardInterrupt:
            print(_GOES_ON, flush=True)
            for followed in client.follower.unfinished():  # what `close` says is said already
                client.follower.unfollow(followed)
            return 130
        return report(job)


def watch(job: Job) -> None:
    """Show how far the job is until it has ended: one line redrawn, or lines on what is no tty."""
    live = sys.stdout.isatty()
    best, began, told = Best(job), time.monotonic(), 0
    while True:
        finished = job.finished  # asked first, so that the last line shows the last item
        done = best.look()
        waited_s = time.monotonic() - began
        line = progress_line(job.counts(), best.text, waited_s)
        if live:
            columns = shutil.get_terminal_size().columns
            print(f"\r{line[: columns - 1]}\x1b[K", end="\n" if finished else "", flush=True)
        elif finished or done - told >= _LINE_ITEMS:
            print(line, flush=True)
            told = done
        if finished:
            return
        if waited_s > _PATIENCE_S and not any(list(job.counts().values())[1:]):
            print(_NOBODY_BEGINS, file=sys.stderr)
            began = float("inf")
        time.sleep(_REDRAW_S)


class Best:
    """The best result so far, from the items' futures."""

    def __init__(self, job: Job) -> None:
        self._waiting = list(job)
        self._n = len(self._waiting)
        self._accuracy = 0.0
        self.text = ""

    def look(self) -> int:
        """Take in what has ended since the last look; give how many items have."""
        ended = [future for future in self._waiting if future.done()]
        self._waiting = [future for future in self._waiting if not future.done()]
        for future in ended:
            if future.cancelled() or future.exception() is not None:
                continue
            accuracy = future.result()["accuracy"]
            if accuracy > self._accuracy:
                c, gamma = list(itertools.product(C, GAMMA))[future.index]
                self._accuracy, self.text = accuracy, f"{accuracy:.4f} (C={c:g}, gamma={gamma:g})"
        return self._n - len(self._waiting)


def progress_line(counts: dict[str, int], best: str, waited_s: float) -> str:
    """Give one line: a bar, counts, the best so far.

    >>> progress_line({"PENDING": 1, "STARTED": 1, "SUCCESS": 2, "FAILURE": 0, "REVOKED": 0}, "", 3)
    '██████████░░░░░░░░░░  2/4  3 s  1 running'
    """
    n, done = sum(counts.values()), sum(counts.get(state, 0) for state in _ENDED)
    filled = _BAR * done // n
    parts = ["█" * filled + "░" * (_BAR - filled), f"{done}/{n}", span(waited_s)]
    if counts[states.STARTED]:
        parts.append(f"{counts[states.STARTED]} running")
    if counts[states.FAILURE]:
        parts.append(f"{counts[states.FAILURE]} failed")
    if best:
        parts.append(f"best {best}")
    return "  ".join(parts)  # within 80 columns, and what is cut beyond matters least


def report(job: Job) -> int:
    """Print the best rows and what to try next."""
    frame, times = job.to_frame(), job.timings()
    print()
    if job.state == states.SUCCESS:
        columns = ["C", "gamma", "accuracy", "std", "run_s", "worker"]
        best = frame.sort_values("accuracy", ascending=False, kind="stable")
        shown = best[columns].head(5).rename_axis(None)
        plain = {"C": "{:g}".format, "gamma": "{:g}".format}
        print(shown.to_string(formatters=plain, float_format="{:.4f}".format))
        print(
            f"\n{job.n} items in {span(times['elapsed_s'])}: {span(times['run_s'])} of work by "
            f"{frame['worker'].nunique()} worker processes"
        )
        print(_NEXT)
        return 0
    print(job_page(job))
    return 1
