"""How a worker leaves, and how it starts itself again.

Celery says when: TERM ends a worker warmly, QUIT coldly (after ``worker_soft_shutdown_timeout``;
then it terminates the pool's processes, and the broker gives what they ran to others), HUP has it
end warmly and execute its command line anew. What is added here: the processes of the pool hear of
it (`Tally.leaving`), so that they hand on what they have not begun instead of running it to its
end, and the command line that is executed anew is the one that was typed.

Threads and greenlets cannot be terminated: in those pools QUIT, too, waits for what has begun.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from billiard import pool
from celery import Celery, bootsteps, signals

from nbqueue.core.errors import UsageError
from nbqueue.worker.process.tally import Tally

_TERMINATED = -(256 - signal.SIGTERM)
"""What billiard's processes exit with when they are terminated."""


_LOOKS_FOR_READER = 15
"""How often, a tenth of a second apart, a process that ends looks whether its last result was read.
billiard has 300: a worker that is told to end in a rush of messages may have stopped reading them,
and took half a minute to end for each process. What is not read is not acknowledged; it is given
back, and found to be recorded."""


def is_end_of_process(exc: BaseException) -> bool:
    """Say whether an exception is a termination of this process, and not its item's own."""
    return isinstance(exc, SystemExit) and exc.code == _TERMINATED


class HandOn(bootsteps.StartStopStep):
    """Tells the pool's processes that the worker leaves, before anybody waits for them."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._tally: Tally = worker.app.nbqueue_tally
        if getattr(worker, "pool_start_method", "fork") == "spawn":
            raise UsageError(
                "--pool-start-method spawn: the processes of a worker share memory with it, and "
                "can only be forked; threads (-P threads) do without processes"
            )

    def stop(self, worker: Any) -> None:
        """Tell them; Celery stops the pool after this step, since the step requires it."""
        self._tally.leave()

    terminate = stop


def prepare(app: Celery) -> None:
    """Have the workers of an app leave as described above."""
    app.steps["worker"].add(HandOn)
    # A number that billiard has no setting for; where it is called otherwise, its own stands.
    if hasattr(pool, "GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT"):
        pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = _LOOKS_FOR_READER
    tally: Tally = app.nbqueue_tally

    class Worker(app.Worker):
        """Celery's, but for the moment in which a soft shutdown begins, which has no signal."""

        def wait_for_soft_shutdown(self) -> None:
            tally.leave()
            super().wait_for_soft_shutdown()

    app.Worker = Worker
    signals.worker_init.connect(_note_command_line, dispatch_uid="nbqueue-command-line")


def _note_command_line(**_: Any) -> None:
    """Have HUP execute what was typed, where it was typed.

    Celery executes ``python`` with ``sys.argv``, which is not what started it after ``python -m``
    (its own ``multi`` and ``--detach`` do that); and in a pool without processes the tasks change
    this process's folder.
    """
    sys.argv = sys.orig_argv[1:]
    folder = os.getcwd()  # noqa: PTH109 - kept as it is

    def go_back(**_: Any) -> None:
        os.chdir(folder)

    signals.worker_shutdown.connect(go_back, weak=False, dispatch_uid="nbqueue-folder")
