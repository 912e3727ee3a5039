"""The magics: ``%%enqueue``, ``%enqueue``, ``%jobs``, ``%cancel``, ``%workers``, ``%schedules``.

A thin shell: `parsing` reads the line, `analysis` the cell, `cells` sends, `display` shows. What a
person can mend is one line, as IPython shows its own usage errors.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError as OneLine
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
)

from nbqueue.client.connecting import default_client
from nbqueue.client.job import Job
from nbqueue.client.reaching import cluster
from nbqueue.client.reaching import job as find_job
from nbqueue.client.reaching import jobs as list_jobs
from nbqueue.client.reaching import schedules as list_schedules
from nbqueue.client.reaching import workers as list_workers
from nbqueue.client.saying import say
from nbqueue.core.errors import InfrastructureError, UsageError
from nbqueue.notebook import (
    analysis,
    cells,
    completion,
    display,
    failing,
    modes,
    parsing,
    shelltext,
    unheard,
)
from nbqueue.notebook.analysis import Analysis
from nbqueue.notebook.parsing import Enqueue

if TYPE_CHECKING:
    import pandas as pd


class NotPython(OneLine):
    """A cell with a syntax error; shown as IPython shows its own."""

    def __init__(self, message: str, shown: list[str]) -> None:
        super().__init__(message)
        self._shown = shown

    def _render_traceback_(self) -> list[str]:
        return self._shown


NotPython.__name__ = "SyntaxError"  # which front ends show beside the message


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except (UsageError, InfrastructureError) as exc:
        raise OneLine(str(exc)) from exc


@magics_class
class QueueMagics(Magics):
    """What ``%load_ext nbqueue`` brings."""

    shell: Any

    @no_var_expand
    @line_cell_magic
    def enqueue(self, line: str, cell: str | None = None) -> Job | None:
        """Send a cell or an expression to a worker; replaced by the text of ``-h``."""
        __tracebackhide__ = True  # what fails with --wait failed in the cell
        with _in_one_line():
            if cell is None:
                return self._expression(parsing.parse_expression(line, self._expand))
            self._cell(parsing.parse_cell(line, self._expand), cell)
            return None

    enqueue.__doc__ = parsing.HELP

    def _cell(self, request: Enqueue, body: str) -> None:
        if request.help:
            print(parsing.HELP)
            return
        if not body.strip():
            raise UsageError(
                "the cell is empty, so there is nothing to send: write what is to run below the "
                "first line, or send one expression with %enqueue EXPRESSION"
            )
        with self._shown_as_syntax_error(body):
            found = analysis.analyse(body, cells.title(request))
        job = self._send(request, body, found)
        if request.name is not None:
            self._bind(request.name, job, pulled=request.names_out or found.assigns)
        if request.wait and modes.mode() == "text":
            failing.until_over(job)  # text is shown once: as it ended
        display.show(job, raises=request.wait)
        if request.wait:
            failing.wait(job)
            job.pull()

    def _bind(self, name: str, job: Job, *, pulled: Sequence[str]) -> None:
        """Make a job a variable; say so where that hides something, or is hidden itself."""
        before = self.shell.user_ns.get(name)
        self.shell.user_ns[name] = job
        if hasattr(builtins, name):
            say(f"{name!r} is the job now; del {name} gives Python's own back")
        elif not (before is None or isinstance(before, Job) or name in pulled):
            kind = type(before).__name__
            say(f"{name!r} is the job now; the {kind} that it was is gone, but for its other names")
        if name in pulled:
            say(
                f"the cell assigns {name!r}, too: pull() puts that in the job's place, and then "
                f"nq.job({job.name!r}) gives the job"
            )

    def _expression(self, request: Enqueue) -> Job | None:
        source = request.expression or ""
        if request.help:
            print(parsing.HELP)
            return None
        with self._shown_as_syntax_error(source):
            found = analysis.analyse(source, cells.title(request))
        if not analysis.is_expression(source):
            raise UsageError(
                "%enqueue sends one expression; for statements write %%enqueue, and the cell below "
                "it"
            )
        job = self._send(request, source, found)
        if request.wait:
            failing.until_over(job)
        return job  # which IPython displays, unless it is assigned

    def _send(self, request: Enqueue, source: str, found: Analysis) -> Job:
        names = self.shell.user_ns
        cell = cells.build(source, found, request, names, self.shell.user_ns_hidden)
        client = default_client()
        job = cells.send(client, cell, request, names)
        if job.n == 0:
            say(f"--for went through no values, so job {job.name!r} has no items")
        if (line := cells.unknowns(found, request)) is not None:
            say(line)
        if request.queue is not None:
            unheard.warn_later(client, request.queue)
        return job

    def _expand(self, text: str) -> str:
        return shelltext.expand(text, self.shell.user_ns)

    @contextmanager
    def _shown_as_syntax_error(self, source: str) -> Iterator[None]:
        try:
            yield
        except SyntaxError as exc:
            if exc.text is None and exc.lineno is not None:  # what the compiler alone finds
                exc.text = "".join(source.splitlines(keepends=True)[exc.lineno - 1 : exc.lineno])
            shown = self.shell.SyntaxTB.structured_traceback(type(exc), exc, [])
            raise NotPython(str(exc), shown) from None

    # -- looking, cancelling -----------------------------------------------------------------------

    @line_magic
    def jobs(self, line: str) -> pd.DataFrame | None:
        """List jobs, the latest first: ``%jobs [-n N] [PATTERN]``.

        PATTERN is part of a job's name, or has ``*`` and ``?`` in it; ``-n 5`` gives the latest
        five. The result is a DataFrame, as of ``nq.jobs()``, but its times are this machine's, to
        the second.
        """
        with _in_one_line():
            words = parsing.words(line)
            most = _option(words, "-n")
            if words and words[0].startswith("-"):
                raise UsageError(f"%jobs has no option {words[0]}; %jobs [-n N] [PATTERN]")
            if len(words) > 1:
                raise UsageError("%jobs takes one pattern: %jobs [-n N] [PATTERN]")
            frame = list_jobs()
            times = ("submitted", "finished")
            frame = frame.assign(**{column: _by_the_clock(frame[column]) for column in times})
            if words:
                pattern = words[0] if set(words[0]) & set("*?[") else f"*{words[0]}*"
                frame = frame[[fnmatchcase(str(name), pattern) for name in frame["name"]]]
            return frame if most is None else frame.head(most)

    @line_magic
    def cancel(self, line: str) -> None:
        """Cancel jobs: ``%cancel NAME... [--terminate]``.

        NAME is a variable of the notebook's that is a job, or a job's name or id. Items that run
        now end unrecorded; with ``--terminate`` the processes that run them are killed.
        """
        with _in_one_line():
            words = parsing.words(line)
            terminate = "--terminate" in words
            names = [word for word in words if word != "--terminate"]
            if not names or any(name.startswith("-") for name in names):
                raise UsageError("%cancel takes names of jobs: %cancel NAME... [--terminate]")
            jobs = [self._job(name) for name in names]  # all of them, before any is cancelled
            for job in jobs:
                count = job.cancel(terminate=terminate)
                print(f"{job.name}: {count:,} of {job.n:,} items cancelled")

    def _job(self, name: str) -> Job:
        value = self.shell.user_ns.get(name)
        return value if isinstance(value, Job) else find_job(name)

    @line_magic
    def workers(self, line: str) -> Any:
        """Show the workers: what they run, and how busy they are.

        The result is the client, which a notebook displays as its cluster, or in a terminal a
        DataFrame, as of ``nq.workers()``.
        """
        with _in_one_line():
            _no_words(line, "%workers")
            return cluster() if modes.mode() in ("widget", "html") else list_workers()

    @line_magic
    def schedules(self, line: str) -> pd.DataFrame | None:
        """List what is scheduled: a DataFrame, as of ``nq.schedules()``."""
        with _in_one_line():
            _no_words(line, "%schedules")
            return list_schedules()


def _by_the_clock(times: pd.Series[Any]) -> pd.Series[Any]:
    """Give times (UTC) as the clock on the wall shows them, to the second."""
    import numpy as np
    import pandas as pd

    # One by one: each has its own daylight saving time.
    local = [None if pd.isna(t) else t.to_pydatetime().astimezone() for t in times]
    shown = [None if t is None else t.replace(tzinfo=None, microsecond=0) for t in local]
    return pd.Series(np.array(shown, dtype="datetime64[s]"), index=times.index)


def _option(words: list[str], option: str) -> int | None:
    """Take an option with a whole number out of a magic's words."""
    if option not in words:
        return None
    place = words.index(option)
    value = words[place + 1] if place + 1 < len(words) else ""
    if not value.isdecimal():
        raise UsageError(f"{option} takes a whole number, not {value!r}")
    del words[place : place + 2]
    return int(value)


def _no_words(line: str, magic: str) -> None:
    if line.strip():
        raise UsageError(f"{magic} takes no arguments, got {line.strip()!r}")


def _alone(lines: list[str]) -> list[str]:
    """Give the words of ``%%enqueue`` when it has no body, which IPython refuses."""
    first = lines[0].split() if lines else []
    return first if first[:1] == ["%%enqueue"] and not "".join(lines[1:]).strip() else []


def _help_without_a_body(lines: list[str]) -> list[str]:
    """Let ``%%enqueue -h`` stand alone."""
    return ["%enqueue --help\n"] if {"-h", "--help"} & set(_alone(lines)) else lines


def _without_a_body(lines: list[str]) -> list[str]:
    """Have `QueueMagics` say what is missing, where IPython would propose ``%enqueue``."""
    return [f"{lines[0].rstrip()}\n", "\n"] if _alone(lines) else lines


# Else IPython would take the first line, as it is typed in a terminal, for the whole cell.
_without_a_body.has_side_effects = True  # type: ignore[attr-defined]  # IPython's way

_TRANSFORMS: tuple[Callable[[list[str]], list[str]], ...] = (_help_without_a_body, _without_a_body)


def load(shell: Any) -> None:
    """Add the magics to an IPython; any number of times."""
    shell.register_magics(QueueMagics)
    transforms: list[Callable[[list[str]], list[str]]] = shell.input_transformers_cleanup
    transforms.extend(each for each in _TRANSFORMS if each not in transforms)
    completion.install(shell)


def unload(shell: Any) -> None:
    """Take the magics away again."""
    for kind, names in (
        ("line", ("enqueue", "jobs", "cancel", "workers", "schedules")),
        ("cell", ("enqueue",)),
    ):
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    completion.remove(shell)
    for each in _TRANSFORMS:
        if each in shell.input_transformers_cleanup:
            shell.input_transformers_cleanup.remove(each)
