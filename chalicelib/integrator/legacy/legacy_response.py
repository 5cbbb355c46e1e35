"""Read from a response what libcurl leaves to its user, however the server breaks HTTP.

libcurl passes on status lines, headers and trailers as they are, and does not undo a
Content-Encoding that was not requested. What a response means is judged in ``outcome``.
"""

import contextlib
import json
import re
import zlib

# A longer decoded body is cut off here, and is then unreadable.
MAX_BODY_BYTES = 1_000_000
# Window bits for zlib: detect a gzip or zlib header; or expect none, since some servers send
# headerless data as deflate.
_WINDOW_BITS = (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS)
_BLANK_LINE = re.compile(rb"\n\r?\n")
# 101 is final: the server speaks another protocol from then on.
_INTERIM = re.compile(rb"HTTP/\S+ +1(?!01)\d\d")


def final_fields(received: bytes) -> dict[str, str] | None:
    """Return the header fields of the final response, by their names in lower case.

    Responses before it are skipped: interim ones (RFC 9110, section 15.2) and challenges that
    libcurl has answered. So are trailers after it.

    Returns:
        None if there is no final response or its headers break off; libcurl reports a connection
        that closes in the headers as a success.
    """
    *heads, rest = _BLANK_LINE.split(received)
    if rest.startswith(b"HTTP/"):
        return None
    for head in reversed(heads):
        if head.startswith(b"HTTP/"):
            return None if _INTERIM.match(head) else _parse_fields(head)
    return None


def closes_connection(received: bytes) -> bool:
    """Return whether the server announces that it closes the connection."""
    fields = final_fields(received)
    return fields is not None and (
        "close" in fields.get("connection", "").lower() or received.startswith(b"HTTP/1.0")
    )


def is_json_object(body: bytes | bytearray) -> bool:
    """Return whether a body is complete JSON that ends an object."""
    if not body.rstrip().endswith(b"}"):
        return False
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _parse_fields(head: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in head.decode("latin-1").split("\n")[1:]:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), value.strip())
    return fields


def decode(body: bytes, encoding: str | None) -> bytes:
    """Undo a Content-Encoding that we did not request, up to 1 MB; if that fails, return ``body``.

    The bound makes a decompression bomb harmless.
    """
    if encoding is None or encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    for window_bits in _WINDOW_BITS:
        with contextlib.suppress(zlib.error):
            return zlib.decompressobj(window_bits).decompress(body, MAX_BODY_BYTES)
    return body
