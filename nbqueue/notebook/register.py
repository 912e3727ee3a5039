"""Tells IPython how to display nbqueue's things, without importing them.

Formatters are registered by name and import what they need when they are first used, so that
``import nbqueue`` stays cheap. In a terminal IPython shows reprs by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from nbqueue.client import onlooking, place


def register_here() -> None:
    """Register with the IPython that runs, if one does."""
    if "IPython" not in sys.modules:
        return
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None:
        register(shell)


def register(shell: Any) -> None:
    """Register with an IPython; any number of times."""
    formatter = shell.display_formatter
    html = formatter.formatters["text/html"]
    for module, name, home, view in HTML:
        html.for_type_by_name(module, name, _view(home, view))
    formatter.formatters["text/plain"].for_type_by_name(*_FRAME, _frame_text)
    if getattr(shell, "kernel", None) is None:
        return
    place.cell = lambda: _cell(shell)
    onlooking.show = lambda job: import_module("nbqueue.notebook.display").show_unasked(job)
    for module, name, home, way in _LIVE:
        formatter.ipython_display_formatter.for_type_by_name(module, name, _live(home, way))


def _cell(shell: Any) -> place.Cell | None:
    parent = shell.kernel.get_parent("shell") or {}
    run = (parent.get("header") or {}).get("msg_id")
    cell_id = (parent.get("metadata") or {}).get("cellId")  # as JupyterLab and VS Code send it
    return None if run is None else place.Cell(str(cell_id or ""), str(run))


_FRAME = ("nbqueue.client.live_frame", "LiveFrame")

_LIVE = (
    ("nbqueue.client.job", "Job", "display", "show_live"),
    ("nbqueue.client.client", "Client", "cluster_display", "show_live"),
    (*_FRAME, "display", "show_frame"),
)
"""Displayed by themselves: class, and the function of this room that does it."""

HTML = (
    ("nbqueue.client.task", "Task", "things", "task"),
    ("nbqueue.client.futures", "Future", "things", "future"),
    ("nbqueue.client.client", "Client", "things", "client"),
    ("nbqueue.client.canvas.signature", "Workflow", "things", "workflow"),
    ("nbqueue.client.schedules.schedule", "Schedule", "things", "schedule"),
    ("nbqueue.client.why.why", "Why", "why", "item"),
    ("nbqueue.client.why.why", "JobWhy", "why", "job"),
    ("nbqueue.client.doctor.findings", "Report", "doctor", "report"),
)
"""Displayed as HTML: class, and the module of `views` and its function that makes it."""


def _view(home: str, name: str) -> Callable[[Any], str]:
    def view(shown: Any) -> str:
        made: str = getattr(import_module(f"nbqueue.notebook.views.{home}"), name)(shown)
        return made

    return view


def _live(home: str, name: str) -> Callable[[Any], None]:
    def display(shown: Any) -> None:
        if not getattr(import_module(f"nbqueue.notebook.{home}"), name)(shown):
            raise NotImplementedError  # has IPython go on to the other forms

    return display


def _frame_text(frame: Any, printer: Any, _cycle: bool) -> None:
    printer.text(import_module("nbqueue.notebook.bundles").frame(frame)["text/plain"])
