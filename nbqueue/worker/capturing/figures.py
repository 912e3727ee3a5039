"""matplotlib's figures of a task: shown where ``plt.show()`` is, or when the item ends.

A worker imports no matplotlib for it: figures are looked for only where pyplot is loaded. Cells are
not meant: there IPython's inline backend does the same (`shell`).
"""

from __future__ import annotations

import os
import sys
import traceback
from base64 import b64encode
from io import BytesIO
from typing import Any

from nbqueue.worker.capturing import capture
from nbqueue.worker.current import reporting
from nbqueue.worker.process.imports import when_imported

PYPLOT = "matplotlib.pyplot"
INLINE = "module://matplotlib_inline.backend_inline"


def watch() -> None:
    """See to it that figures need no window, and that ``plt.show()`` puts them out."""
    if os.environ.get("MPLBACKEND", INLINE) == INLINE:
        os.environ["MPLBACKEND"] = "agg"  # inline figures need IPython
    when_imported(PYPLOT, _put_out_by_show)


def _put_out_by_show(pyplot: Any) -> None:
    show = pyplot.show

    def show_here(*args: Any, **kwargs: Any) -> Any:
        """Show all open figures, under the cell that sent the running item."""
        if reporting() is None or "inline" in pyplot.get_backend():
            return show(*args, **kwargs)
        return put_out()

    pyplot.show = show_here


def put_out() -> None:
    """Display the figures that are open, and close them (call only where pyplot is loaded)."""
    pyplot: Any = sys.modules[PYPLOT]
    for number in getattr(pyplot, "get_fignums", list)():  # it may be in the middle of its import
        try:
            figure = pyplot.figure(number)
            file = BytesIO()
            figure.savefig(file, format="png", bbox_inches="tight")
            data = {"image/png": b64encode(file.getvalue()).decode(), "text/plain": repr(figure)}
            capture.put_out({"output_type": "display_data", "data": data, "metadata": {}})
        except Exception:  # drawing runs anybody's code; the item itself has succeeded
            traceback.print_exc()
        finally:
            pyplot.close(number)
