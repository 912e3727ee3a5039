"""`LiveFrame`: a job's DataFrame that a notebook keeps up to date on display.

It is a handle and no DataFrame: a frame that changed under the code that works with it would give
wrong answers. The notebook room displays it (`notebook.display`); here is what it shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbqueue.client import frame

if TYPE_CHECKING:
    import pandas as pd

    from nbqueue.client.live import Live


class LiveFrame:
    """A running job's DataFrame, as it grows; made by ``job.to_frame(live=True)``.

    >>> frame = double.map([1, 2, 3]).to_frame(live=True)   # doctest: +CLUSTER
    >>> len(frame.to_frame())                               # doctest: +CLUSTER
    3
    """

    def __init__(self, live: Live, *, expand: bool) -> None:
        self._live = live
        self._expand = expand

    def __len__(self) -> int:
        return self._live.state.n

    def to_frame(self) -> pd.DataFrame:
        """Give the DataFrame as it is now: see `Job.to_frame`."""
        return self.rows(None)

    def head(self, n: int = 5) -> pd.DataFrame:
        """Give the first rows as they are now."""
        return self.rows(range(len(self))[:n])

    def tail(self, n: int = 5) -> pd.DataFrame:
        """Give the last rows as they are now."""
        return self.rows(range(len(self))[-n:] if n else range(0))

    def rows(self, items: range | list[int] | None) -> pd.DataFrame:
        """Give the rows of some items as they are now; ``None`` for all."""
        with self._live.lock:
            return frame.build(self._live, expand=self._expand, items=items)

    def __repr__(self) -> str:
        state = self._live.state
        return f"<LiveFrame of job {self._live.name!r}: {state.name}, {state.n:,} rows>"
