"""Tells marimo how to display nbqueue's things: by the method `_mime_`, which it asks values for.

They are shown as pages of the moment: what another thread writes to marimo after a cell has ended
goes nowhere, so nothing is live there. A cell that waits for a job and then shows it shows how it
ended, and marimo runs it again when what it depends on changes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from nbqueue.notebook.register import HTML


def register_here() -> None:
    """Register, if this is the kernel of a marimo notebook."""
    marimo = sys.modules.get("marimo")
    if marimo is None or not marimo.running_in_notebook():
        return
    for module, name, home, view in HTML:
        _teach(module, name, f"nbqueue.notebook.views.{home}", view)
    _teach("nbqueue.client.job", "Job", __name__, "job")
    _teach("nbqueue.client.live_frame", "LiveFrame", __name__, "frame")


def job(shown: Any) -> str:
    """Give a job's page as it is now."""
    return str(import_module("nbqueue.notebook.bundles").job(shown._live)["text/html"])


def frame(shown: Any) -> str:
    """Give a live frame as it is now."""
    return str(import_module("nbqueue.notebook.bundles").frame(shown)["text/html"])


def _teach(module: str, name: str, home: str, view: str) -> None:
    def mime(shown: Any) -> tuple[str, str]:
        make: Callable[[Any], str] = getattr(import_module(home), view)
        return "text/html", make(shown)

    getattr(import_module(module), name)._mime_ = mime
