"""Read from a response what libcurl leaves to its user, even from servers that break HTTP.

libcurl passes on status lines, headers and trailers as they are, and does not undo a
Content-Encoding that was not requested. What a response means is judged in ``outcome``.
"""

import codecs
import contextlib
import re
import zlib
from dataclasses import dataclass
from xml.parsers import expat

from chalicelib.integrator.outcome import parse_json

# A longer decoded body is cut off here, and is then unreadable.
MAX_BODY_BYTES = 1_000_000
_GZIP_MAGIC = b"\x1f\x8b"
_ZLIB_START = b"\x78"  # of nearly all such data: deflate in a window of 32 KB
# All but white space.
_CONTROLS = re.compile(rb"[\0-\x08\x0e-\x1f\x7f]")
_MAX_ENCODINGS = 3
# No gzip, zlib or Zstandard begins with one, and hardly any deflate.
_BYTE_ORDER_MARKS = (
    codecs.BOM_UTF8,
    codecs.BOM_UTF16_LE,  # that of UTF-32 begins with it
    codecs.BOM_UTF16_BE,
    codecs.BOM_UTF32_BE,
)
# What some servers put into Content-Encoding for no encoding: transfer encodings of HTTP and MIME,
# charsets and media types. A body that is still in Base64 is text.
_NO_ENCODING = re.compile(
    r"|identity|none|chunked|aws-chunked|binary|[78]bit|base64|quoted-printable"
    r"|utf-?(?:8|16|32)\S*|us-ascii|iso[-_]?8859[-_]?\d+|latin-?1|ansi|unicode"
    r"|(?:windows-|cp)\d+|.*/.*"
)
# Each member costs a copy of the rest of the body: 1 MB can have 50,000 members, which are empty.
_MAX_MEMBERS = 100
_BLANK_LINE = re.compile(rb"\n\r?\n")
_BLANK_LINE_ENDINGS = (b"\n\r\n", b"\n\n")
_LENGTH_FIELD = re.compile(rb"\ncontent-length:", re.IGNORECASE)
_TRANSFER_CODING = re.compile(rb"\ntransfer-encoding:([^\n]*)", re.IGNORECASE)
_AFTER_END = b" \t\r\n\0"  # white space, and the NUL that ends a text in C
_ENDS = b"}>" + _AFTER_END  # the end of a JSON object or of XML, and what may come after it
# How many bytes are parsed to find that end, each time from the start. A body in thousands of parts
# that all look like ends would delay all other calls of the thread.
_MAX_PARSED_BYTES = 10_000_000
# Of these fields, several lines are one list. Of others only the first line counts.
_LISTS = (
    "connection",
    "content-encoding",
    "retry-after",
    "ratelimit",
    "x-ratelimit",
    "x-rate-limit",
)
# 101 is final: the server speaks another protocol from then on.
_INTERIM = re.compile(rb"HTTP/\S+ +1(?!01)\d\d")


class ResponseBuffer:
    """What libcurl has received of the current response.

    Attributes:
        head: status lines, headers and trailers.
        body: the body.
        is_ended: whether ``receive`` has ended the response.
        ignores_length: whether the Content-Length of the response is invalid.
    """

    def __init__(self) -> None:
        self.head = bytearray()
        self.body = bytearray()
        self.is_ended = False
        self.ignores_length = False
        self._parsed_bytes = 0

    def clear(self) -> None:
        """Forget the last response."""
        self.head.clear()
        self.body.clear()
        self.is_ended = False
        self._parsed_bytes = 0

    @property
    def has_whole_head(self) -> bool:
        """Whether the header fields are complete."""
        return self.head.endswith(_BLANK_LINE_ENDINGS)

    def receive(self, part: bytes) -> int | None:
        """Take a part of the body; end one without a length once its JSON or XML is complete.

        Such a body ends when the server closes the connection, and some servers never do. Over TLS,
        a server that closes it without a ``close_notify`` leaves open whether a part is missing.

        Returns:
            0 to end the response: to libcurl an error, upon which it closes the connection.
        """
        body = self.body
        body += part
        if part[-1] in _ENDS and self._parsed_bytes < _MAX_PARSED_BYTES and not self._has_length():
            self._parsed_bytes += len(body)
            if is_json_object(body) or is_xml_document(body):
                self.is_ended = True
                return 0
        return None

    def _has_length(self) -> bool:
        # A challenge (401) may precede the final response.
        start = max(0, self.head.rfind(b"\nHTTP/"))
        if coding := _TRANSFER_CODING.search(self.head, start):
            # It overrides a Content-Length (RFC 9112, section 6.3), and "identity" has no end.
            return b"chunked" in coding[1].lower()
        return _LENGTH_FIELD.search(self.head, start) is not None and not self.ignores_length


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
    body = body.rstrip(_AFTER_END)
    if not body.endswith(b"}"):
        return False
    try:
        parse_json(bytes(body))
    except (ValueError, RecursionError):
        return False
    return True


def is_xml_document(body: bytes | bytearray) -> bool:
    """Return whether a body is a complete XML document: its root element has ended.

    One with a document type is not looked at, since that may define entities that grow without
    bound (https://docs.python.org/3/library/xml.html#xml-security). No answer of a service has one.
    """
    body = bytes(body.rstrip(_AFTER_END))
    if not body.endswith(b">"):
        return False
    # As the document declares its encoding, or else as one that has every byte: the names of the
    # elements are those of ASCII in most, and the Content-Type may state what XML does not.
    return any(_is_well_formed(body, encoding) for encoding in (None, "iso-8859-1"))


def _is_well_formed(body: bytes, encoding: str | None) -> bool:
    parser = expat.ParserCreate(encoding)
    parser.StartDoctypeDeclHandler = _refuse_document_type
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError):
        return False
    return True


def _refuse_document_type(*_: object) -> None:
    raise ValueError("the document has a document type")


def _parse_fields(head: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in head.decode("latin-1").split("\n")[1:]:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name in fields and name.startswith(_LISTS):  # RFC 9110, section 5.3
            value = f"{fields.pop(name)}, {value}"
        fields.setdefault(name, value)
    return fields


@dataclass(frozen=True, slots=True)
class DecodedBody:
    """A body without its Content-Encodings.

    Attributes:
        body: the decoded body, or as far as it could be decoded.
        is_whole: whether every encoding that it had was undone to its end. If not, the body may
            lack a part, or be unreadable.
    """

    body: bytes
    is_whole: bool


def decode(body: bytes, encoding: str | None, max_bytes: int = MAX_BODY_BYTES) -> DecodedBody:
    """Undo Content-Encodings that we did not request, as far as possible.

    What is labelled, but not compressed, stays as it is. A decompression bomb is harmless: what
    each encoding yields is cut off at ``max_bytes``, which bounds the memory. More than three
    encodings, or 100 members of gzip in one, are not undone, which bounds the CPU time.
    """
    if not encoding:
        return DecodedBody(body, True)
    # Without quotes and parameters, which the field does not have (RFC 9110, section 8.4).
    names = [name.partition(";")[0].strip(' "\t').lower() for name in encoding.split(",")]
    names = [name for name in names if not _NO_ENCODING.fullmatch(name)]
    undone, is_whole = 0, True
    for name in reversed(names):
        if _is_text(body):
            break
        if name in ("gzip", "x-gzip") and undone and not body.startswith(_GZIP_MAGIC):
            continue  # it was applied once and is stated twice
        is_known = name in ("gzip", "x-gzip", "deflate") and len(names) <= _MAX_ENCODINGS
        inflated = _inflate(body, name, max_bytes) if is_known else None
        if inflated is None:
            # Text in Latin-1, for example. Gzip and zlib hardly ever lack control characters.
            return DecodedBody(body, is_whole and is_known and not _has_controls(body))
        body, undone, is_whole = inflated.body, undone + 1, is_whole and inflated.is_whole
    return DecodedBody(body, is_whole)


def _is_text(body: bytes) -> bool:
    """Return whether a body is text in UTF-8 or has a byte order mark, and so is not compressed.

    Nothing but chance makes UTF-8 without control characters of compressed data. The headers of
    gzip and Zstandard, and the usual ones of zlib, are not UTF-8, or have a control character.
    """
    if body.startswith(_BYTE_ORDER_MARKS):
        return True
    try:
        body.rstrip(_AFTER_END).decode()
    except UnicodeDecodeError:
        return False
    return not _has_controls(body)


def _has_controls(body: bytes) -> bool:
    return _CONTROLS.search(body.rstrip(_AFTER_END)) is not None


def _inflate(body: bytes, name: str, max_bytes: int) -> DecodedBody | None:
    """Undo one encoding; return None if the body does not have it.

    As gzip or deflate, servers send data with a header of zlib; as deflate, data without any, too.
    A text may begin in the same way. After gzip and zlib, whose checksum shows that they are
    complete, more bytes may follow.
    """
    if body.startswith(_GZIP_MAGIC):
        return _inflate_members(body, max_bytes)
    with contextlib.suppress(zlib.error):
        stream = zlib.decompressobj()
        inflated = stream.decompress(body, max_bytes)
        if stream.eof or body.startswith(_ZLIB_START):
            return DecodedBody(inflated, stream.eof)
    if name == "deflate":
        with contextlib.suppress(zlib.error):
            stream = zlib.decompressobj(-zlib.MAX_WBITS)
            inflated = stream.decompress(body, max_bytes)
            if stream.eof and not stream.unused_data:
                return DecodedBody(inflated, True)
    return None


def _inflate_members(body: bytes, max_bytes: int) -> DecodedBody | None:
    """Undo gzip, which may have several members (RFC 1952, section 2.2)."""
    inflated, rest = b"", body
    with contextlib.suppress(zlib.error):
        for _ in range(_MAX_MEMBERS):
            member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            inflated += member.decompress(rest, max_bytes - len(inflated))
            rest = member.unused_data
            if len(inflated) >= max_bytes or not rest.startswith(_GZIP_MAGIC):
                return DecodedBody(inflated, member.eof)
    return None
