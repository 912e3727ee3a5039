"""A client that dies: submits a job by name, and is killed at a moment that is given.

    python -m tests.faults.submitter BROKER STORE TALLY NAME N MOMENT      ($NBQUEUE_KEY is the key)

MOMENT is ``0.4``: when that share of the items has been taken from their generator; ``+0.003``:
so many seconds after the last one was taken; ``reading``: whenever somebody kills it, while it
prints each item as it ends.
"""

import os
import signal
import sys
import threading

import nbqueue as nq
from tests.faults.work import tallying


def die():
    """End this process as a power cut does."""
    os.kill(os.getpid(), signal.SIGKILL)


def items(n, moment):
    """Give the items, until it is time to die."""
    last = n if moment.startswith("+") or moment == "reading" else int(n * float(moment))
    for i in range(n):
        if i == last:
            die()
        yield i
    if moment.startswith("+"):
        threading.Timer(float(moment), die).start()


def main(broker, store, tally, name, n, moment):
    """Submit and, if it comes to that, read."""
    nq.connect(broker, backend=store)
    # Whoever kills it while it reads has some seconds for that, until all items have run.
    nap_s = 0.04 if moment == "reading" else 0.008
    job = tallying(tally, nap_s).map(items(int(n), moment), name=name)
    if moment == "reading":
        for future in job.as_completed():
            print(future.result(), flush=True)
    threading.Event().wait(60)  # the timer ends it


if __name__ == "__main__":
    main(*sys.argv[1:])
