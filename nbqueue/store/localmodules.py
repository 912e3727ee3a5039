"""Modules that live beside the notebook, which no worker has: they travel by value.

A module is *local* when its source is neither in the standard library nor in a site-packages
folder nor part of nbqueue. cloudpickle is told to pickle functions and classes of local modules by
value (`by_value`), and a reference to the module itself is rebuilt from its attributes (`reduce`),
which, unlike cloudpickle's own way, survives modules that refer to each other.
"""

from __future__ import annotations

import site
import sys
import sysconfig
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle

_PACKAGE = __name__.partition(".")[0]
_DROPPED = {"__builtins__", "__loader__", "__spec__", "__cached__", "__path__"}

_lock = threading.RLock()
_foreign: dict[str, str | None] = {}
"""Modules found not to be local: name -> file, so that a scan looks only at what is new."""


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
    if not isinstance(file, str) or not file.endswith((".py", ".pyc")):
        return False
    path = str(Path(file).resolve())
    return not path.startswith(_ROOTS) and "/site-packages/" not in path


def local_modules() -> list[types.ModuleType]:
    """List the local modules that are imported now."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name in _foreign and _foreign[name] == file:
            continue
        if isinstance(module, types.ModuleType) and is_local(module):
            found.append(module)
        else:
            _foreign[name] = file
    return found


@contextmanager
def by_value() -> Iterator[None]:
    """Have cloudpickle pickle what local modules define by value within the block."""
    with _lock:
        before = cloudpickle.list_registry_pickle_by_value()
        added = [m for m in local_modules() if m.__name__ not in before]
        for module in added:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in added:
                cloudpickle.unregister_pickle_by_value(module)


def reduce(module: types.ModuleType) -> tuple[Any, ...]:
    """Reduce a local module to its attributes, set after it exists (so cycles end)."""
    state = {k: v for k, v in vars(module).items() if k not in _DROPPED}
    return types.ModuleType, (module.__name__,), state, None, None, fill


def fill(module: types.ModuleType, state: dict[str, Any]) -> None:
    """Give a rebuilt module its attributes."""
    vars(module).update(state)
