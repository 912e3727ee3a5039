"""Whether packages were installed after this process began, which then may not find them.

What is imported stays as it is: a pandas that has looked for pyarrow once does not look again, and
what ``pip install -e`` puts in place is found by the processes that begin later.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

_BEGAN_S = time.time()
_FOLDERS = ("site-packages", "dist-packages")


def hint(question: str = "") -> str:
    """Give in brackets what may help where something cannot be loaded: if need be a question."""
    text = _since_began() or question
    return f" ({text})" if text else ""


def _since_began() -> str:
    folders = [path for path in map(str, sys.path) if path.endswith(_FOLDERS)]
    if not any(_changed_s(folder) > _BEGAN_S for folder in folders):
        return ""
    return (
        "packages were installed where this worker runs after it started, and it may not find "
        "them: restart it, then retry the job; `nbqueue down` ends the private cluster, and the "
        "next call starts it anew"
    )


def _changed_s(folder: str) -> float:
    try:
        return Path(folder).stat().st_mtime
    except OSError:
        return 0
