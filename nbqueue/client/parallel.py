"""joblib's `Parallel` on nbqueue: ``joblib.parallel_config("nbqueue")``.

A call of `Parallel` is one job, whose items are joblib's tasks: it is listed, displayed and kept
like any other, and workers divide it by time, so nothing need be batched. That needs all tasks to
be known at once; where they are to be taken one by one (``return_as="generator"``, an own
``pre_dispatch``) they travel as joblib hands them out, in batches of its making, a job each.
"""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from joblib.parallel import AutoBatchingMixin, BatchedCalls, ParallelBackendBase

from nbqueue.client import onlooking
from nbqueue.client.job import Job
from nbqueue.client.options import TaskOptions
from nbqueue.client.reaching import processes, put
from nbqueue.client.saying import say
from nbqueue.client.task import Task, name_of
from nbqueue.store.code.callables import run_batch
from nbqueue.store.values.refs import Ref

_DEFAULT_PRE_DISPATCH = "2*n_jobs"
"""joblib's, and scikit-learn's."""

_OF_OTHER_BACKENDS = frozenset(
    {
        "context",
        "context_id",
        "idle_worker_timeout",
        "inner_max_num_threads",
        "max_nbytes",
        "mmap_mode",
        "prefer",
        "require",
        "temp_folder",
        "verbose",
    }
)
"""What joblib hands to every backend; none of it means anything here."""

_LARGE_BYTES = 30_000
"""Arrays and frames from this size on are sent once a call of `Parallel`, by identity. Smaller: a
round trip to the store for each costs more than sending it with its task; larger: arguments of a
hundred fits carry the same array a hundred times."""

Callback = Callable[[Any], None]


class NbqueueBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # untyped
    """joblib's backend; made by joblib for ``parallel_config("nbqueue", name=…, **options)``.

    Options are those of ``nq.task`` (``queue``, ``priority``, ``time_limit`` …), for all tasks;
    ``name`` names the job.
    """

    supports_retrieve_callback = True
    supports_sharedmem = False
    default_n_jobs = -1

    def __init__(
        self,
        nesting_level: int = 0,
        inner_max_num_threads: int | None = None,
        *,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._name = name
        self._options = TaskOptions().updated({"typing": False, **options})
        self._whole = False
        self._gathered: list[tuple[BatchedCalls, Callback]] | None = None
        self._jobs: list[Job] = []
        self._given_up = False
        self._sent: dict[int, tuple[Any, Ref]] = {}

    # -- what joblib asks ----------------------------------------------------------------------

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Give how many tasks run at once: all processes for -1, all but one for -2, and so on."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is not None and n_jobs > 0:
            return n_jobs
        # (Of one, joblib would run the tasks here.)
        return max(2, processes() + 1 + (-1 if n_jobs is None else n_jobs))

    def configure(
        self,
        n_jobs: int | None = 1,
        parallel: Any = None,
        **backend_kwargs: Any,
    ) -> int:
        """Take the settings of a `Parallel`; give how many tasks run at once."""
        self.parallel = parallel
        own = {k: v for k, v in backend_kwargs.items() if k not in _OF_OTHER_BACKENDS}
        self._name = own.pop("name", self._name)
        self._options = self._options.updated(own)
        usual = str(parallel.pre_dispatch).replace(" ", "") in (_DEFAULT_PRE_DISPATCH, "all")
        self._whole = usual and not parallel.return_generator and parallel.batch_size == "auto"
        if self._whole:
            # All results are wanted in a list, so all tasks can be had, too.
            parallel.pre_dispatch = "all"
        if n_jobs is not None and n_jobs > 0:
            known = processes()
            if not known or n_jobs < known:  # (none: its workers are only just starting)
                self._options = self._options.updated({"concurrency": n_jobs})
        return self.effective_n_jobs(n_jobs)

    def compute_batch_size(self) -> int:
        """Give how many tasks travel together."""
        return 1 if self._whole else int(super().compute_batch_size())

    def start_call(self) -> None:
        """Begin a call of `Parallel`."""
        self._jobs.clear()
        self._given_up = False
        self._gathered = [] if self._whole else None

    def submit(self, func: BatchedCalls, callback: Callback) -> Any:
        """Send a batch of tasks; ``callback`` is called with its future when it has ended."""
        if self._gathered is not None:
            self._gathered.append((func, callback))
            return None  # joblib asks what it has called back, and nothing else
        try:
            job = self._send([func])
        except Exception as exc:
            # We may be called from a callback, where nobody would hear of it.
            failed: concurrent.futures.Future[Any] = concurrent.futures.Future()
            failed.set_exception(exc)
            callback(failed)
            return failed
        job[0].add_done_callback(callback)
        return job[0]

    @contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """Send what was gathered, before its results are waited for."""
        gathered, self._gathered = self._gathered, None
        if not gathered:
            yield
            return
        job = self._send([batch for batch, _ in gathered])
        for future, (_, callback) in zip(job, gathered, strict=True):
            future.add_done_callback(callback)
        if self._show(job):
            yield
            return
        with onlooking.waiting(job):
            yield

    def retrieve_result_callback(self, out: concurrent.futures.Future[Any]) -> Any:
        """Give the results of a batch's tasks, or raise what one has raised."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End everything: a task has raised, or joblib's time was over, and nobody wants more."""
        self._gathered = None
        self._given_up = True
        unfinished = [job for job in self._jobs if not job.finished]
        if unfinished and isinstance(sys.exc_info()[1], KeyboardInterrupt):  # joblib handles it now
            say(f"stopped; {_named(unfinished)} is cancelled, also what runs")
        for job in unfinished:
            job.cancel(terminate=True)

    def stop_call(self) -> None:
        """End a call of `Parallel`."""
        self._sent.clear()
        self._jobs.clear()

    # -- inside --------------------------------------------------------------------------------

    def _send(self, batches: list[BatchedCalls]) -> Job:
        task = Task(run_batch, self._options.updated({"name": name_of(batches[0].items[0][0])}))
        name = self._name if len(batches) > 1 or self._whole else None
        job = task.map([self._by_reference(batch) for batch in batches], name=name)
        self._jobs.append(job)
        if self._given_up:  # while it was sent: a callback's thread sends what comes next
            job.cancel(terminate=True)
        return job

    def _by_reference(self, batch: BatchedCalls) -> BatchedCalls:
        """Have the large arguments of a batch travel once a call, however many tasks have them."""
        items = [
            (
                function,
                tuple(map(self._sent_once, args)),
                {k: self._sent_once(v) for k, v in kwargs.items()},
            )
            for function, args, kwargs in batch.items
        ]
        return BatchedCalls(items, (batch._backend, batch._n_jobs), None, batch._pickle_cache)

    def _sent_once(self, value: Any) -> Any:
        if _size(value) < _LARGE_BYTES:
            return value
        if id(value) not in self._sent:
            # With the value itself, so that its id cannot become another's.
            self._sent[id(value)] = value, put(value)
        return self._sent[id(value)][1]

    def _show(self, job: Job) -> bool:
        """Display the job at once, where `Parallel` is to say how far it is; say whether it is."""
        ipython = sys.modules.get("IPython")
        if not self.parallel.verbose or ipython is None or ipython.get_ipython() is None:
            return False
        import_module("IPython.display").display(job)
        return True


def _named(jobs: list[Job]) -> str:
    return f"job {jobs[0].name!r}" if len(jobs) == 1 else f"the rest of {len(jobs):,} jobs"


def _size(value: Any) -> int:
    """Give the size of an array or a frame, in bytes; of others, which pickle themselves, 0."""
    size: Any = getattr(value, "nbytes", None)
    try:
        if size is None and hasattr(value, "memory_usage"):
            size = value.memory_usage()  # of each column
        if size is None and hasattr(value, "estimated_size"):
            size = value.estimated_size()  # Polars'
        return int(size.sum() if hasattr(size, "sum") else size)
    except (TypeError, ValueError):  # some other thing of that name
        return 0
