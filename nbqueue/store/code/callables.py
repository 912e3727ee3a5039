"""What executors for other libraries send in place of a function; it runs in a worker.

It stands here because a worker imports it by name, and must not load the client for it.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

_ready: set[str] = set()
"""Executors whose initializer has run in this process."""

_lock = threading.Lock()


def run_batch(batch: Callable[[], Any]) -> Any:
    """Give the results of a batch of joblib's tasks."""
    return batch()


class Initialized:
    """A function of an executor, called after the executor's initializer has run here once.

    What is done once a process is remembered there.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        executor: str,
        initializer: Callable[..., Any],
        initargs: tuple[Any, ...],
    ) -> None:
        self._function = function
        self._executor = executor
        self._initializer = initializer
        self._initargs = initargs
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function.

        Raises:
            concurrent.futures.BrokenExecutor: the initializer failed.
        """
        with _lock:
            if self._executor not in _ready:
                try:
                    self._initializer(*self._initargs)
                except Exception as exc:
                    raise concurrent.futures.BrokenExecutor(
                        f"the executor's initializer failed in this process: {exc!r}"
                    ) from exc
                _ready.add(self._executor)
        return self._function(*args, **kwargs)
