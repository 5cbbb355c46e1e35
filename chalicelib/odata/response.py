"""Build responses from the JSON that Postgres wrote, in the format and version of the client."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from chalicelib.odata.etag import etag_of
from chalicelib.odata.language.option_names import full_name
from chalicelib.odata.model import EntityType
from chalicelib.odata.negotiation import JsonFormat
from chalicelib.odata.query.options import Options
from chalicelib.odata.query.page_request import PageRequest
from chalicelib.odata.resource import Resource
from chalicelib.odata.sql.entity_json import UNESCAPED, query_string
from chalicelib.odata.sql.json_functions import JsonStyle

# The options that a nextLink omits, because its skip token contains them.
_IN_SKIP_TOKEN = ("$top", "$skip", "$skiptoken")


@dataclass(frozen=True, slots=True)
class ODataResponse:
    """A response: its HTTP status, its headers and its body."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class ResponseBuilder:
    """Builds the JSON responses to one request, from its service root, version and options."""

    service_root: str
    version: str
    format: JsonFormat
    options: Options

    def json_object(
        self,
        members: str,
        fragment: str,
        headers: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> ODataResponse:
        """Respond with a JSON object.

        Args:
            members: the members of the object as JSON, without braces.
            fragment: the fragment of the context URL, from ``#`` on.
        """
        if self.format.metadata != "none":
            context = json.dumps(f"{self.service_root}/$metadata{fragment}")
            members = f'"@odata.context":{context}' + (f",{members}" if members else "")
        content_type = self.format.content_type
        return plain_response(self.version, content_type, f"{{{members}}}", status, headers)

    def entity(
        self,
        members: str,
        fragment: str,
        headers: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> ODataResponse:
        """Respond with one entity and its ETag; for the arguments see ``json_object``."""
        tag = etag_of(f"{self.format.content_type}{fragment}{members}")
        if self.format.metadata != "none":
            members = f'"@odata.etag":{json.dumps(tag)},{members}'
        headers = {**self._with_applied(headers or {}), "ETag": tag}
        return self.json_object(members, fragment, headers, status)

    def entity_url(self, entity: EntityType, key: object) -> str:
        """Return the canonical URL of an entity."""
        return f"{self.service_root}/{entity.entity_set}({key})"

    def json_style(self, expand_page: int, max_bytes: int) -> JsonStyle:
        """Return how Postgres writes the JSON.

        ``expand_page`` is the page size of an expansion, ``max_bytes`` the size limit of a
        response.
        """
        return JsonStyle(
            self.service_root,
            self.format.metadata,
            self.format.numbers_as_text,
            expand_page,
            max_bytes,
            self.options.text("$format"),
            self.format.omit_nulls,
        )

    def page(
        self, resource: Resource, request: PageRequest, row: Sequence[Any], fragment: str
    ) -> ODataResponse:
        """Respond with a page, from the row that its statement returned.

        The columns of the row are those of ``sql.select_statements.page_sql``, then the total
        count.
        """
        values, last_keys, has_more, size, total = row[:5]
        count = total if request.must_count else request.count
        parts = [f'"@odata.count":{self._int64(count)}'] if request.wants_count else []
        parts.append(f'"value":[{values or ""}]')
        token = request.next_token(last_keys, count, size) if has_more else None
        if token is not None:
            link = self._next_link(resource, token)
            parts.append(f'"@odata.nextLink":{json.dumps(link)}')
        headers = self._with_applied(request.response_headers())
        return self.json_object(",".join(parts), fragment, headers)

    def _with_applied(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Add to the preferences that were applied: RFC 7240, section 3."""
        if not self.format.omit_nulls:
            return headers
        omitted = f"omit-values={self.format.omitted_values}"
        applied = [headers.get("Preference-Applied"), omitted]
        return {**headers, "Preference-Applied": ", ".join(each for each in applied if each)}

    def _int64(self, value: object) -> str:
        return f'"{value}"' if self.format.numbers_as_text else str(value)

    def _next_link(self, resource: Resource, token: str) -> str:
        """Return the URL of the next page: the same options with a skip token."""
        pairs = [
            (name, value)
            for name, value in self.options.given
            if full_name(name) not in _IN_SKIP_TOKEN
        ]
        pairs.append(("$skiptoken", token))
        return f"{self.service_root}/{quote(resource.path, UNESCAPED)}?{query_string(pairs)}"


def plain_response(
    version: str,
    content_type: str | None,
    body: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> ODataResponse:
    """Respond with a body as it is, without a context URL or an ETag."""
    all_headers = {"OData-Version": version, **(headers or {})}
    if content_type:
        all_headers["Content-Type"] = content_type
    return ODataResponse(status, all_headers, body)
