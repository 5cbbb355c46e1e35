"""An answer of the legacy, read from the wire to its end and within bounds.

What it means is ``reply``'s to say. ``http.client`` reads it; this adds what a peer that breaks
HTTP needs: bounds on all that is not body, and what to make of an answer without an end.
"""

import http.client
import io
import json
import socket

# What of a body is looked at, at most: one that is longer counts as unreadable.
MAX_BODY_BYTES = 1_000_000
# Status, headers, sizes of chunks and trailers in all; a good answer has some hundreds.
_MAX_LINES_BYTES = 262_144
_READ_BYTES = 65_536


class _Stream(io.BufferedReader):
    """What the peer sends, of which the lines are bounded in all."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self._left = _MAX_LINES_BYTES
        self.is_cut = False  # whether the peer has ended in the middle of a line, or before one

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise http.client.HTTPException("more lines than an answer has")
        self.is_cut = not line.endswith(b"\n")
        return line


class Answer(http.client.HTTPResponse):
    """One answer; interim ones before it are passed over (RFC 9110, section 15.2).

    The standard library passes over 100 alone, and takes a 102 or 103 for the answer itself.

    Raises, in the making and in ``read_body``: OSError, HTTPException or ValueError.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, method="POST")
        self.fp = self._stream = _Stream(self.fp.detach())
        self._is_broken = False
        try:
            self.begin()
            if self._stream.is_cut:  # which the standard library takes for the end of the headers
                raise http.client.IncompleteRead(b"")
        except BaseException:
            self.close()
            raise

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        is_interim = 100 <= status < 200 and status != http.client.SWITCHING_PROTOCOLS
        return version, http.client.CONTINUE if is_interim else status, reason

    def read_body(self) -> bytes:
        """Read the body, ``MAX_BODY_BYTES`` at most.

        Only of a 2xx does the body say what became of the record: where any other breaks off, or
        does not end in time, the status has said it all, and what has come is returned.
        """
        received = bytearray()
        try:
            while len(received) < MAX_BODY_BYTES and not self._is_over(received):
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
        return bytes(received)

    @property
    def is_success(self) -> bool:
        """Whether its status says that the record was taken; its body may still say otherwise."""
        return 200 <= self.status < 300

    @property
    def keeps_connection(self) -> bool:
        """Whether the next call may use it: nothing of this answer can be left on it."""
        is_read = not self._is_broken and (self.isclosed() or self.length == 0)
        return is_read and not self.will_close and self.status != http.client.SWITCHING_PROTOCOLS

    def _is_over(self, received: bytearray) -> bool:
        """Say whether a body without a length is whole: not every peer closes when it should."""
        if self.length is not None or self.chunked or not received.rstrip().endswith(b"}"):
            return False
        try:
            json.loads(received)
        except (ValueError, RecursionError):
            return False
        return True
