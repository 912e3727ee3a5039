"""The widgets' JavaScript: files of one idea each, put together for anywidget.

    static/shared/*.js, static/job/*.js ──module──► one ES module ──anywidget──► a Blob URL

A module that comes from a Blob URL cannot import its neighbours, and a build step would have to run
wherever this is installed from its sources. The files share one scope; each name is in one of them.
"""

from __future__ import annotations

from pathlib import Path

STATIC = Path(__file__).parent / "static"


def module(*folders: str) -> str:
    """Give the files of some folders of ``static`` as one module.

    >>> module("shared").count("export function keepPage")
    1
    """
    files = [file for folder in folders for file in sorted(STATIC.glob(f"{folder}/*.js"))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)
