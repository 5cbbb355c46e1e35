"""A TCP proxy that can cut every connection, or go silent."""

import asyncio
import threading
from contextlib import suppress
from enum import Enum, auto

from local.loopback import HOST, free_port

_CHUNK = 65_536


class Mode(Enum):
    """What the network does with bytes and with new connections."""

    PASS = auto()
    CUT = auto()
    """Connections are reset, and new ones too."""
    SILENT = auto()
    """Connections stay open, and no byte passes either way."""
    LOST_RESPONSES = auto()
    """Requests pass; connections are reset when the response comes."""


class Proxy:
    """Relays a port of its own, ``port``, to ``target``, from a thread of its own."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._mode = Mode.PASS
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._passes = asyncio.Event()
        self._passes.set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def set(self, mode: Mode) -> None:
        """Change what the network does, for open connections too."""
        asyncio.run_coroutine_threadsafe(self._set(mode), self._loop).result()

    def close(self) -> None:
        """Reset every connection and end."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._relay, HOST, self.port)

    async def _set(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.SILENT:
            self._passes.clear()
        else:
            self._passes.set()
        if mode is Mode.CUT:
            self._reset_all()

    def _reset_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passes.wait()
        if self._mode is Mode.CUT:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, server_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._copy(reader, server_writer, is_response=False),
                self._copy(server_reader, writer, is_response=True),
            )
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_response: bool
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._passes.wait()
                if is_response and self._mode is Mode.LOST_RESPONSES:
                    break
                writer.write(chunk)
                await writer.drain()
        # The end of one direction ends both: neither HTTP client nor server half-closes.
        writer.transport.abort()
