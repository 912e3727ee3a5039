"""A Redis of one's own: the same kind that nbqueue's embedded cluster starts, for Celery's sake.

A Unix socket in a private folder, no TCP port, an append-only file synced every second.
"""

import subprocess
import time
from pathlib import Path

STARTS_WITHIN_S = 10.0


class PrivateRedis:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"

    @property
    def url(self) -> str:
        """In the form that both Celery's broker and its result backend take."""
        return f"redis+socket://{self.socket}"

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        options += ["--dir", str(self.folder), "--save", ""]
        options += ["--appendonly", "yes", "--appendfsync", "everysec"]
        self.process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"redis-server did not open {self.socket}")
            time.sleep(0.01)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
