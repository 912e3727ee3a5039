"""Messages from a widget's buttons reach the kernel while a cell runs.

JupyterLab sends a widget's messages to a subshell, so that they are answered beside a cell that
blocks. ipykernel 7.4 routes them elsewhere: every comm remembers the subshell of its last send from
the kernel, which for a widget made in a cell is the main shell, and so a click on Cancel waits for
the very cell it should end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipywidgets import Widget


def answer_while_busy(widget: Widget) -> None:
    """Let a widget's messages go to the subshell that the front end has sent them to."""
    comm = widget.comm
    # A private name of ipykernel 7.4: where there is none, messages are not rerouted either.
    if comm is not None and hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = _as_sent


def _as_sent(_data: Any, default: Any) -> Any:
    return default
