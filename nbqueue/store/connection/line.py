"""A line: one connection that is kept, for commands that a person waits for.

redis-py's client takes a connection out of its pool for each command, looks whether it is alive,
wraps the command for retries and measurements, and puts it back: together more than the command
itself, and a quick call's latency is made of two of them. A line skips all that by redis-py's own
public way down (`single_connection_client`, `send_packed_command`, `read_response`); whenever
anything is not as it should be, the client has the command instead, with all its retries.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import redis


class Line:
    """Sends one command after another over a connection of its own.

    Only for commands that may be run twice: one whose reply was lost is sent again.
    """

    def __init__(self, store: redis.Redis) -> None:
        self._store: Any = store
        self._free = threading.Lock()
        self._client: Any = None
        self._pid = 0

    def ask(self, *command: Any) -> Any:
        """Run a command, one of those whose reply redis-py hands on as it is, and give that.

        Raises:
            redis.RedisError: as the client does.
        """
        if not self._free.acquire(blocking=False):  # another thread is waiting for its reply
            return self._store.execute_command(*command)
        try:
            return self._ask(command)
        except redis.exceptions.NoScriptError:
            raise
        except (redis.RedisError, OSError):
            return self._store.execute_command(*command)
        finally:
            self._free.release()

    def close(self) -> None:
        """Hang up; the next command connects anew."""
        if self._client is not None and self._pid == os.getpid():
            self._client.connection.disconnect()

    def _ask(self, command: tuple[Any, ...]) -> Any:
        if self._client is None or self._pid != os.getpid():
            self._pid = os.getpid()
            self._client = self._store.client()
        connection = self._client.connection
        try:
            connection.send_packed_command(connection.pack_command(*command))
            return connection.read_response()
        except redis.ResponseError:
            raise
        except BaseException:
            # Also when interrupted: the reply, still under way, would be the next command's.
            connection.disconnect()
            raise
