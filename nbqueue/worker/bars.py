"""tqdm bars opened inside a task report as `progress` does, and do not write into the worker's log.

tqdm draws through its documented ``display`` method; it is replaced once, when tqdm is there. A
task that imports tqdm only in its body is caught by a finder that waits for that import.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from nbqueue.worker.current import current, progress

_TARGET = "tqdm.std"


def watch() -> None:
    """See to it that tqdm reports, now or when it is imported."""
    module = sys.modules.get(_TARGET)
    if module is not None:
        _replace(module)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _replace(module: ModuleType) -> None:
    cls: Any = module.tqdm
    if getattr(cls.display, "reports_to_nbqueue", False):
        return
    draw = cls.display

    def display(self: Any, msg: str | None = None, pos: int | None = None) -> Any:
        if current() is None:
            return draw(self, msg, pos)
        info = {"desc": self.desc.rstrip(": ")} if self.desc else {}
        progress(self.n, self.total, **info)
        return True

    display.reports_to_nbqueue = True  # type: ignore[attr-defined]
    cls.display = display


class _Finder(importlib.abc.MetaPathFinder):
    """Lets the others find tqdm, and replaces its method when it has been loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _TARGET:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                _replace(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
