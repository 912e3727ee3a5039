"""IPython in a worker: a shell that runs cells, and puts out what they display.

The only module of the room that imports IPython; `cells` loads it when it is needed. One shell a
process, as IPython has it; each cell gets a namespace of its own. What a cell displays goes to the
item that is running (`capture.put_out`), in the shapes of nbformat 4.
"""

from __future__ import annotations

import json
import linecache
import os
import sys
import warnings
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

import IPython
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from traitlets import Type, observe
from traitlets.config import Config

from nbqueue.store.code.cell import Cell
from nbqueue.store.values.blobs import cache_folder, private_folder
from nbqueue.worker.capturing import capture
from nbqueue.worker.capturing.figures import INLINE, PYPLOT
from nbqueue.worker.process import greenlets
from nbqueue.worker.reporting.failures import message_of

_WIDGET = "application/vnd.jupyter.widget-view+json"
_TITLES = 64
"""Cells whose source lines are kept for tracebacks of functions that they defined."""

_IPYTHON = str(Path(IPython.__file__).parent)
_HERE = str(Path(__file__).parents[1])


def shell() -> CellShell:
    """Give this process's shell."""
    main = sys.modules["__main__"]
    # A cell's `sys.exit` ends the item, not IPython, which would advise how to leave it.
    warnings.filterwarnings("ignore", "To exit: use", module=r"IPython\.")
    try:
        made = CellShell.instance(config=_CONFIG, loop_runner=greenlets.run)
        if greenlets.in_use():  # `!command` by a pseudo-terminal waits without letting others run
            made.system = made.system_raw  # type: ignore[method-assign]  # for this shell
        return made
    finally:
        sys.modules["__main__"] = main


_CONFIG = Config(
    {
        # No files: a worker has no history, and no profile to take one from.
        "HistoryManager": {"enabled": False, "hist_file": ":memory:"},
    }
)


class Hook(DisplayHook):
    """Puts out the value of a cell's last expression."""

    cell: Cell | None = None
    value: Any = None

    def quiet(self) -> bool:
        """Say whether the cell ends in a semicolon (the base class asks the history)."""
        cell = self.cell
        return cell is not None and self.semicolon_at_end_of_expression(cell.source)

    def __call__(self, result: Any = None) -> None:
        """Show a value."""
        shown = self.cell is not None and not self.cell.expression
        quiet = shown and self.quiet()
        self.value = None if quiet else result
        if result is None or quiet or not shown:
            return
        data, metadata = self.compute_format_data(result)
        self.fill_exec_result(result)
        if data:
            put_out("execute_result", data, metadata)


class Publisher(DisplayPublisher):
    """Puts out what is displayed."""

    def publish(
        self,
        data: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        *args: Any,
        transient: Mapping[str, Any] | None = None,
        update: bool = False,
        **kwargs: Any,
    ) -> None:
        """Display a bundle, or bring one up to date."""
        kind = "update_display_data" if update else "display_data"
        put_out(kind, data, metadata or {}, transient)

    def clear_output(self, wait: bool = False) -> None:
        """Clear what the item has displayed."""
        capture.put_out({"output_type": "clear_output", "wait": bool(wait)})


class _Profile(ProfileDir):
    @observe("location")
    def _location_changed(self, change: Any) -> None:
        """Make none of the folders of a profile."""


class Compiler(CachingCompiler):
    """Calls code by its cell's title."""

    title = "<cell>"

    def __init__(self) -> None:
        super().__init__()
        self._titles: OrderedDict[str, None] = OrderedDict()

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        """Give the title, and forget the lines of cells of long ago."""
        self._titles[self.title] = None
        self._titles.move_to_end(self.title)
        if len(self._titles) > _TITLES:
            old, _ = self._titles.popitem(last=False)
            linecache.cache.pop(old, None)
            self._filename_map.pop(old, None)
        return self.title

    def format_code_name(self, name: str) -> tuple[str, str] | None:
        """Have tracebacks say ``Cell TITLE``."""
        return ("Cell", name) if name in self._filename_map else None


class CellShell(InteractiveShell):
    """Runs cells of the queue."""

    compiler_class = Type(Compiler)
    displayhook_class = Type(Hook)
    display_pub_class = Type(Publisher)
    displayhook: Hook
    compile: Compiler

    _cell: Cell | None = None
    _sent: frozenset[str] = frozenset()

    def run(self, cell: Cell, namespace: dict[str, Any]) -> Any:
        """Run a cell in a namespace; gives the value of its last expression.

        Raises:
            BaseException: whatever the cell raised; its traceback begins in the cell.
        """
        with self._home_to(cell, namespace):
            result = self.run_cell(cell.source)
        exc = result.error_before_exec or result.error_in_exec
        if exc is not None:
            raise exc.with_traceback(_theirs(exc.__traceback__))
        value, self.displayhook.value = self.displayhook.value, None
        return value

    @contextmanager
    def _home_to(self, cell: Cell, namespace: dict[str, Any]) -> Iterator[None]:
        """Make a cell's namespace the shell's, and the process's ``__main__``, for a while."""
        main = sys.modules["__main__"]
        backend = os.environ.get("MPLBACKEND")
        self._sent = frozenset(namespace)
        namespace.setdefault("__name__", "__main__")
        self.user_module, self.user_ns = self.prepare_user_module(None, namespace)
        self.init_user_ns()
        sys.modules["__main__"] = self.user_module
        self._cell = self.displayhook.cell = cell
        self.displayhook.value = None
        self.compile.title = cell.title
        self.compile.reset_compiler_flags()
        os.environ["MPLBACKEND"] = INLINE
        self._draw_inline()
        try:
            yield
        finally:
            if backend is None:
                os.environ.pop("MPLBACKEND", None)
            else:
                os.environ["MPLBACKEND"] = backend
            # Functions of the cell are pickled after this, and by value: a plain pickle would name
            # them, but finds no `__main__` that has them.
            sys.modules["__main__"] = main
            self._cell = self.displayhook.cell = None
            self._forget()

    def _draw_inline(self) -> None:
        """Have figures go to the notebook, where a task has had matplotlib do otherwise."""
        matplotlib = sys.modules.get("matplotlib")
        if matplotlib is None:
            return  # then the environment decides, if the cell imports it
        matplotlib.interactive(True)  # the cell before may have said plt.ioff()
        if PYPLOT not in sys.modules:
            matplotlib.rcParams["backend"] = INLINE
        elif "inline" not in sys.modules[PYPLOT].get_backend():
            self.enable_matplotlib("inline")

    def _forget(self) -> None:
        """Let go of what the cell had in its hands."""
        self.user_module, self.user_ns = self.prepare_user_module(None, {})
        self.last_execution_result = None
        self.InteractiveTB.tb = None
        if PYPLOT in sys.modules:
            sys.modules[PYPLOT].close("all")  # what the cell kept open ends with it
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            sys.__dict__.pop(name, None)

    # -- IPython's ways, for a process without a person ----------------------------------------

    def init_ipython_dir(self, ipython_dir: Any) -> None:
        """Have no folder of settings."""

    def init_profile_dir(self, profile_dir: Any) -> None:
        """Have a profile of no files; IPython 8 wants a folder for its store of values."""
        self.profile_dir = _Profile(
            location=str(private_folder(cache_folder().with_name("ipython")))
        )

    def init_virtualenv(self) -> None:
        """Leave the path alone."""

    def init_sys_modules(self) -> None:
        """Leave ``__main__`` alone: it is replaced for each cell."""

    def init_prompts(self) -> None:
        """Have no prompts: their presence tells libraries that a person is there."""

    def enable_gui(self, gui: Any = None) -> None:
        """Run no event loop of a window system."""

    def ask_exit(self) -> None:
        """End the cell."""
        raise SystemExit

    def _tee(self, channel: str) -> Any:
        return nullcontext()  # the base class keeps a copy of all output in its history

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        """Put out an exception's traceback, with a hint where the cell lacks a name."""
        etype, value, tb = self._get_exc_info(exc_tuple)
        if self._cell is not None:
            _hint(value, self._cell, self._sent)
        kwargs["exception_only"] = False
        super().showtraceback((etype, value, _up_to_ours(tb)), *args, **kwargs)

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        try:
            says, message = str(evalue), message_of(evalue)
        except Exception as broken:  # an exception's own __str__ may raise anything
            says, message = "", f"<its __str__ raised {type(broken).__name__}>"
        capture.put_out(
            {
                "output_type": "error",
                "ename": getattr(etype, "__name__", str(etype)),
                "evalue": message,
                "traceback": [s.replace(says, message) for s in stb] if says else list(stb),
            }
        )


def put_out(
    kind: str,
    data: Mapping[str, Any],
    metadata: Mapping[str, Any],
    transient: Mapping[str, Any] | None = None,
) -> None:
    """Hand a bundle to the item that is running; outside of items, print its text."""
    output: dict[str, Any] = {
        "output_type": kind,
        # A view of a widget needs the widget's own process, which no front end talks to.
        "data": {mime: _plain(mime, value) for mime, value in data.items() if mime != _WIDGET},
        "metadata": _jsonable(metadata),
    }
    if kind == "execute_result":
        output["execution_count"] = None
    elif transient:
        output["transient"] = _jsonable(transient)
    if not capture.put_out(output) and "text/plain" in data:
        sys.stdout.write(f"{data['text/plain']}\n")


def _plain(mime: str, value: Any) -> Any:
    """Give data of one MIME type as a notebook file holds it."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b64encode(value).decode()
    return value if isinstance(value, str) else _jsonable(value)


def _jsonable(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str, skipkeys=True))


def _theirs(tb: TracebackType | None) -> TracebackType | None:
    """Leave out the frames that lead to the cell."""
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_IPYTHON):
        tb = tb.tb_next
    return tb


def _up_to_ours(tb: TracebackType | None) -> TracebackType | None:
    """Leave out the frames of this room in which an exception was raised: a time limit's, say."""
    frames: list[TracebackType] = []
    while tb is not None:
        frames.append(tb)
        tb = tb.tb_next
    whole = frames[0] if frames else None
    ours = [frame.tb_frame.f_code.co_filename.startswith(_HERE) for frame in frames]
    if not any(ours) or not ours[-1]:
        return whole
    while ours and ours.pop():
        frames.pop()
    shorter: TracebackType | None = None
    for each in reversed(frames):
        shorter = TracebackType(shorter, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return shorter or whole


def _hint(exc: BaseException, cell: Cell, sent: frozenset[str]) -> None:
    """Say in a NameError how the name gets to the worker."""
    if type(exc) is not NameError or exc.name is None or exc.name in sent:
        return
    name = exc.name
    if name in cell.missing and cell.after:
        before = cell.after[0] if len(cell.after) == 1 and cell.after[0].isidentifier() else "job"
        hint = (
            f"--after passes no names on: {before}.pull() brings {name!r} to the notebook, if it "
            "was assigned there; then send this cell again"
        )
    elif name in cell.missing:
        hint = f"the notebook had no {name!r} when it sent the cell: define it there first"
    else:
        hint = f"it was not sent with the cell: if the notebook has it, add --in {name}"
    if hint not in str(exc):
        exc.args = (f"{exc} ({hint})",)
