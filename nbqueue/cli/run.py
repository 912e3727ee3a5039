"""``nbqueue run NOTEBOOK``: whole notebooks on the workers, and the executed copies in a folder."""

from __future__ import annotations

import argparse
import ast
import itertools
import re
from pathlib import Path
from typing import Any

from nbqueue.cli import parsing
from nbqueue.cli.jobwork import client_of

_EPILOG = """\
Values and expressions are Python's; what is none is text. Parameters take the place of those in the
cell that is tagged "parameters", as papermill has it.

examples:
  nbqueue run report.ipynb                               one run; report-executed.ipynb
  nbqueue run report.ipynb -p year=2025 -o done          done/report-year=2025.ipynb
  nbqueue run fit.ipynb --for 'depth=range(2, 9)' --for lr=0.1,0.3 -o fits
  nbqueue run report.ipynb -p year=2025 --cache          the copy at once if it has run before
"""

_NOT_IN_NAMES = re.compile(r"[^\w.=,+-]+")
"""What does not go into the names of files."""

_LONGEST = 120


def add(commands: Any) -> None:
    """Add the command."""
    sub = parsing.add(
        commands,
        "run",
        run,
        "run a notebook on the workers, once or for each of many parameters",
        epilog=_EPILOG,
    )
    sub.add_argument("notebook", type=Path, metavar="NOTEBOOK", help="an .ipynb file")
    sub.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        type=_assigned,
        metavar="NAME=VALUE",
        help="a parameter of all runs",
    )
    sub.add_argument(
        "--for",
        dest="each",
        action="append",
        default=[],
        type=_assigned,
        metavar="NAME=VALUES",
        help="a run for each value (a list, a range, or values with commas); several times: for "
        "each combination",
    )
    sub.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="where the executed copies go (default: here)",
    )
    sub.add_argument("--name", help="a name for the job")
    sub.add_argument(
        "--kernel",
        metavar="NAME",
        help="the kernel to run in (default: the one that the notebook says)",
    )
    sub.add_argument("-q", "--queue", help="the queue to send to")
    sub.add_argument(
        "--time-limit", type=parsing.seconds, metavar="S", help="seconds that a run may take"
    )
    sub.add_argument(
        "--cache",
        action="store_true",
        help="give the earlier copy where the same notebook ran before with the same parameters",
    )
    sub.add_argument(
        "--no-cache",
        dest="cache",
        action="store_const",
        const="refresh",
        help="run it in any case; what comes out is what --cache then gives",
    )
    parsing.add_urls(sub, "default: $NBQUEUE_BROKER, else the private cluster")


def run(options: argparse.Namespace) -> int:
    """Run it; 0 when every run succeeded."""
    from nbqueue.client.notebooks import run_notebook
    from nbqueue.core.errors import NotebookFailed

    sets = _sets(options.parameter, options.each)
    with client_of(options):
        job = run_notebook(
            options.notebook,
            sets,
            name=options.name,
            kernel=options.kernel,
            queue=options.queue,
            time_limit=options.time_limit,
            cache=options.cache,
        )
        print(f"job {job.name}: {len(sets)} run{'s' if len(sets) > 1 else ''}", flush=True)
        options.output.mkdir(parents=True, exist_ok=True)
        good = True
        for future in job.as_completed():
            failed = future.exception()
            text = future.result() if failed is None else getattr(failed, "notebook", "")
            path = options.output / _file_name(options.notebook.stem, sets[future.index])
            said = ["SUCCESS" if failed is None else "FAILURE"]
            if job._live.state.cached[future.index]:
                said.append("(from the cache)")
            if text:
                path.write_text(text, encoding="utf-8")
                said.append(str(path))
            if failed is not None:
                good = False
                kind = "" if isinstance(failed, NotebookFailed) else f"{type(failed).__name__}: "
                said.append(f"{kind}{failed}")
            print("  ".join(said), flush=True)
    return 0 if good else 1


def _assigned(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip().isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.strip(), value


def _sets(fixed: list[tuple[str, str]], each: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Give the parameters of each run.

    >>> _sets([("a", "1"), ("b", "text")], [("x", "range(2)"), ("y", "u,v")])[1:3]
    [{'a': 1, 'b': 'text', 'x': 0, 'y': 'v'}, {'a': 1, 'b': 'text', 'x': 1, 'y': 'u'}]
    """
    always = {name: _value(text) for name, text in fixed}
    axes = [[(name, value) for value in _values(text)] for name, text in each]
    return [{**always, **dict(chosen)} for chosen in itertools.product(*axes)]


def _values(text: str) -> list[Any]:
    if found := re.fullmatch(r"\s*range\(\s*(-?\d+(?:\s*,\s*-?\d+){0,2})\s*,?\s*\)\s*", text):
        return list(range(*(int(part) for part in found[1].split(","))))
    value = _value(text)
    if isinstance(value, (list, tuple)):
        return list(value)
    return [_value(part) for part in text.split(",")] if isinstance(value, str) else [value]


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text


def _file_name(stem: str, parameters: dict[str, Any]) -> str:
    """Give a name for an executed copy.

    >>> _file_name("fit", {"depth": 2, "word": "a/b c"}), _file_name("fit", {})
    ('fit-depth=2,word=a_b_c.ipynb', 'fit-executed.ipynb')
    """
    shown = ",".join(f"{name}={value}" for name, value in parameters.items())
    return f"{stem}-{_NOT_IN_NAMES.sub('_', shown)[:_LONGEST] or 'executed'}.ipynb"
