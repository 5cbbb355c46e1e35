"""Check for an operator how this service speaks to the legacy: show a request, judge a response.

Nothing is sent unless the operator says so, and no store is read. Values that may be secrets are
masked: those of headers, of the URL's query, and of fields of the body with such a name. The
record's own values are shown.
"""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from chalicelib import point_record
from chalicelib.errors import InvalidError
from chalicelib.instant import local_day
from chalicelib.integrator.legacy.connect import connect
from chalicelib.integrator.legacy.legacy_endpoint import LegacyEndpoint
from chalicelib.integrator.legacy.libcurl.raw_response import (
    MAX_BODY_BYTES,
    DecodedBody,
    decode,
    final_fields,
)
from chalicelib.integrator.legacy.messages.record_values import (
    PROPERTIES,
    UnsendableError,
    sample_record,
    smallest_sample_record,
    texts_of,
    to_json,
    values_of,
)
from chalicelib.integrator.legacy.messages.response_outcome import judge
from chalicelib.integrator.legacy.messages.secret_fields import PLACEHOLDER, masked
from chalicelib.integrator.legacy.messages.url_template import UrlTemplate
from chalicelib.integrator.outcome import CallResult, Outcome

MASK = "***"
# A day: the record of a check may be one that was refused for its clock.
_CLOCK_SKEW_S = 86_400
_PUBLIC_HEADERS = frozenset(
    {"accept", "accept-language", "cache-control", "content-type", "soapaction", "user-agent"}
)
# A placeholder, or the text between two
_URL_TEXT = re.compile(rf"({PLACEHOLDER.pattern})|[^{{}}]+")
_STATUS_LINE = re.compile(rb"HTTP/[\d.]+ +(\d{3})\b")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_BARE_STATUS = re.compile(rb"(\d{3})[ \t]*(?:\r?\n|\Z)")


@dataclass(frozen=True, slots=True)
class Check:
    """The result of a check.

    Attributes:
        request: the request for the record, with secrets masked.
        warnings: what works and is probably not meant.
        outcome: how the response was judged; None if there is no response.
        decided_by: the setting whose condition decided; None if the default rules did.
        log: what the log of the record says.
        record: what happens to the record.
    """

    request: str
    warnings: list[str]
    outcome: str | None = None
    decided_by: str | None = None
    log: str | None = None
    record: str | None = None


def check(
    endpoint: LegacyEndpoint,
    max_attempts: int,
    *,
    punch: object = None,
    response: object = None,
    send: object = False,
) -> Check:
    """Show the request for a record, and judge a response.

    Args:
        endpoint: the legacy.
        max_attempts: after how many attempts a record is parked.
        punch: the record, as a client would POST it; None for the sample record.
        response: the text of a response, as ``curl -i`` prints it; None if there is none.
        send: whether to send the record, and to judge the legacy's own response.

    Raises:
        InvalidError: an argument is malformed, or no request can be made from the record.
    """
    if not isinstance(send, bool):
        raise InvalidError("send must be true or false.", target="send")
    if send and response is not None:
        raise InvalidError("Give either send or response, not both.", target="response")
    record = sample_record() if punch is None else _record(punch)
    try:
        request = _shown_request(endpoint, record)
    except UnsendableError as error:
        raise InvalidError(f"{error}.", target="record") from error
    warnings = _warnings(endpoint)
    if send:
        with closing(connect(endpoint)) as connection:
            result = connection.send(json.loads(record)["id"], record)
    elif response is not None:
        status, headers, decoded = _parse_response(response)
        body = decoded.body
        is_whole = decoded.is_whole and len(body) < MAX_BODY_BYTES
        result = judge(endpoint.conditions, status, headers, body, 0.0, is_whole=is_whole)
        if is_whole:
            warnings += _condition_warnings(endpoint, status, headers, body)
    else:
        return Check(request, warnings)
    return Check(
        request,
        warnings,
        result.outcome,
        result.decided_by,
        result.log or f"HTTP {result.http_status}",
        _fate(result, max_attempts),
    )


def _record(punch: object) -> bytes:
    """Return the JSON that the integrator would send for a punch.

    Raises:
        InvalidError: the punch is invalid.
    """
    record = point_record.parse(punch, datetime.now(UTC), _CLOCK_SKEW_S)
    day, time_of_day = local_day(record.included_at, record.utc_offset_minutes)
    values = {**point_record.to_json(record), "localDate": day, "localTime": time_of_day}
    return to_json({name: values[name] for name in PROPERTIES if name in values})


def _shown_request(endpoint: LegacyEndpoint, record: bytes) -> str:
    """Return the request for a record, with secrets masked.

    Raises:
        UnsendableError: no request can be made from the record.
    """
    request = endpoint.request
    _, body = request.render(record)
    text = body.decode(request.encoding)
    url = urlsplit(UrlTemplate(_masked_query(endpoint.url)).fill(values_of(record)))
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    key = f"{request.key_header}: {json.loads(record)['id']}"
    lines = [
        f"{request.method} {target} HTTP/1.1",
        f"Host: {url.netloc}",
        *(_masked_header(each) for each in request.headers),
        *(_masked_header(each) for each in _credential_headers(endpoint)),
        *([key] if request.key_header else []),
        *([f"Content-Length: {len(body)}"] if request.has_body else []),
        "",
        *([masked(text, MASK, texts_of(record))] if request.has_body else []),
    ]
    return "\n".join(lines)


def _credential_headers(endpoint: LegacyEndpoint) -> Sequence[str]:
    return endpoint.credentials.sample_headers if endpoint.credentials else ()


def _masked_query(url: str) -> str:
    """Mask the values of the query that no record gives."""
    start, mark, query = url.partition("?")
    fields = [each.partition("=") for each in query.split("&")]
    masked = [
        name + eq + _URL_TEXT.sub(lambda text: text[1] or MASK, value) for name, eq, value in fields
    ]
    return start + mark + "&".join(masked)


def _masked_header(line: str) -> str:
    name, _, value = line.partition(": ")
    return line if name.lower() in _PUBLIC_HEADERS or not value else f"{name}: {MASK}"


def _warnings(endpoint: LegacyEndpoint) -> list[str]:
    warnings = []
    try:
        endpoint.request.render(smallest_sample_record())
    except UnsendableError as error:
        warnings.append(f"A record without its optional properties is not sent: {error}.")
    if not endpoint.request.key_header:
        warnings.append(
            "LEGACY_KEY_HEADER is empty: the legacy must recognise a repeated record by other"
            " means."
        )
    return warnings


def _condition_warnings(
    endpoint: LegacyEndpoint, status: int, headers: Mapping[str, str], body: bytes
) -> list[str]:
    """Return warnings of conditions that cannot judge the response, or hold but are not asked."""
    if endpoint.conditions is None:
        return []
    first, *others = [*endpoint.conditions.matching(status, headers, body), ""]
    return [
        *endpoint.conditions.errors(status, headers, body),
        *(f"{each} holds, too, but {first} is asked first." for each in others if each),
    ]


def _parse_response(text: object) -> tuple[int, Mapping[str, str], DecodedBody]:
    """Read a response as ``curl -i`` prints it, or a status line of three digits and a body.

    Interim responses, and that of a proxy, come before it and are skipped.

    Raises:
        InvalidError: the text is neither.
    """
    received = text.encode(errors="replace") if isinstance(text, str) else text
    if isinstance(received, bytes):
        received = received.removeprefix(BOM_UTF8).lstrip()  # as editors save it
        while match := _STATUS_LINE.match(received):
            head, *rest = _BLANK_LINE.split(received, maxsplit=1)
            body = rest[0] if rest else b""
            if not _STATUS_LINE.match(body):
                headers = final_fields(head + b"\n\n") or {}
                return int(match[1]), headers, decode(body, headers.get("content-encoding"))
            received = body
        if bare := _BARE_STATUS.match(received):
            body = received[bare.end() :].lstrip(b"\r\n")
            return int(bare[1]), {}, DecodedBody(body, True)
    raise InvalidError(
        "The response must be text such as curl -i prints: HTTP/1.1 200 OK, headers, an empty line"
        " and the body. A line with only the status will do, too.",
        target="response",
    )


def _fate(result: CallResult, max_attempts: int) -> str:
    if result.outcome is Outcome.DELIVERED:
        return "The record is integrated."
    if result.outcome is Outcome.OVERLOADED:
        return "The record is sent again later. No attempt is used up."
    return (
        f"The record is sent again later. After {max_attempts} such attempts, each while other"
        " records are delivered, it is parked."
    )
