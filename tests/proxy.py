"""A TCP proxy on loopback that plays a network which goes: cut off, or silent, and whole again.

    cut()       connections are reset, new ones refused: the server, or its machine, is down
    silence()   connections stay and nothing gets through, new ones hear nothing: packets are lost
    heal()      connections are taken again, and what was held back gets through

In a thread of its own, so that a test may block. For any server that speaks over TCP.
"""

import asyncio
import contextlib
import socket
import struct
import threading

_RESET = struct.pack("ii", 1, 0)
"""Linger for no time: closing resets the connection instead of ending it in order."""


class Proxy:
    """Forwards connections on ``port`` of 127.0.0.1 to a server; a context manager."""

    def __init__(self, port, host="127.0.0.1"):
        self._to = host, port
        self._server = None
        self._writers = set()
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0
        self.connections = 0
        """How many were taken so far."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._do(self._listen())

    def cut(self):
        """Reset all connections, and refuse new ones."""
        self._do(self._cut())

    def silence(self):
        """Let nothing through."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def heal(self):
        """Let everything through again."""
        self._do(self._listen())

    def close(self):
        """End the proxy and all that goes through it."""
        self._do(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self):
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self):
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            with contextlib.suppress(OSError):  # it is closed already
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET
                )
            writer.transport.abort()
        tasks = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        # (asyncio would log the end of each connection that is cut.)
        with contextlib.suppress(asyncio.CancelledError):
            await self._forward(reader, writer)

    async def _forward(self, reader, writer):
        self.connections += 1
        self._writers.add(writer)
        await self._flows.wait()
        try:
            there, back = await asyncio.open_connection(*self._to)
        except OSError:  # the server is down: its port would have refused
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(back)
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except asyncio.CancelledError:
            pass  # by `_cut`; asyncio's own callback (3.11) trips over a task that was cancelled
        finally:
            for end in (writer, back):
                self._writers.discard(end)
                end.transport.abort()

    async def _pump(self, reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):  # both ends may hang up at once
            if not writer.transport.is_closing() and writer.can_write_eof():
                writer.write_eof()
