"""`show`: a job where the cell is, live until its end, and then as it ended.

    show ──mode──► widget: pumped ten times a second, and plain HTML in the end (`displays`)
                   html:   a page, replaced at most twice a second until the end
                   text:   a line, once
                   off:    nothing

Nothing here asks the store: what is shown is the fold that the follower brings.
"""

from __future__ import annotations

import logging
import weakref
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nbqueue.client import place
from nbqueue.notebook import bundles, modes
from nbqueue.notebook.area import Area
from nbqueue.notebook.displays import PageDisplay, WidgetDisplay
from nbqueue.notebook.stage import Act, Stage

if TYPE_CHECKING:
    from nbqueue.client.job import Job
    from nbqueue.client.live_frame import LiveFrame

log = logging.getLogger("nbqueue.notebook")

stage = Stage()
"""This process's, with its thread."""

_attended: weakref.WeakSet[Any] = weakref.WeakSet()
"""Shells whose cells' ends are noticed."""


def show(job: Job, *, raises: bool = False) -> None:
    """Display a job where the running cell's output goes; plain Python shows nothing.

    Args:
        job: The job.
        raises: Its error is the cell's, too, and stands below.
    """
    if not show_live(job, raises=raises) and modes.mode() == "text":
        made = bundles.job_beside_its_error if raises else bundles.job
        Area().put({"text/plain": made(job._live)["text/plain"]})


def show_live(job: Job, *, raises: bool = False) -> bool:
    """Display a job live; ``False`` where that cannot be, and nothing was displayed."""
    mode, live = modes.mode(), job._live
    if mode not in ("widget", "html"):
        return False
    view = _view_class() if mode == "widget" else None
    page = bundles.job_beside_its_error if raises else bundles.job
    if view is None:
        enter(PageDisplay(live, stage, page))
    else:
        enter(WidgetDisplay(live, stage, page, partial(view, raises=raises)))
    return True


_UNASKED = 3
"""Jobs that one run of a cell shows without being asked: a loop may wait for hundreds."""

_unasked: tuple[place.Cell | None, int] = (None, 0)
"""The run of a cell that has shown such jobs last, and how many."""


def show_unasked(job: Job) -> None:
    """Display a job that a call waits for, where somebody looks; from any thread."""
    global _unasked
    if modes.mode() != "widget":
        return  # what is recorded must not depend on how long it took
    cell = place.cell()
    shown = _unasked[1] if _unasked[0] == cell else 0
    if shown < _UNASKED:
        _unasked = (cell, shown + 1)
        show_live(job)


def show_frame(frame: LiveFrame) -> bool:
    """Display a job's DataFrame live; ``False`` where that cannot be."""
    if modes.mode() not in ("widget", "html"):
        return False
    enter(PageDisplay(frame._live, stage, lambda _, note: bundles.frame(frame, note)))
    return True


def enter(act: Act) -> None:
    """Display something for the first time, in this thread, and keep it live from then on."""
    shell = modes.shell()
    if shell not in _attended:
        _attended.add(shell)
        # What only records a notebook takes a cell's output as it is when the cell ends.
        shell.events.register("post_run_cell", stage.settle)
    stage.begin(act)


def _view_class() -> Any:
    """Give the class of a job's widget; ``None`` where widgets cannot be loaded."""
    try:
        # Not before it is wanted: the widgets' libraries take a third of a second.
        return import_module("nbqueue.notebook.job_widget").JobView
    except ImportError as exc:
        log.warning("widgets cannot be loaded (%s); jobs are shown as HTML", exc)
        return None
