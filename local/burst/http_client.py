"""Send requests to one HTTP server, over kept connections, at a third of aiohttp's CPU.

A burst shares the cores of the stack that it measures, so its own cost must be small. The server is
a stack's API, whose responses always have a Content-Length. One event loop may use a client.
"""

import asyncio
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

# What ``post`` raises if there is no complete response. IncompleteReadError is an EOFError.
NO_RESPONSE = (OSError, EOFError, asyncio.LimitOverrunError, TimeoutError)

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+) *\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close *\r\n", re.IGNORECASE)

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HttpClient:
    """Posts bodies to one URL.

    Args:
        url: the URL.
        headers: further headers of each request.
        timeout_s: timeout of a call, its connection included.
    """

    def __init__(self, url: str, headers: Mapping[str, str], *, timeout_s: float) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname, parts.port or 80
        self._timeout_s = timeout_s
        lines = {"Host": parts.netloc, **headers}
        self._head = f"POST {parts.path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in lines.items()
        )
        self._kept: list[_Connection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for _, writer in self._kept:
            writer.close()

    async def post(self, body: bytes) -> tuple[int, bytes]:
        """Send a body; return the status and the body of the response.

        Raises:
            NO_RESPONSE: whether the server has handled the request is unknown.
        """
        async with asyncio.timeout(self._timeout_s):
            connection = self._take() or await asyncio.open_connection(*self._address)
            try:
                status, content, is_kept = await self._exchange(*connection, body)
            except BaseException:
                connection[1].transport.abort()
                raise
        if is_kept:
            self._kept.append(connection)
        else:
            connection[1].close()
        return status, content

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes
    ) -> tuple[int, bytes, bool]:
        writer.write(f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if not status or not length:
            raise EOFError("the response has no status or no Content-Length")
        content = await reader.readexactly(int(length[1]))
        return int(status[1]), content, not _CLOSE.search(head)

    def _take(self) -> _Connection | None:
        """Return a kept connection that the server has not closed, or None."""
        while self._kept:
            reader, writer = self._kept.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None
