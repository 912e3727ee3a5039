"""``nbqueue lab``: JupyterLab, opened on the quickstart.

The notebooks come with the package, and the pages that they lead to. They are copied into a folder
of the user's first: they are there to be run and changed, and what pip (or git) has put somewhere
is not. What the folder has already stays as it is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nbqueue.cli import parsing
from nbqueue.core.errors import InfrastructureError, UsageError

QUICKSTART = "01_quickstart.ipynb"

_FOLDER = "nbqueue-notebooks"

_NEEDED = {
    "jupyterlab": "jupyterlab",
    "ipykernel": "ipykernel",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
}
"""What JupyterLab and the quickstart import, and what pip calls it."""

_PLACES = (
    Path(__file__).with_name("notebooks"),  # an installed wheel (pyproject.toml puts them there)
    Path(__file__).parents[2] / "notebooks",  # a clone
)

_EPILOG = f"""\
examples:
  nbqueue lab                          JupyterLab in a browser; notebooks in ./{_FOLDER}
  nbqueue lab --folder try             notebooks in ./try
  nbqueue lab --no-browser --port 9999 arguments of `jupyter lab` are passed on
"""


def add(commands: Any) -> None:
    """Add the command."""
    sub = parsing.add(
        commands,
        "lab",
        lab,
        "open JupyterLab on the quickstart, with copies of all notebooks",
        passes_on=True,
        usage="nbqueue lab [--folder FOLDER] [any argument of `jupyter lab`]",
        epilog=_EPILOG,
    )
    sub.add_argument(
        "--folder",
        type=Path,
        default=Path(_FOLDER),
        metavar="FOLDER",
        help="where the copies go; files that are there stay (default: %(default)s)",
    )


def lab(options: argparse.Namespace) -> int:
    """Become JupyterLab; returns only when it cannot."""
    if missing := [name for module, name in _NEEDED.items() if find_spec(module) is None]:
        raise UsageError(
            f"`nbqueue lab` needs {', '.join(missing)}, not installed in {sys.prefix}: "
            "pip install 'nbqueue[lab]'"
        )
    folder = options.folder.resolve()
    copied = _copy_into(folder)
    print(f"notebooks and pages: {folder} ({copied} new)", flush=True)
    # In place of this process: Ctrl-C, signals and the exit status are JupyterLab's own.
    os.execv(sys.executable, _command(folder, options.rest))


def _command(folder: Path, rest: list[str]) -> list[str]:
    """Give JupyterLab's command line; by its address the quickstart opens without a browser, too.

    >>> _command(Path("/books"), ["--no-browser"])[1:]  # doctest: +NORMALIZE_WHITESPACE
    ['-m', 'jupyterlab', '--ServerApp.root_dir=/books',
     '--LabApp.default_url=/lab/tree/01_quickstart.ipynb', '--no-browser']
    """
    return [
        *(sys.executable, "-m", "jupyterlab"),
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab/tree/{QUICKSTART}",
        *rest,
    ]


def _copy_into(folder: Path) -> int:
    """Copy the notebooks that the folder lacks; gives how many those were."""
    source = next((place for place in _PLACES if (place / QUICKSTART).exists()), None)
    if source is None:
        raise InfrastructureError(
            f"{QUICKSTART} is not in this installation (looked in "
            f"{' and '.join(map(str, _PLACES))}): pip install --force-reinstall nbqueue"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        books = (path for path in source.iterdir() if path.suffix in {".ipynb", ".md"})
        lacking = [path for path in books if not (folder / path.name).exists()]
        for path in lacking:
            shutil.copyfile(path, folder / path.name)
    except OSError as exc:
        raise UsageError(f"{folder} cannot be written ({exc.strerror}): choose a --folder") from exc
    return len(lacking)
