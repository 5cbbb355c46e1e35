"""Wrap what Postgres wrote into the answer of the format and version that the client reads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from chalicelib.odata.etag import etag_of
from chalicelib.odata.model import EntityType
from chalicelib.odata.negotiation import JsonFormat
from chalicelib.odata.query.options import Options
from chalicelib.odata.query.page_request import PageRequest
from chalicelib.odata.resource import Resource
from chalicelib.odata.sql.entity_json import UNESCAPED, query_string
from chalicelib.odata.sql.json_functions import JsonStyle

# What a nextLink leaves out of the options of its page: its token has them.
_IN_TOKEN = frozenset({"$top", "top", "$skip", "skip", "$skiptoken"})


@dataclass(frozen=True, slots=True)
class ODataResponse:
    """An answer that is no error."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What every JSON answer to one request has in common."""

    service_root: str
    version: str
    form: JsonFormat
    options: Options

    def of(
        self,
        members: str,
        fragment: str,
        headers: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> ODataResponse:
        """Answer an object of JSON ``members``, whose context is a fragment of ``$metadata``."""
        if self.form.metadata != "none":
            context = json.dumps(f"{self.service_root}/$metadata{fragment}")
            members = f'"@odata.context":{context}' + (f",{members}" if members else "")
        return plain(self.version, self.form.content_type, f"{{{members}}}", status, headers)

    def entity(
        self,
        members: str,
        fragment: str,
        headers: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> ODataResponse:
        """Answer one entity: as ``of``, with its ETag."""
        tag = etag_of(f"{self.form.content_type}{fragment}{members}")
        if self.form.metadata != "none":
            members = f'"@odata.etag":{json.dumps(tag)},{members}'
        return self.of(members, fragment, {**(headers or {}), "ETag": tag}, status)

    def url_of(self, entity: EntityType, key: object) -> str:
        """Return the URL of an entity."""
        return f"{self.service_root}/{entity.entity_set}({key})"

    def style(self, expand_page: int, max_bytes: int) -> JsonStyle:
        """Return how entities are written: at most so many in one expansion, and so many bytes."""
        return JsonStyle(
            self.service_root,
            self.form.metadata,
            self.form.numbers_as_text,
            expand_page,
            max_bytes,
            self.options.text("$format"),
        )

    def page(
        self, resource: Resource, asked: PageRequest, row: Sequence[Any], fragment: str
    ) -> ODataResponse:
        """Answer a page: the row has it as JSON, the place of its end, whether there is more, how
        many are on it, and how many there are in all where that was asked for.
        """
        values, last, has_more, written, counted = row[:5]
        count = counted if asked.must_count else asked.count
        parts = [f'"@odata.count":{self.number(count)}'] if asked.wants_count else []
        parts.append(f'"value":[{values or ""}]')
        token = asked.following(last, count, written) if has_more else None
        if token is not None:
            link = self.next_link(resource, token)
            parts.append(f'"@odata.nextLink":{json.dumps(link)}')
        return self.of(",".join(parts), fragment, asked.headers())

    def number(self, value: object) -> str:
        """Write an Int64."""
        return f'"{value}"' if self.form.numbers_as_text else str(value)

    def next_link(self, resource: Resource, token: str) -> str:
        """Return the URL of the page that the token stands for: the same options after it."""
        pairs = [
            (name, value)
            for name, value in self.options.given
            if name.strip().lower() not in _IN_TOKEN
        ]
        pairs.append(("$skiptoken", token))
        return f"{self.service_root}/{quote(resource.path, UNESCAPED)}?{query_string(pairs)}"


def plain(
    version: str,
    content_type: str | None,
    body: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> ODataResponse:
    """Answer a body as it is."""
    found = {"OData-Version": version, **(headers or {})}
    if content_type:
        found["Content-Type"] = content_type
    return ODataResponse(status, found, body)
