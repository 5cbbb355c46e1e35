"""The door of step 4: whatever is asked of ``/odata``, by any method, is answered here.

Promises that every answer, errors included, has OData's version and its one error shape, and that
a part of a batch is answered just as the same request alone. ``ODataService`` answers what reads.
"""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import replace

from chalicelib import telemetry
from chalicelib.errors import (
    InvalidError,
    MediaTypeError,
    MethodNotAllowedError,
    NotFoundError,
    NotImplementedByServiceError,
    PunchClockError,
    TooLargeError,
    UnavailableError,
)
from chalicelib.odata import negotiation
from chalicelib.odata.batch import json_format, multipart
from chalicelib.odata.batch.executor import Batch, Part
from chalicelib.odata.create import Creation, create, read_creation
from chalicelib.odata.etag import etag_of, is_modified
from chalicelib.odata.model import POINT_RECORD
from chalicelib.odata.pending import PendingRecordReader, PendingRecords
from chalicelib.odata.query.options import read_options
from chalicelib.odata.reads import ODataRequest, ODataService
from chalicelib.odata.request_url import read_query, target_of
from chalicelib.odata.resource import Kind, read_resource, segments_of
from chalicelib.odata.response import ODataResponse, plain
from chalicelib.odata.response_budget import Allowance
from chalicelib.odata.sql.select_statements import RowReader
from chalicelib.settings import Settings
from chalicelib.web.error_response import body_of, headers_of, our_fault, status_of
from chalicelib.web.headers import require_no_coding

_READ = ("GET", "HEAD", "OPTIONS")
_POST = ("POST", "OPTIONS")
# What is read and is no resource of the model.
_SYSTEM: tuple[list[str], ...] = ([], ["$metadata"], ["$entity"])
_RECORD = re.compile(rf"{POINT_RECORD.entity_set}\(([0-9a-f-]{{36}})\)(?:/.*)?")


class Endpoint:
    """Answers requests from a reader of the replica and the way to the buffer."""

    def __init__(self, reader: RowReader, settings: Settings, waiting: PendingRecords) -> None:
        self._reader = reader
        self._settings = settings
        self._waiting = waiting
        self._service = ODataService(reader, settings)

    def answer(self, request: ODataRequest) -> ODataResponse:
        """Answer one request. Whatever is wrong with it, or with us, is an answer too."""
        try:
            answer = self._answer(request)
        except PunchClockError as error:
            if isinstance(error, UnavailableError):
                telemetry.event("a store is unavailable", logging.WARNING, cause=error.__cause__)
            answer = _failure(request, error)
        except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours, told to nobody
            telemetry.error("a request failed", error, path=request.path)
            answer = _failure(request, our_fault())
        return replace(answer, body="") if request.method == "HEAD" else answer

    def _answer(self, request: ODataRequest) -> ODataResponse:
        _require_short(request, self._settings.odata_query_bytes)
        _require_spoken(request)
        segments = segments_of(request.path)
        allowed = _allowed(segments)
        answered_here = request.method == "OPTIONS" or request.method not in allowed
        if answered_here and allowed == _READ and segments not in _SYSTEM:
            aliases = read_options(request.query).aliases
            read_resource(segments, aliases, request.principal)  # is it there at all?
        if request.method not in allowed:
            raise MethodNotAllowedError(
                f"{request.method[:20]} is not allowed here, but {', '.join(allowed)}.", allowed
            )
        if request.method == "OPTIONS":
            version = negotiation.version_of(request.headers)
            return plain(version, None, "", 204, {"Allow": ", ".join(allowed)})
        if segments[-1:] == ["$query"]:
            return self._read(_with_query_of_body(request, self._settings.max_body_bytes))
        if segments == ["$batch"]:
            return self._batch(request)
        if segments == ["$entity"]:
            return self._read(_with_path_of_id(request))
        if request.method == "POST":
            return create([self._creation(request)], self._waiting)[0]
        return self._read(request)

    def _creation(self, request: ODataRequest) -> Creation:
        return read_creation(request, self._waiting, self._settings.max_body_bytes)

    def _creation_of_part(self, request: ODataRequest) -> Creation:
        """Read a part of a change set, which must create a record: else it has nothing to keep."""
        if request.method == "POST" and segments_of(request.path) == [POINT_RECORD.entity_set]:
            _require_spoken(request)
            return self._creation(request)
        if request.method not in _READ:
            self._answer(request)  # it is not allowed, or not even there
        raise NotImplementedByServiceError(
            "A change set of several operations creates records, and does nothing else."
        )

    def _batch(self, request: ODataRequest) -> ODataResponse:
        version = negotiation.version_of(request.headers)
        options = read_options(request.query)
        options.allow("$format")
        is_json = negotiation.is_json_batch(request.headers.get("content-type", ""))
        in_json = negotiation.wants_json_batch(
            request.headers, options.text("$format"), is_json
        )
        parts = self._parts(request, is_json)
        preferred = negotiation.preferred_to_continue(request.headers)
        # By the standard, multipart stops at an error, and JSON goes on.
        to_the_end = is_json if preferred is None else preferred
        batch = Batch(
            request,
            self.answer,
            _failure,
            self._creation_of_part,
            lambda creations: create(creations, self._waiting),
            Allowance.of_batch(self._settings),
            self._settings.odata_timeout_s,
        )
        replies = list(batch.replies(parts, to_the_end=to_the_end))
        if in_json:
            kind, body = negotiation.JSON, json_format.write_replies(replies)
        else:
            kind, body = multipart.write_replies(replies, nested=not is_json)
        applied = {"Preference-Applied": f"continue-on-error={str(preferred).lower()}"}
        return plain(version, kind, body, headers={} if preferred is None else applied)

    def _parts(self, request: ODataRequest, is_json: bool) -> list[Part]:
        max_bytes, most = self._settings.odata_batch_bytes, self._settings.odata_batch_requests
        if len(request.body) > max_bytes:
            raise TooLargeError(f"The batch is over {max_bytes} bytes (ODATA_BATCH_BYTES).")
        if is_json:
            return json_format.read_parts(request.body, most)
        return multipart.read_parts(request.headers["content-type"], request.body, most)

    def _read(self, request: ODataRequest) -> ODataResponse:
        answer = self._found(request)
        if answer.status != 200:
            return answer
        tag = answer.headers.get("ETag") or etag_of(answer.body)
        if is_modified(tag, request.headers):
            return replace(answer, headers={**answer.headers, "ETag": tag})
        return plain(answer.headers["OData-Version"], None, "", 304, {"ETag": tag})

    def _found(self, request: ODataRequest) -> ODataResponse:
        if request.allowance is None:  # one for both looks
            request = replace(request, allowance=Allowance.of_query(self._settings))
        try:
            return self._service.get(request)
        except NotFoundError as error:
            record = _RECORD.fullmatch(error.target or "")
            if record is None:
                raise
            values = self._waiting.find(record[1], request.principal)
        # Where none waits either, it may have gone to the replica between the two looks.
        reader = self._reader if values is None else PendingRecordReader(self._reader, values)
        return ODataService(reader, self._settings).get(request)


def _require_spoken(request: ODataRequest) -> None:
    negotiation.require_version(request.headers)
    negotiation.reject_isolation(request.headers)
    if request.method == "POST":  # nothing else has a body that is read
        require_no_coding(request.headers)


def _require_short(request: ODataRequest, max_bytes: int) -> None:
    texts = (request.path, *(text for pair in request.query for text in pair))
    if sum(len(each.encode("utf-8", "surrogatepass")) for each in texts) > max_bytes:
        raise TooLargeError(
            f"Path and options are over {max_bytes} bytes together (ODATA_QUERY_BYTES)."
        )


def _allowed(segments: Sequence[str]) -> tuple[str, ...]:
    """Return the methods of a resource."""
    if segments == ["$batch"] or segments[-1:] == ["$query"]:
        return _POST
    return (*_READ, "POST") if segments == [POINT_RECORD.entity_set] else _READ


def _with_query_of_body(request: ODataRequest, max_bytes: int) -> ODataRequest:
    """Turn ``POST …/$query`` into the GET that it stands for: URL Conventions 4.01, 4.17."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/plain":
        raise MediaTypeError("The body of /$query is the query part of a URL, as text/plain.")
    if len(request.body) > max_bytes:
        raise TooLargeError(f"The body is over {max_bytes} bytes.")
    try:
        given = read_query(request.body.decode("utf-8").strip())
    except UnicodeDecodeError as error:
        raise InvalidError("The body is not in UTF-8.") from error
    path = "/".join(segments_of(request.path)[:-1])
    return replace(request, method="GET", path=path, query=[*request.query, *given], body=b"")


def _with_path_of_id(request: ODataRequest) -> ODataRequest:
    """Turn ``$entity?$id=…`` into the request of that entity: URL Conventions 4.01, 4.10."""
    ids = [value for name, value in request.query if name.strip().lower() in ("$id", "id")]
    if len(ids) != 1:
        raise InvalidError("$entity needs one $id, the id of an entity.", target="$id")
    path, query = target_of(ids[0], request.service_root)
    segments = segments_of(path)
    if query or not segments or segments in _SYSTEM:
        raise InvalidError(f"{ids[0][:200]} is not the id of an entity.", target="$id")
    rest = [
        (name, value) for name, value in request.query if name.strip().lower() not in ("$id", "id")
    ]
    aliases = read_options(rest).aliases
    if read_resource(segments, aliases, request.principal).kind is not Kind.ENTITY:
        raise InvalidError(f"{ids[0][:200]} is not the id of an entity.", target="$id")
    return replace(request, path=path, query=rest)


def _failure(request: ODataRequest, error: PunchClockError) -> ODataResponse:
    version = negotiation.version_of_error(request.headers)
    return plain(
        version,
        negotiation.JSON,
        json.dumps(body_of(error)),
        status_of(error),
        headers_of(error),
    )
