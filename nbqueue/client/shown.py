"""What can be looked at of a job, at any time: counts, frames, outputs, its log, and why it is so.

Nothing here waits for an item, and nothing changes the job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from nbqueue.client import frame, loglines, why
from nbqueue.client.canvas import jobgraph
from nbqueue.client.live import Live
from nbqueue.client.live_frame import LiveFrame
from nbqueue.core import states
from nbqueue.core.outputs import settle

if TYPE_CHECKING:
    import pandas as pd

    from nbqueue.client.canvas.graph import Graph
    from nbqueue.client.why.why import JobWhy, Why


class Shown:
    """A job as it is at this moment."""

    def __init__(self, live: Live) -> None:
        self._live = live

    @property
    def id(self) -> str:
        """The job's identifier: 16 hexadecimal digits."""
        return self._live.state.spec.id

    @property
    def name(self) -> str:
        """The name given at submission, or one made from the task's."""
        return self._live.state.spec.name

    @property
    def task(self) -> str:
        """Name of the task."""
        return self._live.state.task

    @property
    def n(self) -> int:
        """How many items the job has."""
        return self._live.state.n

    @property
    def state(self) -> str:
        """PENDING, STARTED, or once all items are done SUCCESS, FAILURE (any) or REVOKED (any)."""
        return self._live.state.name

    @property
    def finished(self) -> bool:
        """Whether every item has ended."""
        return self._live.finished

    def __len__(self) -> int:
        return self.n

    def counts(self) -> dict[str, int]:
        """Give how many items are in each state, by Celery's names (zeros included).

        >>> job = double.map([1, 2, 3])                     # doctest: +CLUSTER
        >>> job.wait(), job.counts()["SUCCESS"], job.counts()["FAILURE"]  # doctest: +CLUSTER
        (True, 3, 0)
        """
        with self._live.lock:
            return dict(zip(states.NAMES, self._live.state.counts, strict=True))

    def graph(self) -> Graph:
        """Give a drawing of its steps and how far each is: SVG in a notebook, text elsewhere.

        A job that is no workflow is one step.

        >>> job = nq.run(double.s(1) | double.s())          # doctest: +CLUSTER
        >>> job.result()                                    # doctest: +CLUSTER
        4
        >>> job.graph()                                     # doctest: +CLUSTER
        1  double(1)    SUCCESS
        2  double(‹1›)  SUCCESS
        """
        return jobgraph.graph_of_job(self._live)

    def timings(self) -> dict[str, float]:
        """Give the job's times in seconds.

        ``elapsed_s`` from submission to the end (or now), ``run_s`` the sum over items,
        ``run_s_median``, ``run_s_max``, ``queue_s_max`` over the items that have ended (NaN when
        none has), and ``items_per_s``.

        >>> job = double.map([1, 2, 3])                     # doctest: +CLUSTER
        >>> job.wait(), job.timings()["elapsed_s"] > 0      # doctest: +CLUSTER
        (True, True)
        """
        return frame.timings(self._live.state, self._live.client.now())

    def progress(self) -> pd.DataFrame:
        """Give the latest that running items reported by ``nq.track``, ``nq.progress`` or tqdm.

        One row an item that has reported, indexed by item: ``done``, ``total`` (float; NaN when
        unknown), ``fraction`` (0 to 1) and a column for each further thing reported.

        >>> job = nq.task(lambda n: sum(nq.track(range(n)))).map([10, 20])  # doctest: +CLUSTER
        >>> job.result()                                    # doctest: +CLUSTER
        [45, 190]
        >>> job.progress()["total"].tolist()                # doctest: +CLUSTER
        [10.0, 20.0]
        """
        with self._live.lock:
            return frame.progress_frame(self._live.state)

    @overload
    def to_frame(self, expand: bool = True, *, live: Literal[False] = False) -> pd.DataFrame: ...
    @overload
    def to_frame(self, expand: bool = True, *, live: Literal[True]) -> LiveFrame: ...
    def to_frame(self, expand: bool = True, *, live: bool = False) -> pd.DataFrame | LiveFrame:
        """Give one row an item, in order; usable while the job runs.

        Columns: the task's parameters; ``state`` (category); ``result``, or with ``expand`` and
        results that are dicts, named tuples or dataclasses, a column for each of their fields;
        ``error`` (text, missing when none; of an item in RETRY, why); ``started`` (UTC);
        ``queue_s``, ``run_s`` (seconds); ``worker`` (category); ``attempts`` (how often it was
        run, retries included; a run that was cancelled, or whose worker died, counts if it had
        lasted a tenth of a second); ``memory_mb`` (peak of the worker process); with
        ``cache=True``, ``cached`` (whether the result came from there). A parameter with the name
        of one of these columns gets ``_arg`` appended, a field ``_result``.

        A cell (``%%enqueue``) has a column for each name that it brings back, and ``value`` for its
        last expression, where that is no such name and ends in no semicolon, and its value can be
        pickled, in at most 100 kB, and is no picture. With ``--out``, only if that names it.
        Figures of a sweep stay in the items' outputs unless ``--out`` names them.

        Args:
            expand: Give results that are dicts, named tuples or dataclasses a column a field.
            live: Give a `LiveFrame`, which a notebook displays and keeps up to date until the job
                ends. Its ``to_frame()`` gives the DataFrame.

        Raises:
            Expired: the arguments or large results are no longer in the store.

        >>> both = nq.task(lambda x: {"half": x / 2, "double": 2 * x})       # doctest: +CLUSTER
        >>> job = both.map([1, 2])                          # doctest: +CLUSTER
        >>> job.wait()                                      # doctest: +CLUSTER
        True
        >>> job.to_frame()[["x", "state", "half", "double"]]  # doctest: +CLUSTER
              x    state  half  double
        item
        0     1  SUCCESS   0.5       2
        1     2  SUCCESS   1.0       4
        """
        if live:
            return LiveFrame(self._live, expand=expand)
        with self._live.lock:
            return frame.build(self._live, expand=expand)

    @property
    def outputs(self) -> dict[int, list[dict[str, Any]]]:
        r"""What items have printed and displayed so far, by item number, as outputs of nbformat 4.

        Each is a dict with ``output_type`` (``stream``, ``display_data``, ``execute_result`` or
        ``error``), as a notebook file has it, in the order in which it was written; of more
        than 1 MB an item, the first of it and the end of its text. Items that printed nothing are
        left out.

        >>> @nq.task                                        # doctest: +CLUSTER
        ... def hello(name):
        ...     print("hello", name)
        >>> job = hello.submit("you")                       # doctest: +CLUSTER
        >>> job.result()                                    # doctest: +CLUSTER
        >>> job.outputs[0][0]["text"]                       # doctest: +CLUSTER
        'hello you\n'
        """
        with self._live.lock:
            return {
                i: settle(record.output for record in said)
                for i, said in sorted(self._live.state.outputs.items())
            }

    def log(self, i: int | None = None) -> list[str]:
        """Give what the job's log says, a line a record: all of it, or what concerns item ``i``.

        >>> job = double.submit(1)                          # doctest: +CLUSTER
        >>> job.result()                                    # doctest: +CLUSTER
        2
        >>> len(job.log()) > 0                              # doctest: +CLUSTER
        True
        """
        item = None if i is None else self._index(i)
        client = self._live.client
        client.follower.open_now(self.id)
        return loglines.read(client.joblog, self.id, item)

    @overload
    def why(self, i: int) -> Why: ...
    @overload
    def why(self, i: None = None) -> JobWhy: ...
    def why(self, i: int | None = None) -> Why | JobWhy:
        """Say why an item, or the whole job, is as it is: what it waits for, or how it ended.

        Of an item: when it was submitted and where to, each attempt and what became of it (retries,
        processes that died, errors), the end of its output, and while it is not over what holds it
        up now: its place in a queue, a limit of its task, a job before it, no worker. It asks the
        store, the broker and the workers, which takes a second or so; what does not answer is told.

        The answer is an object that is displayed as text or HTML, with fields (``kind``, ``text``,
        ``advice``, ``events`` ...); an item's has ``to_frame()``, a row an event.

        Args:
            i: The item; without one, the job: why it is not done yet, what runs, what went wrong.

        Raises:
            IndexError: there is no such item.

        >>> job = double.map([1, 2, 3])                     # doctest: +CLUSTER
        >>> job.result()                                    # doctest: +CLUSTER
        [2, 4, 6]
        >>> job.why(1).kind                                 # doctest: +CLUSTER
        'succeeded'
        >>> job.why().text                                  # doctest: +CLUSTER
        'all 3 items succeeded'
        """
        return why.ask(self._live, None if i is None else self._index(i))

    def _index(self, i: int) -> int:
        if not hasattr(i, "__index__"):  # which numpy's integers have
            raise TypeError(
                f"items go by their number, from 0, not by {i!r}; job.to_frame() has a row an item"
            )
        if not -self.n <= i < self.n:
            raise IndexError(f"job {self.name!r} has {self.n} items, there is no item {i}")
        return i % self.n
