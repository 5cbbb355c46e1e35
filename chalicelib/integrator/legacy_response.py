"""Read one response of the legacy from the socket, within bounds.

``http.client`` parses it. This module adds what a server that breaks HTTP makes necessary: bounds
on everything outside the body, responses without an end, and unrequested Content-Encodings. What a
response means is judged in ``outcome``.
"""

import contextlib
import http.client
import io
import json
import socket
import zlib

# A longer body is cut off here, and is then unreadable.
_MAX_BODY_BYTES = 1_000_000
# Status line, headers, chunk sizes and trailers together; a normal response has some hundreds.
_MAX_LINES_BYTES = 262_144
_READ_BYTES = 65_536
# Window bits for zlib: detect a gzip or zlib header; or expect none, since some servers send
# headerless data as deflate.
_WINDOW_BITS = (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS)


class _BoundedLines(io.BufferedReader):
    """A stream whose lines together have at most ``_MAX_LINES_BYTES``."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self._bytes_left = _MAX_LINES_BYTES
        self.ended_in_line = False  # whether the last line read ended without a line break

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        self._bytes_left -= len(line)
        if self._bytes_left < 0:
            raise http.client.HTTPException(f"more than {_MAX_LINES_BYTES} bytes of header lines")
        self.ended_in_line = not line.endswith(b"\n")
        return line


class LegacyResponse(http.client.HTTPResponse):
    """One final response; interim responses before it are skipped (RFC 9110, section 15.2).

    The standard library skips 100 only, and takes 102 or 103 for the final response.

    The constructor reads the status line and the headers.

    Raises:
        OSError, HTTPException, ValueError: the response is broken; also from ``read_body``.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, method="POST")
        self.fp = self._lines = _BoundedLines(self.fp.detach())
        self._is_broken = False
        try:
            self.begin()
            # The standard library takes a connection that closes here for the end of the headers.
            if self._lines.ended_in_line:
                raise http.client.IncompleteRead(b"")
        except BaseException:
            self.close()
            raise

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        is_interim = 100 <= status < 200 and status != http.client.SWITCHING_PROTOCOLS
        return version, http.client.CONTINUE if is_interim else status, reason

    def read_body(self) -> bytes:
        """Read the body, up to 1 MB, and undo its Content-Encoding.

        Only the body of a 2xx says whether the record was accepted. If the body of any other
        response breaks off or times out, its status is enough: the part received is returned.
        """
        received = bytearray()
        try:
            while len(received) < _MAX_BODY_BYTES and not self._is_complete(received):
                part = self.read1(_READ_BYTES)
                if not part:
                    if self.length:
                        raise http.client.IncompleteRead(bytes(received), self.length)
                    break
                received += part
        except (OSError, http.client.HTTPException, ValueError):
            if self.is_success:
                raise
            self._is_broken = True
        return decode(bytes(received), self.headers.get("Content-Encoding"))

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx; the body may still report a failure."""
        return 200 <= self.status < 300

    @property
    def keeps_connection(self) -> bool:
        """Whether the next call may use the connection: nothing of this response is left on it."""
        is_read = not self._is_broken and (self.isclosed() or self.length == 0)
        return is_read and not self.will_close and self.status != http.client.SWITCHING_PROTOCOLS

    def _is_complete(self, received: bytearray) -> bool:
        """Return whether a body without a length is complete JSON.

        A body without a length ends when the server closes the connection, and some never do.
        """
        if self.length is not None or self.chunked or not received.rstrip().endswith(b"}"):
            return False
        try:
            json.loads(received)
        except (ValueError, RecursionError):
            return False
        return True


def decode(body: bytes, encoding: str | None) -> bytes:
    """Undo a Content-Encoding that we did not request, up to 1 MB; if that fails, return ``body``.

    The bound makes a decompression bomb harmless.
    """
    if encoding is None or encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    for window_bits in _WINDOW_BITS:
        with contextlib.suppress(zlib.error):
            return zlib.decompressobj(window_bits).decompress(body, _MAX_BODY_BYTES)
    return body
