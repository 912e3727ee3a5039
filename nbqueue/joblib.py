"""joblib's backend ``"nbqueue"``: registered when both nbqueue and joblib have been imported.

joblib has no entry points for backends, only `joblib.register_parallel_backend`. So that the order
of two imports does not matter, and nobody pays for joblib who does not use it, `watch` registers
the backend at once where joblib is there, and otherwise as soon as somebody imports it. Only its
first use loads the backend itself (`nbqueue.client.parallel`): workers import joblib too.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAME = "nbqueue"
_WHERE = "joblib.parallel"


def register() -> None:
    """Make ``joblib.parallel_config("nbqueue")`` work."""
    sys.modules[_WHERE].register_parallel_backend(NAME, _backend)


def watch() -> None:
    """Register the backend now, or when joblib comes to be imported."""
    if _WHERE in sys.modules:
        register()
    elif not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher())


def _backend(*args: Any, **kwargs: Any) -> Any:
    from nbqueue.client.parallel import NbqueueBackend

    return NbqueueBackend(*args, **kwargs)


class _Watcher:
    """Finds no module, but hears which are looked for."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Have the backend registered once ``joblib.parallel`` has been loaded."""
        if name != _WHERE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                register()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # this loader alone
        return spec
