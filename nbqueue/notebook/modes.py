"""How displays appear: as a widget, as HTML, as text, or not at all.

    widget   a kernel with a front end that has our JavaScript, or may have it
    html     a kernel that is only recorded: nbclient, nbconvert, nbval, papermill
    text     IPython in a terminal
    off      plain Python; or by wish

``NBQUEUE_DISPLAY`` chooses; ``auto`` looks. A front end that shows a notebook sends something with
each cell that it runs (its cell's id, say), those that only record it send nothing.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Literal, cast

from nbqueue.client.saying import say

Mode = Literal["widget", "html", "text", "off"]

_WISHES = ("auto", "widget", "html", "text", "off")
_VARIABLE = "NBQUEUE_DISPLAY"

_warned: set[str] = set()
_seen = False


def choose(wish: str, *, shell: bool, kernel: bool, front_end: bool) -> Mode:
    """Decide how to appear.

    >>> choose("auto", shell=True, kernel=True, front_end=False)
    'html'
    """
    if wish != "auto":
        # A widget without a kernel has nobody to talk to, nor has HTML.
        return cast(Mode, wish) if kernel or wish == "off" else "text" if shell else "off"
    if kernel:
        return "widget" if front_end else "html"
    return "text" if shell else "off"


def mode() -> Mode:
    """Decide how to appear in this process, for the cell that runs now."""
    found = shell()
    return choose(
        wish(os.environ),
        shell=found is not None,
        kernel=in_kernel(found),
        front_end=_seen or _sends_metadata(found),
    )


def wish(environ: Any) -> str:
    """Give what ``NBQUEUE_DISPLAY`` asks for; says once when it is not a thing to ask for."""
    asked = str(environ.get(_VARIABLE) or "auto").strip().lower()
    if asked in _WISHES:
        return asked
    if asked not in _warned:
        _warned.add(asked)
        say(f"{_VARIABLE} is {asked!r}, but can only be {', '.join(_WISHES)}; 'auto' is used")
    return "auto"


def shell() -> Any:
    """Give the running IPython; ``None`` where there is none."""
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()


def in_kernel(found: Any) -> bool:
    """Say whether an IPython is a kernel's, which can display and update what it displayed."""
    return getattr(found, "kernel", None) is not None


def front_end_seen() -> None:
    """Take note that a front end has run our JavaScript: this kernel has somebody who looks."""
    global _seen
    _seen = True


def front_end_expected() -> bool:
    """Say whether somebody looks at this kernel, as far as is known."""
    return _seen or _sends_metadata(shell())


def _sends_metadata(found: Any) -> bool:
    """Say whether the request that runs now came with metadata."""
    try:
        parent = found.kernel.get_parent("shell")
        return bool(parent.get("metadata"))
    except (AttributeError, TypeError):  # no kernel, or one of another make
        return False
