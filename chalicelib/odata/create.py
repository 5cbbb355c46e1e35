"""``POST /odata/PointRecords``: intake, in OData's words. Protocol 4.01, 11.4.2 (create an entity).

What a valid record is, and that the same punch is stored once, is intake's word; it needs nothing
but the buffer, and neither does this.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.errors import InvalidError, NotImplementedByServiceError, TooLargeError
from chalicelib.odata import negotiation
from chalicelib.odata.edm import Edm
from chalicelib.odata.model import POINT_RECORD
from chalicelib.odata.pending import PendingRecords, Values, pending_record_members
from chalicelib.odata.query.options import read_options
from chalicelib.odata.query.selection import Selection, read_selection
from chalicelib.odata.reads import ODataRequest
from chalicelib.odata.response import Answer, ODataResponse, plain
from chalicelib.point_record import PointRecord
from chalicelib.strict_json import load_json

_INT64 = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Creation:
    """A record that is to be stored, and how to answer."""

    record: PointRecord
    selection: Selection
    answer: Answer
    preferred: str | None

    def answered(self, values: Values, *, created: bool) -> ODataResponse:
        """Answer with the record as it is stored: 201, or 200 where the punch was there already."""
        version, url = self.answer.version, self.answer.url_of(POINT_RECORD, values["id"])
        headers = {"Location": url}
        if self.preferred:
            headers["Preference-Applied"] = f"return={self.preferred}"
        if self.preferred == "minimal":
            headers["OData-EntityId"] = url
            if version != "4.0":
                headers["EntityId"] = url  # the name that 4.01 prefers
            return plain(version, None, "", 204, headers)
        fragment = f"#{POINT_RECORD.entity_set}{self.selection.context}/$entity"
        members = pending_record_members(values, self.selection, self.answer)
        return self.answer.entity(members, fragment, headers, 201 if created else 200)


def read_creation(request: ODataRequest, waiting: PendingRecords, max_bytes: int) -> Creation:
    """Read a request that creates a record.

    Raises:
        InvalidError: the request or the record is at fault; every bad field is named.
        ForbiddenError: the record is not the principal's to post.
        MediaTypeError: the body is no JSON by its Content-Type.
    """
    version = negotiation.version_of(request.headers)
    options = read_options(request.query)
    if options.text("$expand") is not None:
        raise NotImplementedByServiceError(
            "$expand is not supported where a record is created.", target="$expand"
        )
    options.allow("$select", "$format")
    selection = read_selection(options.text("$select"), POINT_RECORD)
    form = negotiation.json_format(request.headers, options.text("$format"))
    numbers_as_text = negotiation.require_json_body(request.headers)
    if len(request.body) > max_bytes:
        raise TooLargeError(f"The body is over {max_bytes} bytes.")
    document = _record(load_json(request.body), numbers_as_text)
    return Creation(
        waiting.read(document, request.principal),
        selection,
        Answer(request.service_root, version, form, options),
        negotiation.preferred_return(request.headers),
    )


def create(creations: Sequence[Creation], waiting: PendingRecords) -> list[ODataResponse]:
    """Store the records of all, or none, and answer each.

    Raises:
        UnavailableError: they are not known to be stored.
        NotImplementedByServiceError: they are more than can be stored together.
    """
    stored = waiting.store([each.record for each in creations])
    return [
        each.answered(values, created=created)
        for each, (values, created) in zip(creations, stored, strict=True)
    ]


def _record(document: object, numbers_as_text: bool) -> object:
    """Return what intake is to judge: the body without what OData adds to an entity.

    Annotations say nothing that is kept, and what the service itself computes is ignored where a
    client sends it, as the standard asks.
    """
    if not isinstance(document, dict):
        return document
    _require_type(document)
    record: dict[str, Any] = {}
    for name, value in document.items():
        member = POINT_RECORD.by_name.get(name)
        bound = name.partition("@")[0] in (each.name for each in POINT_RECORD.navigations)
        if bound and (member or name.endswith("bind")) and value not in (None, []):
            raise NotImplementedByServiceError(
                f"{name} cannot be created or linked together with a record.", target=name
            )
        if bound or "@" in name or (member and name not in POINT_RECORD.insertable):
            continue
        if numbers_as_text and member in _INT64S and _is_integer(value):
            value = int(value)
        record[name] = value
    return record


_INT64S = [each for each in POINT_RECORD.properties if each.type is Edm.INT64]


def _is_integer(value: object) -> bool:
    return isinstance(value, str) and _INT64.fullmatch(value) is not None


def _require_type(document: Mapping[str, Any]) -> None:
    for name in ("@odata.type", "@type"):
        given = document.get(name)
        if given is not None and str(given).rpartition("#")[2] != POINT_RECORD.qualified_name:
            raise InvalidError(
                f"{name} must be #{POINT_RECORD.qualified_name}: nothing else is created here.",
                target=name,
            )
