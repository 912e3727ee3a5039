"""Lets a worker adjust a library when a task imports it, and cost nothing when none does."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

Act = Callable[[Any], None]
"""Gets the module; must not mind being called again for the same one."""

_acts: dict[str, Act] = {}


def when_imported(name: str, act: Act) -> None:
    """Have ``act`` called with a module, now or right after it is imported."""
    if name in _acts:
        return
    _acts[name] = act
    if name in sys.modules:
        act(sys.modules[name])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Lets the others find a module, and acts when it has been loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        act = _acts.get(fullname)
        if act is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                act(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # this loader alone
        return spec
