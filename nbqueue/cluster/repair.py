"""A Redis that cannot read its own data: what can be saved of it, and where the rest is.

Called by the supervisor when Redis has ended because of its append-only file (a file that merely
ends in half a command Redis loads by itself). The damaged data is always kept, beside the new:

    copied aside ─► Redis's own checker cuts the file at the first bad place ─► Redis starts
                └──► that does not help: all of it stays aside, and Redis starts with nothing

It imports nothing but the standard library, and starts nothing that stays.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

_DAMAGED = re.compile(
    r"Bad file format reading the append only file"
    r"|Unexpected end of file reading the append only file"
    r"|AOF MANIFEST FILE ERROR"
    r"|The AOF file .* doesn't exist"
    r"|(?:Error|error) reading the RDB preamble"
    r"|Internal error in RDB|[Ww]rong signature trying to load|Short read or OOM loading DB"
    r"|RDB CRC error",
)
"""What Redis and Valkey log when their data is at fault, and not the disk or the memory."""

_CUT = re.compile(r"from (\d+) bytes, with \d+ bytes, to (\d+) bytes")
_CHECK_S = 60.0


def is_damaged(log: str) -> bool:
    """Say whether Redis's last words mean that it cannot read its data."""
    return _DAMAGED.search(log) is not None


def mend(folder: Path, server: str, log: str) -> str:
    """Make the data of ``folder`` readable as far as that goes; say what was done.

    ``log`` is what Redis said of it.

    Raises:
        OSError: it could not be copied aside; nothing was changed.
    """
    aside = _copied_aside(folder)
    # (The checker would take a list of files that is damaged for a file of data, and empty it.)
    cut = 0 if "MANIFEST" in log else _cut(folder, server)
    if cut:
        return (
            f"Redis's data was damaged at {time.strftime('%H:%M:%S')}; what came after the damage "
            f"({cut} bytes) is lost, and jobs with it; the damaged data is kept in {aside}"
        )
    return set_aside(folder, aside)


def set_aside(folder: Path, aside: Path | None = None) -> str:
    """Have Redis start with nothing; say so.

    Raises:
        OSError: the data could not be moved.
    """
    aside = aside or _copied_aside(folder)
    for path in _data(folder):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return (
        "Redis's data was damaged and could not be mended, so the cluster began anew with nothing: "
        f"its jobs are gone; the damaged data is kept in {aside}"
    )


def _data(folder: Path) -> list[Path]:
    found = [folder / "appendonlydir", *folder.glob("*.aof")]
    return [path for path in found if path.exists()]


def _copied_aside(folder: Path) -> Path:
    aside = name = folder / time.strftime("damaged-%Y%m%d-%H%M%S")
    count = 1
    while aside.exists():
        count += 1
        aside = name.with_name(f"{name.name}-{count}")
    aside.mkdir(mode=0o700)
    for path in _data(folder):
        if path.is_dir():
            shutil.copytree(path, aside / path.name)
        else:
            shutil.copy2(path, aside / path.name)
    return aside


def _cut(folder: Path, server: str) -> int:
    """Cut the append-only file at the first bad place; give how many bytes that took away."""
    files = [*folder.glob("appendonlydir/*.manifest"), *folder.glob("*.aof")]
    if not files:
        return 0
    # The server is its own checker, under another name; a package may lack the link of that name.
    name = "valkey-check-aof" if "valkey" in Path(server).name else "redis-check-aof"
    try:
        done = subprocess.run(
            [name, "--fix", str(files[0])],
            executable=server,
            input="y\n",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CHECK_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    found = _CUT.search(done.stdout)
    return int(found[1]) - int(found[2]) if found and done.returncode == 0 else 0
