"""Batches as ``multipart/mixed``: Protocol 4.01, 11.7.7; RFC 2046, section 5.1.

Lines may end in CRLF, as they should, or in LF. A part that is none is answered by itself; where
the parts cannot be told from each other, the whole is refused.
"""

import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from email.message import Message
from http import HTTPStatus
from itertools import groupby

from chalicelib.errors import InvalidError
from chalicelib.odata.batch.executor import Part, Reply, is_name, require_at_most
from chalicelib.odata.negotiation import MULTIPART
from chalicelib.odata.response import ODataResponse

_HTTP = "application/http"

_BLANK_LINE = re.compile(rb"(?:^|\r?\n)\r?\n")
_LINE_END = re.compile(r"\r?\n")
# Whatever spaces there are, each is read once: a pattern that tries them all ways takes for ever.
_REQUEST_LINE = re.compile(
    r"(?P<method>[A-Za-z]{1,20}) ++(?P<url>[^ ]++(?: ++[^ ]++)*?)(?: ++HTTP/[0-9.]++)? *+"
)
_HEADER = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):(?P<value>.*)")


def read_parts(content_type: str, body: bytes, most: int) -> list[Part]:
    """Read the parts of a batch, those of its change sets as groups.

    Raises:
        InvalidError: there is no boundary, the body does not keep to it, or has more than ``most``
            parts.
    """
    parts: list[Part] = []
    contents = _split(content_type, body)
    require_at_most(most, len(contents))
    for number, content in enumerate(contents, 1):
        try:
            headers, inner = _head(content)
            kind = headers.get("content-type", "")
            if _media_type(kind) == MULTIPART:
                parts += _change_set(kind, inner, f"changeset{number}")
            else:
                parts.append(_request(headers, inner, None))
        except InvalidError as error:
            parts.append(Part(fault=error))
        require_at_most(most, len(parts))
    return _named_once(parts)


def _named_once(parts: list[Part]) -> list[Part]:
    """Refuse a part that has the name of one before it: nobody could tell whom ``$1`` means."""
    names: set[str] = set()
    found = []
    for each in parts:
        fault = each.fault
        if each.id in names:
            fault = InvalidError(
                f"There are two requests with the Content-ID {each.id}.", target="Content-ID"
            )
        elif each.id is not None:
            names.add(each.id)
        found.append(replace(each, fault=fault))
    return found


def _change_set(content_type: str, body: bytes, group: str) -> Iterator[Part]:
    parts = []
    for content in _split(content_type, body):
        part = _request(*_head(content), group)
        if part.method in ("GET", "HEAD"):
            raise InvalidError(f"A change set has no {part.method}: it only reads.")
        parts.append(part)
    return iter(parts)


def _request(headers: dict[str, str], content: bytes, group: str | None) -> Part:
    if _media_type(headers.get("content-type", "")) != _HTTP:
        raise InvalidError(f"A part must have Content-Type: {_HTTP}, or {MULTIPART} of such parts.")
    line, _, rest = content.lstrip(b"\r\n").partition(b"\n")
    match = _REQUEST_LINE.fullmatch(_text(line).rstrip("\r"))
    if match is None:
        raise InvalidError("A part must begin with a line such as GET PointRecords HTTP/1.1.")
    own, body = _head(rest)
    content_id = headers.get("content-id")
    if content_id is not None and not is_name(content_id):
        raise InvalidError("A Content-ID is a text of 1 to 100 characters.", target="Content-ID")
    return Part(match["method"], match["url"], own, body, content_id, group)


def _split(content_type: str, body: bytes) -> list[bytes]:
    """Return what stands between the delimiters, of which the last must close."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if not boundary or not boundary.isascii() or len(boundary) > 70:
        raise InvalidError(f"{MULTIPART} needs a boundary of 1 to 70 characters.")
    delimiter = rb"(?:^|\r?\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?=\r?\n|$)"
    pieces = re.split(delimiter, body)
    # What precedes the first delimiter and follows the closing one says nothing.
    contents, marks = pieces[2::2], pieces[1::2]
    if b"--" not in marks:
        raise InvalidError(f"The body is not closed by its boundary, --{boundary}--.")
    return [re.sub(rb"^\r?\n", b"", each) for each in contents[: marks.index(b"--")]]


def _head(content: bytes) -> tuple[dict[str, str], bytes]:
    """Return the headers, names in lower case, and what follows the blank line after them."""
    blank = _BLANK_LINE.search(content)
    head, body = (content[: blank.start()], content[blank.end() :]) if blank else (content, b"")
    headers: dict[str, str] = {}
    for line in _LINE_END.split(_text(head)):
        match = _HEADER.fullmatch(line)
        if match:
            headers[match["name"].lower()] = match["value"].strip(" \t")
        elif line:
            raise InvalidError(f"{line[:100]!r} is no header.")
    return headers, body


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError("The headers of a part are not in UTF-8.") from error


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def write_replies(replies: Sequence[Reply], *, nested: bool) -> tuple[str, str]:
    """Return the content type and the body of an answer.

    ``nested`` writes groups as change sets, which a batch that was not multipart has not. One that
    failed is answered by its error alone.
    """
    boundary = f"batchresponse_{uuid.uuid4()}"
    parts: list[str] = []
    for group, members in groupby(replies, key=lambda reply: reply.part.group if nested else None):
        together = list(members)
        failed = [reply for reply in together if reply.failed]
        if group is None:
            parts += map(_written, together)
        elif failed:
            # The fault itself, rather than what it has brought about.
            parts.append(_written(min(failed, key=lambda reply: reply.response.status == 424)))
        else:
            within = f"changesetresponse_{uuid.uuid4()}"
            content = _joined(map(_written, together), within)
            parts.append(f"Content-Type: {MULTIPART};boundary={within}\r\n\r\n{content}")
    return f"{MULTIPART};boundary={boundary}", _joined(parts, boundary)


def _joined(parts: Iterator[str] | list[str], boundary: str) -> str:
    return "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n"


def _written(reply: Reply) -> str:
    content_id = "" if reply.part.id is None else f"Content-ID: {reply.part.id}\r\n"
    return (
        f"Content-Type: {_HTTP}\r\nContent-Transfer-Encoding: binary\r\n{content_id}\r\n"
        f"{_http(reply.response)}"
    )


def _http(response: ODataResponse) -> str:
    headers = dict(response.headers)
    if response.body:
        headers["Content-Length"] = str(len(response.body.encode()))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    phrase = HTTPStatus(response.status).phrase
    return f"HTTP/1.1 {response.status} {phrase}\r\n{lines}\r\n{response.body}"
