"""Create point records: ``POST /odata/PointRecords``. Protocol 4.01, section 11.4.2.

Intake validates and stores the record, so a creation is idempotent and requires only the buffer.
This module translates between OData and intake.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.errors import MalformedError, NotImplementedByServiceError, TooLargeError
from chalicelib.odata import negotiation
from chalicelib.odata.edm import Edm
from chalicelib.odata.model import POINT_RECORD
from chalicelib.odata.pending import PendingRecords, Values, pending_record_members
from chalicelib.odata.query.options import parse_options
from chalicelib.odata.query.selection import Selection, parse_selection
from chalicelib.odata.request import ODataRequest
from chalicelib.odata.response import ODataResponse, ResponseBuilder, plain_response
from chalicelib.point_record import PointRecord
from chalicelib.strict_json import load_json

# OData's seconds are optional (ABNF, rule dateTimeOffsetValue), those of RFC 3339 are not.
_WITHOUT_SECONDS = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2})((?:[Zz]|[-+][0-9]{2}:[0-9]{2})?)"
)
_INT64 = re.compile(r"-?[0-9]{1,19}")
_INT64_PROPERTIES = [each for each in POINT_RECORD.properties if each.type is Edm.INT64]
_INSTANT_PROPERTIES = [
    each for each in POINT_RECORD.properties if each.type is Edm.DATE_TIME_OFFSET
]
_NAVIGATION_NAMES = frozenset(each.name for each in POINT_RECORD.navigations)


@dataclass(frozen=True, slots=True)
class Creation:
    """A validated record to store, and the response that the client wants.

    ``preferred_return`` is ``minimal``, ``representation`` or None.
    """

    record: PointRecord
    selection: Selection
    builder: ResponseBuilder
    preferred_return: str | None

    def response(self, values: Values, *, created: bool) -> ODataResponse:
        """Build the response for the stored record: 201, or 200 if it already existed."""
        version, url = self.builder.version, self.builder.entity_url(POINT_RECORD, values["id"])
        headers = {"Location": url}
        if self.preferred_return:
            headers["Preference-Applied"] = f"return={self.preferred_return}"
        if self.preferred_return == "minimal":
            headers["OData-EntityId"] = url
            if version != "4.0":
                headers["EntityId"] = url  # the name that 4.01 prefers
            return plain_response(version, None, "", 204, headers)
        fragment = f"#{POINT_RECORD.entity_set}{self.selection.context}/$entity"
        members = pending_record_members(values, self.selection, self.builder)
        return self.builder.entity(members, fragment, headers, 201 if created else 200)


def parse_creation(request: ODataRequest, pending: PendingRecords, max_bytes: int) -> Creation:
    """Parse and validate a request that creates a record.

    Raises:
        InvalidError: the request is invalid.
        MalformedError: the record is invalid; the error names every invalid field.
        TooOldError, InTheFutureError: only the instant of the record is at fault.
        ForbiddenError: the principal may not post this record.
        MediaTypeError: the Content-Type of the body is not JSON.
        TooLargeError: the body exceeds ``max_bytes``.
    """
    version = negotiation.version_of(request.headers)
    options = parse_options(request.query)
    if options.text("$expand") is not None:
        raise NotImplementedByServiceError(
            "$expand is not supported when a record is created.", target="$expand"
        )
    options.allow("$select", "$format")
    selection = parse_selection(options.text("$select"), POINT_RECORD)
    json_format = negotiation.json_format(request.headers, options.text("$format"))
    numbers_as_text = negotiation.require_json_body(request.headers)
    if len(request.body) > max_bytes:
        raise TooLargeError(f"The body exceeds {max_bytes} bytes (MAX_BODY_BYTES).")
    document = _without_annotations(load_json(request.body), numbers_as_text)
    return Creation(
        pending.read(document, request.principal),
        selection,
        ResponseBuilder(request.service_root, version, json_format, options),
        negotiation.preferred_return(request.headers),
    )


def create(creations: Sequence[Creation], pending: PendingRecords) -> list[ODataResponse]:
    """Store the records of all creations, or none, and build the responses.

    Raises:
        UnavailableError: the buffer did not confirm that it stored the records.
        NotImplementedByServiceError: the buffer cannot store so many records atomically.
    """
    stored = pending.store([each.record for each in creations])
    return [
        each.response(values, created=created)
        for each, (values, created) in zip(creations, stored, strict=True)
    ]


def _without_annotations(document: object, numbers_as_text: bool) -> object:
    """Return the document that intake validates: the body without what is specific to OData.

    Annotations are not stored. The standard requires the service to ignore computed properties in
    the body.
    """
    if not isinstance(document, dict):
        return document
    _require_type(document)
    record: dict[str, Any] = {}
    for name, value in document.items():
        member = POINT_RECORD.by_name.get(name)
        is_navigation = name.partition("@")[0] in _NAVIGATION_NAMES
        if is_navigation and (member or name.endswith("bind")) and value not in (None, []):
            raise NotImplementedByServiceError(
                f"{name} is not supported: related entities cannot be created or linked together"
                " with a record.",
                target=name,
            )
        if is_navigation or "@" in name or (member and name not in POINT_RECORD.insertable):
            continue
        if numbers_as_text and member in _INT64_PROPERTIES and _is_integer_text(value):
            value = int(value)
        if member in _INSTANT_PROPERTIES and isinstance(value, str):
            match = _WITHOUT_SECONDS.fullmatch(value)
            value = f"{match[1]}:00{match[2]}" if match else value
        record[name] = value
    return record


def _is_integer_text(value: object) -> bool:
    return isinstance(value, str) and _INT64.fullmatch(value) is not None


def _require_type(document: Mapping[str, Any]) -> None:
    for name in ("@odata.type", "@type"):
        given = document.get(name)
        if given is not None and str(given).rpartition("#")[2] != POINT_RECORD.qualified_name:
            raise MalformedError(
                f"{name} must be #{POINT_RECORD.qualified_name}: no other type can be created.",
                target=name,
            )
