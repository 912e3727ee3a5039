"""Tells IPython how to display nbqueue's things, without importing them.

Formatters are registered by name and import what they need when they are first used, so that
``import nbqueue`` stays cheap.
"""

from __future__ import annotations

import sys
from typing import Any


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
    if getattr(shell, "kernel", None) is not None:  # a terminal's Out[] shows reprs
        formatter.ipython_display_formatter.for_type_by_name("nbqueue.client.job", "Job", _job)


def _job(job: Any) -> None:
    from nbqueue.notebook.display import show_live

    if not show_live(job):
        raise NotImplementedError  # has IPython go on to the plain text
