"""A lean launcher for workers: ``python -m nbqueue.worker --folder F --concurrency N``.

Celery's own command line loads twice as long (entry points, prompt toolkit). `nbqueue worker` goes
through that one, for all its options; the embedded cluster and its user wait for this one.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import quote

from celery import Celery

from nbqueue.store.broker.transport import restore_all
from nbqueue.store.signing import Keyring
from nbqueue.store.wiring import Wiring
from nbqueue.worker.app import make_worker_app

log = logging.getLogger("nbqueue.worker")


def main(argv: list[str] | None = None) -> int:
    """Run a worker until it is told to stop."""
    options = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    _leave_kernel()
    folder: Path = options.folder
    # Read before the environment of the tasks is anybody's business: the key stays in memory.
    wiring = Wiring(
        broker_url=f"redis+socket://{quote(options.socket)}",
        store_url=f"unix://{quote(options.socket)}",
        keyring=Keyring((folder / "key").read_text()),
        folder=folder,
    )
    app = make_worker_app(wiring)
    _take_over(app)
    worker = app.Worker(
        hostname=f"embedded-{os.getpid()}@{socket.gethostname()}",
        pool="threads" if options.threads else "prefork",
        concurrency=options.concurrency,
        max_tasks_per_child=options.max_tasks_per_child,
        max_memory_per_child=options.max_memory_per_child,
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _take_over(app: Celery) -> None:
    """Have what an earlier worker held run again: this one is alone on its broker."""
    while True:
        try:
            restored = restore_all(app)
            break
        except app.connection_for_write().connection_errors:
            time.sleep(0.02)  # Redis and this process are started at the same time
    if restored:
        log.warning("an earlier worker died with %d messages in hand; they run again", restored)


def _leave_kernel() -> None:
    """Forget what the kernel that started the cluster had in its environment for itself."""
    os.environ.pop("JPY_PARENT_PID", None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m nbqueue.worker", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the embedded cluster")
    parser.add_argument("--socket", required=True, help="its Redis socket")
    parser.add_argument("--concurrency", type=int, default=os.cpu_count())
    parser.add_argument("--threads", action="store_true", help="threads instead of processes")
    parser.add_argument("--max-tasks-per-child", type=int, help="messages a process runs")
    parser.add_argument("--max-memory-per-child", type=int, help="KiB a process may have after one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
