"""Route every request to ``/odata``, by path and method, to reads, creation or batch.

Invariant: every response, errors included, has the OData version and the one error format. A
request in a batch gets the same response as the same request alone.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from chalicelib import telemetry
from chalicelib.content_coding import reject_content_coding
from chalicelib.error_response import error_body, log_server_error
from chalicelib.errors import (
    InternalError,
    InvalidError,
    MethodNotAllowedError,
    NotFoundError,
    NotImplementedByServiceError,
    PunchClockError,
    TooLargeError,
)
from chalicelib.odata import negotiation
from chalicelib.odata.batch import json_format, multipart
from chalicelib.odata.batch.executor import BatchExecutor, IndividualRequest
from chalicelib.odata.create import Creation, create, parse_creation
from chalicelib.odata.etag import etag_of, is_modified
from chalicelib.odata.language.option_names import full_name
from chalicelib.odata.media_types import JSON
from chalicelib.odata.model import ENTITY_TYPES, POINT_RECORD
from chalicelib.odata.pending import PendingRecordReader, PendingRecords
from chalicelib.odata.query.options import parse_options
from chalicelib.odata.reads import ODataService
from chalicelib.odata.request import ODataRequest
from chalicelib.odata.request_url import parse_query_string, parse_request_url
from chalicelib.odata.resource import Kind, read_resource, segments_of
from chalicelib.odata.response import ODataResponse, plain_response
from chalicelib.odata.response_budget import ResponseBudget
from chalicelib.odata.split_query import rejoin
from chalicelib.odata.sql.select_statements import RowReader
from chalicelib.settings import Settings

_READ_METHODS = ("GET", "HEAD", "OPTIONS")
_POST_METHODS = ("POST", "OPTIONS")
# The headers that change a response: ``negotiation`` and ``etag`` read them.
_READ_HEADERS = (
    "accept", "content-encoding", "content-type", "if-match", "if-none-match", "isolation",
    "odata-isolation", "odata-maxversion", "odata-version", "prefer",
)  # fmt: skip
# A decoder writes it for bytes that are not UTF-8.
_REPLACEMENT = "\ufffd"
# Paths that GET serves and the model does not define.
_SYSTEM_PATHS: tuple[list[str], ...] = ([], ["$metadata"])
_RECORD_PATH = re.compile(rf"{POINT_RECORD.entity_set}\(([0-9a-f-]{{36}})\)(?:/.*)?")


class Router:
    """Responds to requests, with a reader of Postgres and access to pending records."""

    def __init__(self, reader: RowReader, settings: Settings, pending: PendingRecords) -> None:
        self._reader = reader
        self._settings = settings
        self._pending = pending
        self._service = ODataService(reader, settings)

    def respond(self, request: ODataRequest) -> ODataResponse:
        """Return the response to a request of its own; any error becomes an error response.

        API Gateway may have split the query of the request (``split_query``), and has decoded it.
        """

        def route() -> ODataResponse:
            _require_utf_8(request.query)
            return self._route(replace(request, query=rejoin(request.query)))

        return self._respond_safely(request, route)

    def _respond_in_batch(self, request: ODataRequest) -> ODataResponse:
        return self._respond_safely(request, lambda: self._route(request))

    def _respond_safely(
        self, request: ODataRequest, route: Callable[[], ODataResponse]
    ) -> ODataResponse:
        try:
            response = route()
        except PunchClockError as error:
            log_server_error(error)
            response = _error_response(request, error)
        except Exception as error:  # noqa: BLE001 - the client gets no details of an internal error
            telemetry.error("a request failed", error, path=request.path)
            response = _error_response(request, InternalError())
        return replace(response, body="") if request.method == "HEAD" else response

    def _route(self, request: ODataRequest) -> ODataResponse:
        _require_bounded_url(request, self._settings.odata_query_bytes)
        _require_supported_headers(request)
        segments = segments_of(request.path)
        allowed = _allowed_methods(segments)
        is_allowed = request.method in allowed
        if request.method == "OPTIONS" or not is_allowed:
            self._require_resource(request, segments)
        if not is_allowed:
            raise MethodNotAllowedError(
                f"This resource does not allow {request.method[:20]}. It allows"
                f" {', '.join(allowed)}.",
                allowed,
            )
        if request.method == "OPTIONS":
            version = negotiation.version_of(request.headers)
            return plain_response(version, None, "", 204, {"Allow": ", ".join(allowed)})
        if segments == ["$batch"]:
            return self._execute_batch(request)
        if segments[-1:] == ["$query"]:
            request = _query_from_body(request, self._settings.max_body_bytes)
        if _is_entity_path(segments_of(request.path)):
            return self._read(_path_from_id(request))
        if request.method == "POST":
            return create([self._parse_creation(request)], self._pending)[0]
        return self._read(request)

    def _require_resource(self, request: ODataRequest, segments: list[str]) -> None:
        """Raise ``NotFoundError`` if a path that allows only reads is not in the model."""
        if _is_entity_path(segments):
            return
        if _allowed_methods(segments) == _READ_METHODS and segments not in _SYSTEM_PATHS:
            read_resource(segments, parse_options(request.query).aliases, request.principal)

    def _parse_creation(self, request: ODataRequest) -> Creation:
        return parse_creation(request, self._pending, self._settings.max_body_bytes)

    def _parse_change_set_request(self, request: ODataRequest) -> Creation:
        """Parse one request of a change set, which must create a record.

        Raises:
            NotImplementedByServiceError: the request does not create a record.
        """
        if request.method == "POST" and segments_of(request.path) == [POINT_RECORD.entity_set]:
            _require_supported_headers(request)
            return self._parse_creation(request)
        if request.method not in _READ_METHODS:
            self._route(request)  # raises a more precise error: not allowed, or not found
        raise NotImplementedByServiceError(
            "A change set may only create records (POST PointRecords)."
        )

    def _execute_batch(self, request: ODataRequest) -> ODataResponse:
        version = negotiation.version_of(request.headers)
        options = parse_options(request.query)
        options.allow("$format")
        is_json = negotiation.is_json_batch(request.headers.get("content-type", ""))
        respond_in_json = negotiation.wants_json_batch(
            request.headers, options.text("$format"), is_json
        )
        requests = self._parse_batch(request, is_json)
        preference = negotiation.preferred_to_continue(request.headers)
        # Without the preference, multipart stops at the first error, and JSON continues.
        continue_on_error = is_json if preference is None else preference
        executor = BatchExecutor(
            request,
            self._respond_in_batch,
            _error_response,
            self._parse_change_set_request,
            lambda creations: create(creations, self._pending),
            ResponseBudget.for_batch(self._settings),
            self._settings.odata_timeout_s,
        )
        responses = list(executor.execute(requests, continue_on_error=continue_on_error))
        if respond_in_json:
            content_type, body = JSON, json_format.write_responses(responses)
        else:
            content_type, body = multipart.write_responses(responses, with_change_sets=not is_json)
        headers = {}
        if preference is not None:
            headers["Preference-Applied"] = f"continue-on-error={str(preference).lower()}"
        return plain_response(version, content_type, body, headers=headers)

    def _parse_batch(self, request: ODataRequest, is_json: bool) -> list[IndividualRequest]:
        max_bytes = self._settings.odata_batch_bytes
        max_requests = self._settings.odata_batch_requests
        if len(request.body) > max_bytes:
            raise TooLargeError(f"The batch exceeds {max_bytes} bytes (ODATA_BATCH_BYTES).")
        if is_json:
            return json_format.parse_requests(request.body, max_requests)
        content_type = request.headers["content-type"]
        return multipart.parse_requests(content_type, request.body, max_requests)

    def _read(self, request: ODataRequest) -> ODataResponse:
        """Read a resource; respond with 304 if the client has its current version."""
        response = self._read_stored_or_pending(request)
        if response.status != 200:
            return response
        tag = response.headers.get("ETag") or etag_of(response.body)
        if is_modified(tag, request.headers):
            return replace(response, headers={**response.headers, "ETag": tag})
        return plain_response(response.headers["OData-Version"], None, "", 304, {"ETag": tag})

    def _read_stored_or_pending(self, request: ODataRequest) -> ODataResponse:
        if request.budget is None:  # both reads share one budget
            request = replace(request, budget=ResponseBudget.for_query(self._settings))
        try:
            return self._service.get(request)
        except NotFoundError as error:
            record = _RECORD_PATH.fullmatch(error.target or "")
            if record is None:
                raise
            values = self._pending.find(record[1], request.principal)
        # If the record is not pending either, the replicator may have moved it to Postgres between
        # the two reads. So read Postgres again.
        reader = self._reader if values is None else PendingRecordReader(self._reader, values)
        return ODataService(reader, self._settings).get(request)


def _require_utf_8(query: Sequence[tuple[str, str]]) -> None:
    """Reject a decoded query string that was not UTF-8: RFC 3986, section 2.5.

    A replacement character that the client meant looks the same, so it is rejected too.
    """
    for name, value in query:
        if _REPLACEMENT in name or _REPLACEMENT in value:
            shown = name.replace(_REPLACEMENT, "?")[:100]
            raise InvalidError(
                f"The option {shown} is not valid UTF-8, or contains the character U+FFFD. Encode"
                " the URL as UTF-8. Send U+FFFD itself in a $batch or as POST …/$query.",
                target=shown,
            )


def _require_supported_headers(request: ODataRequest) -> None:
    for name in _READ_HEADERS:
        if _REPLACEMENT in request.headers.get(name, ""):
            raise InvalidError(f"The header {name} is not valid UTF-8.", target=name)
    negotiation.require_version(request.headers)
    negotiation.reject_isolation(request.headers)
    if request.method == "POST":  # the body of any other method is ignored
        reject_content_coding(request.headers)


def _require_bounded_url(request: ODataRequest, max_bytes: int) -> None:
    texts = (request.path, *(text for pair in request.query for text in pair))
    if sum(len(each.encode("utf-8", "surrogatepass")) for each in texts) > max_bytes:
        raise TooLargeError(
            f"The path and the query options exceed {max_bytes} bytes in total (ODATA_QUERY_BYTES)."
        )


def _allowed_methods(segments: Sequence[str]) -> tuple[str, ...]:
    if segments == ["$batch"] or segments[-1:] == ["$query"]:
        return _POST_METHODS
    return (*_READ_METHODS, "POST") if segments == [POINT_RECORD.entity_set] else _READ_METHODS


def _query_from_body(request: ODataRequest, max_bytes: int) -> ODataRequest:
    """Turn ``POST …/$query`` into the equivalent GET: URL Conventions 4.01, section 4.17."""
    negotiation.require_text_body(request.headers)
    if len(request.body) > max_bytes:
        raise TooLargeError(f"The body exceeds {max_bytes} bytes (MAX_BODY_BYTES).")
    try:
        options = parse_query_string(request.body.decode("utf-8").strip())
    except UnicodeDecodeError as error:
        raise InvalidError("The body is not valid UTF-8.") from error
    path = "/".join(segments_of(request.path)[:-1])
    return replace(request, method="GET", path=path, query=[*request.query, *options], body=b"")


def _is_entity_path(segments: Sequence[str]) -> bool:
    """Return whether a path is ``$entity``, or a cast of it to an entity type of the model."""
    casts = [[each.qualified_name] for each in ENTITY_TYPES]
    return segments[:1] == ["$entity"] and segments[1:] in ([], *casts)


def _path_from_id(request: ODataRequest) -> ODataRequest:
    """Turn ``$entity?$id=…`` into the request for that entity: URL Conventions 4.01, 4.10."""
    ids = [value for name, value in request.query if full_name(name) == "$id"]
    if len(ids) != 1:
        raise InvalidError(
            "$entity requires exactly one $id option, the URL of an entity.", target="$id"
        )
    path, query = parse_request_url(ids[0], request.roots)
    segments = segments_of(path)
    not_an_entity = InvalidError(f"{ids[0][:200]} is not the URL of an entity.", target="$id")
    if query or segments in _SYSTEM_PATHS or _is_entity_path(segments):
        raise not_an_entity
    other_options = [(name, value) for name, value in request.query if full_name(name) != "$id"]
    aliases = parse_options(other_options).aliases
    resource = read_resource(segments, aliases, request.principal)
    if resource.kind is not Kind.ENTITY:
        raise not_an_entity
    cast_to = segments_of(request.path)[1:]
    if cast_to not in ([], [resource.entity.qualified_name]):
        raise NotFoundError(f"{ids[0][:200]} is not of the type {cast_to[0]}.", target="$id")
    return replace(request, path=path, query=other_options)


def _error_response(request: ODataRequest, error: PunchClockError) -> ODataResponse:
    return plain_response(
        negotiation.version_of_error(request.headers),
        JSON,
        json.dumps(error_body(error)),
        error.http_status,
        error.headers,
    )
