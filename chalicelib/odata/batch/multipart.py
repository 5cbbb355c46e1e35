"""Batches in ``multipart/mixed``: parse the individual requests, write the responses.

Protocol 4.01, section 11.7.7; RFC 2046, section 5.1. Lines should end in CRLF, but may end in LF. A
malformed part gets an error response of its own. A body that cannot be split into parts is an error
of the whole batch.
"""

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from http import HTTPStatus
from itertools import groupby

from chalicelib.errors import InvalidError
from chalicelib.odata.batch.executor import (
    IndividualRequest,
    IndividualResponse,
    is_valid_id,
    require_at_most,
)
from chalicelib.odata.media_types import MULTIPART
from chalicelib.odata.response import ODataResponse

_HTTP = "application/http"

_BLANK_LINE = re.compile(rb"(?:^|\r?\n)\r?\n")
_LINE_END = re.compile(r"\r?\n")
# The possessive quantifiers read each space once. With backtracking, the time would be quadratic.
_REQUEST_LINE = re.compile(
    r"(?P<method>[A-Za-z]{1,20}) ++(?P<url>[^ ]++(?: ++[^ ]++)*?)(?: ++HTTP/[0-9.]++)? *+"
)
# A parameter of a media type, in quotes or not.
_PARAMETER = re.compile(
    r';[ \t]*+(?P<name>[^;="]++)=[ \t]*+(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<bare>[^;"]*+))'
)
_HEADER = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):(?P<value>.*)")


def parse_requests(content_type: str, body: bytes, max_requests: int) -> list[IndividualRequest]:
    """Parse the individual requests of a batch; each change set becomes an atomicity group.

    Raises:
        InvalidError: the boundary is missing or does not delimit the body, or the batch has more
            than ``max_requests``.
    """
    requests: list[IndividualRequest] = []
    parts = _split(content_type, body)
    require_at_most(max_requests, len(parts))
    for number, part in enumerate(parts, 1):
        try:
            headers, content = _split_head(part)
            part_type = headers.get("content-type", "")
            if _media_type(part_type) == MULTIPART:
                requests += _parse_change_set(part_type, content, f"changeset{number}")
            else:
                requests.append(_parse_request(headers, content, None))
        except InvalidError as error:
            requests.append(IndividualRequest(error=error))
        require_at_most(max_requests, len(requests))
    return _reject_duplicate_ids(requests)


def _reject_duplicate_ids(requests: list[IndividualRequest]) -> list[IndividualRequest]:
    """Give an error to each request whose id an earlier one has: a reference would be ambiguous."""
    ids: set[str] = set()
    result = []
    for each in requests:
        error = each.error
        if each.id in ids:
            error = InvalidError(
                f"The Content-ID {each.id} is used more than once.", target="Content-ID"
            )
        elif each.id is not None:
            ids.add(each.id)
        result.append(replace(each, error=error))
    return result


def _parse_change_set(content_type: str, body: bytes, group: str) -> list[IndividualRequest]:
    requests = []
    for part in _split(content_type, body):
        request = _parse_request(*_split_head(part), group)
        if request.method in ("GET", "HEAD"):
            raise InvalidError(f"A change set must not contain {request.method} requests.")
        requests.append(request)
    if not requests:  # the response would have no part for it
        raise InvalidError("A change set must contain at least one request.")
    return requests


def _parse_request(headers: dict[str, str], content: bytes, group: str | None) -> IndividualRequest:
    if _media_type(headers.get("content-type", "")) != _HTTP:
        raise InvalidError(
            f"The Content-Type of a part must be {_HTTP}, or {MULTIPART} for a change set."
        )
    line, _, rest = content.lstrip(b"\r\n").partition(b"\n")
    match = _REQUEST_LINE.fullmatch(_text(line).rstrip("\r"))
    if match is None:
        raise InvalidError(
            "A part must begin with a request line, such as GET PointRecords HTTP/1.1."
        )
    request_headers, body = _split_head(rest)
    content_id = headers.get("content-id")
    if content_id is not None and not is_valid_id(content_id):
        raise InvalidError(
            "A Content-ID must have 1 to 100 printable characters.", target="Content-ID"
        )
    return IndividualRequest(
        match["method"], match["url"], request_headers, body, content_id, group
    )


def _split(content_type: str, body: bytes) -> list[bytes]:
    """Split a multipart body into its parts."""
    boundary = _boundary(content_type)
    delimiter = rb"(?:^|\r?\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?=\r?\n|$)"
    pieces = re.split(delimiter, body)
    # Preamble and epilogue (before the first and after the closing delimiter) are ignored.
    parts, marks = pieces[2::2], pieces[1::2]
    if b"--" not in marks:
        raise InvalidError(f"The closing delimiter --{boundary}-- is missing in the body.")
    return [re.sub(rb"^\r?\n", b"", each) for each in parts[: marks.index(b"--")]]


def _boundary(content_type: str) -> str:
    """Return the boundary of a media type, which has no extended form (``boundary*``)."""
    for each in _PARAMETER.finditer(content_type):
        if each["name"].strip().lower() == "boundary":
            boundary = (each["bare"] if each["quoted"] is None else each["quoted"]).rstrip()
            if 0 < len(boundary) <= 70 and boundary.isascii() and boundary.isprintable():
                return boundary
            break
    raise InvalidError(
        f"The Content-Type {MULTIPART} must have a boundary of 1 to 70 ASCII characters."
    )


def _split_head(content: bytes) -> tuple[dict[str, str], bytes]:
    """Split a part at the blank line; return its headers, names in lower case, and its content."""
    blank = _BLANK_LINE.search(content)
    head, body = (content[: blank.start()], content[blank.end() :]) if blank else (content, b"")
    headers: dict[str, str] = {}
    for line in _LINE_END.split(_text(head)):
        match = _HEADER.fullmatch(line)
        if match:
            headers[match["name"].lower()] = match["value"].strip(" \t")
        elif line:
            raise InvalidError(f"The header {line[:100]!r} is malformed.")
    return headers, body


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError("The headers of a part must be in UTF-8.") from error


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def write_responses(
    responses: Sequence[IndividualResponse], *, with_change_sets: bool
) -> tuple[str, str]:
    """Return the content type and the body of the batch response.

    With ``with_change_sets``, the responses of a group are one nested part, or one error if the
    group failed. Without it, as for a request in JSON, every response is a part of its own.
    """
    boundary = f"batchresponse_{uuid.uuid4()}"
    parts: list[str] = []
    for group, members in groupby(
        responses, key=lambda each: each.request.atomicity_group if with_change_sets else None
    ):
        together = list(members)
        failed = [each for each in together if each.is_error]
        if group is None:
            parts += map(_part, together)
        elif failed:
            # The cause, rather than a Failed Dependency (424) that results from it.
            parts.append(_part(min(failed, key=lambda each: each.response.status == 424)))
        else:
            inner_boundary = f"changesetresponse_{uuid.uuid4()}"
            content = _join(map(_part, together), inner_boundary)
            parts.append(f"Content-Type: {MULTIPART};boundary={inner_boundary}\r\n\r\n{content}")
    return f"{MULTIPART};boundary={boundary}", _join(parts, boundary)


def _join(parts: Iterable[str], boundary: str) -> str:
    return "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n"


def _part(each: IndividualResponse) -> str:
    content_id = "" if each.request.id is None else f"Content-ID: {each.request.id}\r\n"
    return (
        f"Content-Type: {_HTTP}\r\nContent-Transfer-Encoding: binary\r\n{content_id}\r\n"
        f"{_http(each.response)}"
    )


def _http(response: ODataResponse) -> str:
    headers = dict(response.headers)
    if response.body:
        headers["Content-Length"] = str(len(response.body.encode()))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    phrase = HTTPStatus(response.status).phrase
    return f"HTTP/1.1 {response.status} {phrase}\r\n{lines}\r\n{response.body}"
