"""The peers: what each needs, how much it is given to do, and what it keeps of an item."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.peer import Peer

MAPS = ("throughput", "balance")
EVERYTHING = ("throughput", "one_call", "balance")


@dataclass(frozen=True)
class Entry:
    """A peer by name; its module is imported only in the process that measures it.

    `noops` is how many no-ops its throughput is taken over: enough for a second or so of work, as
    the slow ones would need minutes for the 100,000 of the fast ones.
    """

    key: str
    label: str
    factory: str
    needs: str
    noops: int
    records: str
    scenarios: tuple[str, ...] = EVERYTHING

    @property
    def installed(self) -> bool:
        return find_spec(self.needs) is not None

    def make(self, workers: int, folder: Path) -> Peer:
        module, _, name = self.factory.partition(":")
        peer_class = getattr(importlib.import_module(f"tests.benchmarks.{module}"), name)
        return cast("Peer", peer_class(workers, folder))


NOTHING = "nothing; the first error ends the map"
CELERY_PER_TASK = "state, result and traceback, for a day; no times, no worker, no arguments"

PEERS = (
    Entry(
        key="nbqueue",
        label="nbqueue",
        factory="nbqueue_peer:Nbqueue",
        needs="nbqueue",
        noops=100_000,
        records="arguments, state, result, error, times, worker, attempts, memory; on disk",
        scenarios=(*EVERYTHING, "canvas", "control", "memory"),
    ),
    Entry(
        key="pool",
        label="ProcessPoolExecutor",
        factory="pools:Pool",
        needs="concurrent.futures",
        noops=10_000,
        records=NOTHING,
    ),
    Entry(
        key="pool100",
        label="ProcessPoolExecutor, chunksize=100",
        factory="pools:ChunkedPool",
        needs="concurrent.futures",
        noops=100_000,
        records=NOTHING,
        scenarios=MAPS,
    ),
    Entry(
        key="joblib",
        label="joblib, as documented",
        factory="pools:Joblib",
        needs="joblib",
        noops=100_000,
        records=NOTHING,
        scenarios=MAPS,
    ),
    Entry(
        key="joblib_hoisted",
        label="joblib, delayed() hoisted",
        factory="pools:HoistedJoblib",
        needs="joblib",
        noops=100_000,
        records=NOTHING,
        scenarios=("throughput",),
    ),
    Entry(
        key="celery",
        label="Celery delay().get()",
        factory="celery_peers:Delay",
        needs="celery",
        noops=0,
        records=CELERY_PER_TASK,
        scenarios=("one_call", "control"),
    ),
    Entry(
        key="group",
        label="Celery group",
        factory="celery_peers:Group",
        needs="celery",
        noops=2_000,
        records=CELERY_PER_TASK,
        scenarios=(*MAPS, "canvas"),
    ),
    Entry(
        key="chunks",
        label="Celery chunks(100)",
        factory="celery_peers:Chunks",
        needs="celery",
        noops=20_000,
        records="state and result of each 100 items; one error loses the other 99",
        scenarios=MAPS,
    ),
    Entry(
        key="dask",
        label="dask.distributed",
        factory="dask_peer:Dask",
        needs="distributed",
        noops=2_000,
        records="state, result, error, in the scheduler's memory while a future is held",
    ),
    Entry(
        key="ray",
        label="Ray",
        factory="ray_peer:Ray",
        needs="ray",
        noops=5_000,
        records="result or error while a reference is held; a bounded list of states and times",
    ),
    Entry(
        key="ipyparallel",
        label="ipyparallel, load-balanced",
        factory="ipyparallel_peer:LoadBalanced",
        needs="ipyparallel",
        noops=1_000,
        records="result, error, times and engine, in the hub's memory by default",
    ),
    Entry(
        key="ipyparallel100",
        label="ipyparallel, chunksize=100",
        factory="ipyparallel_peer:Chunked",
        needs="ipyparallel",
        noops=20_000,
        records="the same for each 100 items; one error loses the other 99",
        scenarios=MAPS,
    ),
)
BY_KEY = {entry.key: entry for entry in PEERS}
