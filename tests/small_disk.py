"""A disk with little room, which can be filled and freed: a folder in memory of a few megabytes.

Mounting takes the rights of an administrator; `open_small_disk` gives `None` where they are
missing. The mount is undone when this process ends, however that ends.
"""

import contextlib
import subprocess
import tempfile
from pathlib import Path

SIZE_MB = 64
_HOLD = """
mount -t tmpfs -o size="$2"m,mode=700 tmpfs "$1" && echo ready && cat
umount -l "$1"
rmdir "$1"
"""
"""It reads until whoever has started it is gone."""


class SmallDisk:
    """A folder on a disk of its own; a context manager."""

    def __init__(self, folder, holder):
        self.folder = folder
        self._ballast = folder / "ballast"
        self._holder = holder

    def fill(self):
        """Leave no room at all."""
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:  # until there is no space
                file.write(b"\0" * 4096)

    def free(self):
        """Have room again."""
        self._ballast.unlink()

    def close(self):
        """Undo the mount."""
        self._holder.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def open_small_disk():
    """Give a small disk, or `None` where nothing may be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="nbq."))  # short: there are sockets in it
    holder = subprocess.Popen(
        ["sh", "-c", _HOLD, "sh", str(folder), str(SIZE_MB)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is not for it
    )
    if holder.stdout.readline() == b"ready\n":
        return SmallDisk(folder, holder)
    holder.communicate()
    return None
