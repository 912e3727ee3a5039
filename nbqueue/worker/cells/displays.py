"""`display` in a task: rich output, as in a cell.

IPython's functions need a shell to format what they are given. A worker has none until one of them
is called inside of an item; then `cells` loads it. ``display`` needs no import in a notebook, so it
needs none in a worker.
"""

from __future__ import annotations

import builtins
import functools
import importlib
from collections.abc import Callable
from typing import Any

from nbqueue.worker.cells import cells
from nbqueue.worker.current import reporting
from nbqueue.worker.process.imports import when_imported

_FUNCTIONS = "IPython.core.display_functions"


def watch() -> None:
    """See to it that `display` finds a shell."""
    if not hasattr(builtins, "display"):
        builtins.display = _display  # type: ignore[attr-defined]  # as IPython does
    when_imported(_FUNCTIONS, _provide)


def _display(*objects: Any, **options: Any) -> Any:
    """Display objects; see IPython.display.display."""
    return importlib.import_module(_FUNCTIONS).display(*objects, **options)


def _provide(module: Any) -> None:
    for name in ("clear_output", "display", "publish_display_data"):
        setattr(module, name, _with_shell(getattr(module, name)))


def _with_shell(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if reporting() is not None:
            cells.shell()
        return function(*args, **kwargs)

    return call
