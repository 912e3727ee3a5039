"""tqdm bars opened inside a task report as `progress` does, and are not drawn.

tqdm draws through its documented ``display`` method; it is replaced once, when tqdm is there. The
widget of ``tqdm.notebook`` would need a front end: in a worker its name stands for the plain bar.
"""

from __future__ import annotations

import io
from typing import Any

from nbqueue.worker.current import progress, reporting
from nbqueue.worker.process.imports import when_imported


def watch() -> None:
    """See to it that tqdm reports, now or when it is imported."""
    when_imported("tqdm.std", _report)
    when_imported("tqdm.notebook", _without_widgets)


class _Nowhere(io.StringIO):
    """Takes what a bar writes around its drawing: a line's end when it closes."""

    def write(self, text: str) -> int:
        return len(text)


_nowhere = _Nowhere()


def _report(module: Any) -> None:
    draw = module.tqdm.display

    def display(self: Any, msg: str | None = None, pos: int | None = None) -> Any:
        if reporting() is None:
            return draw(self, msg, pos)
        self.fp = _nowhere
        info = {"desc": self.desc.rstrip(": ")} if self.desc else {}
        progress(self.n, self.total, **info)
        return True

    module.tqdm.display = display


def _without_widgets(module: Any) -> None:
    module.tqdm_notebook = module.tqdm = module.std_tqdm
    module.tnrange = module.trange = lambda *args, **kwargs: module.tqdm(range(*args), **kwargs)
