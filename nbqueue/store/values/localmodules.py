"""Modules that live beside the notebook, which no worker has: they travel by value.

A module is *local* when its source is neither in the standard library nor in a site-packages
folder nor part of nbqueue. cloudpickle is told to pickle functions and classes of local modules by
value (`by_value`), and a reference to the module itself is rebuilt from its attributes (`reduce`),
which, unlike cloudpickle's own way, survives modules that refer to each other.
"""

from __future__ import annotations

import importlib
import importlib.util
import operator
import site
import sys
import sysconfig
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import cloudpickle

_PACKAGE = __name__.partition(".")[0]
_DROPPED = {"__builtins__", "__loader__", "__spec__", "__cached__", "__path__"}

_lock = threading.RLock()
_found: tuple[tuple[int, str], list[types.ModuleType]] | None = None
"""The local modules, and what `sys.modules` looked like when they were looked for."""


def _installed_roots() -> tuple[str, ...]:
    found = {sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    found.update(site.getsitepackages())
    found.add(site.getusersitepackages())
    return tuple(str(Path(path).resolve()) + "/" for path in found)


_ROOTS = _installed_roots()


def is_local(module: types.ModuleType) -> bool:
    """Say whether a module lives beside the notebook."""
    name = module.__name__
    if name == "__main__" or name.partition(".")[0] == _PACKAGE:
        return False
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return file.endswith((".py", ".pyc")) and _is_beside(file)
    # A folder of modules without an __init__.py has only a path.
    return any(_is_beside(str(folder)) for folder in getattr(module, "__path__", ()))


@lru_cache(maxsize=10_000)
def _is_beside(file: str) -> bool:
    path = str(Path(file).resolve())
    return not path.startswith(_ROOTS) and "/site-packages/" not in path


def is_installed(thing: Any) -> bool:
    """Say whether a function or class is found under its name in a module that is not local."""
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    if module is None or module.__name__ == "__main__" or is_local(module):
        return False
    try:
        return operator.attrgetter(thing.__qualname__)(module) is thing
    except AttributeError:
        return False


def may_be_local(name: str) -> bool:
    """Say whether importing a name may give a local module, now or when somebody writes it."""
    top = name.partition(".")[0]
    module = sys.modules.get(top)
    if module is not None:
        return is_local(module)
    spec = _spec(top)
    if spec is None:
        return True
    probe = types.ModuleType(top)
    probe.__file__ = spec.origin
    probe.__path__ = spec.submodule_search_locations or []
    return is_local(probe)


def find(name: str) -> types.ModuleType | None:
    """Give the local module of that name, imported if need be; ``None`` when there is none."""
    if not may_be_local(name):
        return None
    module = sys.modules.get(name)
    if module is None and _spec(name) is not None:
        try:
            module = importlib.import_module(name)
        except Exception:  # it cannot be imported here: the worker will say so if it comes to that
            return None
    return module if module is not None and is_local(module) else None


def _spec(name: str) -> Any:
    try:
        return importlib.util.find_spec(name)
    except Exception:  # finding a submodule runs its package's __init__: anything may come out
        return None


def local_modules() -> list[types.ModuleType]:
    """List the local modules that are imported now."""
    global _found
    with _lock:
        # New modules are appended; looking at each of thousands takes a third of a millisecond.
        looks = len(sys.modules), next(reversed(sys.modules))
        if _found is None or _found[0] != looks:
            _found = (
                looks,
                [
                    module
                    for module in list(sys.modules.values())
                    if isinstance(module, types.ModuleType)  # type: ignore[redundant-expr]  # may hold anything
                    and sys.modules.get(module.__name__) is module
                    and is_local(module)
                ],
            )
        return _found[1]


@contextmanager
def by_value() -> Iterator[None]:
    """Have cloudpickle pickle what local modules define by value within the block."""
    with _lock:
        before = cloudpickle.list_registry_pickle_by_value()
        added = [
            m for m in local_modules() if m.__name__ not in before and m.__name__ in sys.modules
        ]
        for module in added:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in added:
                cloudpickle.unregister_pickle_by_value(module)


def reduce(module: types.ModuleType) -> tuple[Any, ...]:
    """Reduce a local module to its attributes, set after it exists (so cycles end)."""
    return types.ModuleType, (module.__name__,), contents(module), None, None, fill


def contents(module: types.ModuleType) -> dict[str, Any]:
    """Give what of a local module travels."""
    return {k: v for k, v in vars(module).items() if k not in _DROPPED}


def fill(module: types.ModuleType, state: dict[str, Any]) -> None:
    """Give a rebuilt module its attributes."""
    vars(module).update(state)
