"""Step 4: answer OData queries about the replica. Reads only, one statement a request.

The pipeline: options → typed trees → one SQL statement with bound values → JSON text that Postgres
wrote → answer. Every fault of a request is one of ``chalicelib.errors``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.errors import NotFoundError
from chalicelib.odata import metadata, negotiation
from chalicelib.odata.answer import Answer, ODataResponse, plain
from chalicelib.odata.expressions import root
from chalicelib.odata.model import Property
from chalicelib.odata.negotiation import PageSize
from chalicelib.odata.options import SUPPORTED, Options, read_options
from chalicelib.odata.paging import Token, whole_order
from chalicelib.odata.query import READ_TOGETHER, Limits, Query, read_query
from chalicelib.odata.resource import Kind, Resource, read_resource, segments_of
from chalicelib.odata.statements import (
    Page,
    Rows,
    Statement,
    conditions_of,
    count_statement,
    entity_statement,
    page_statement,
    value_statement,
)
from chalicelib.odata.syntax import Bounds
from chalicelib.odata.view import View
from chalicelib.settings import Settings

__all__ = ["ODataRequest", "ODataResponse", "ODataService"]


@dataclass(frozen=True, slots=True)
class ODataRequest:
    """A request. ``service_root`` is the absolute URL up to and including ``/odata``, ``path`` the
    rest with its segments decoded or percent-encoded, ``query`` the decoded pairs, ``headers`` have
    their names in lower case.
    """

    service_root: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes = b""


class ODataService:
    """Answers requests from a reader of the replica."""

    def __init__(self, reader: Rows, settings: Settings) -> None:
        self._reader = reader
        self._page = settings.odata_page
        self._page_max = settings.odata_page_max
        self._expand_page = settings.odata_expand_page
        bounds = Bounds(settings.odata_max_tokens, settings.odata_max_depth)
        self._limits = Limits(bounds, settings.odata_expand_depth)

    def get(self, request: ODataRequest) -> ODataResponse:
        """Answer one request.

        Raises:
            InvalidError: the request is not one of OData, or not one about this model.
            NotFoundError: there is no such resource.
            NotAcceptableError: the client reads no format that the resource has.
            NotImplementedByServiceError: it is legal OData that the service does not support.
            UnavailableError: Postgres cannot be reached, or the query takes too long.
        """
        version = negotiation.version_of(request.headers)
        options = read_options(request.query)
        segments = segments_of(request.path)
        if segments == ["$metadata"]:
            options.allow("$format")
            negotiation.require_xml(request.headers, options.text("$format"))
            return plain(version, negotiation.XML, metadata.csdl_xml(version))
        if not segments:
            options.allow("$format")
            answer = self._answer(request, options, version)
            return answer.of(f'"value":{metadata.service_document()}', "")
        resource = read_resource(segments, options.aliases)
        # Counts and values are plain text, whatever else the client accepts.
        if resource.kind is Kind.COUNT:
            return self._count(resource, options, version)
        if resource.member and resource.kind is Kind.VALUE:
            options.allow("$format")
            return self._value(resource, resource.member, version)
        answer = self._answer(request, options, version)
        if resource.member:
            return self._property(resource, resource.member, options, answer)
        if resource.kind is Kind.ENTITY:
            return self._entity(resource, options, answer)
        return self._collection(resource, options, request, answer)

    def _answer(self, request: ODataRequest, options: Options, version: str) -> Answer:
        form = negotiation.json_format(request.headers, options.text("$format"))
        return Answer(request.service_root, version, form, options)

    def _collection(
        self, resource: Resource, options: Options, request: ODataRequest, answer: Answer
    ) -> ODataResponse:
        options.allow(*SUPPORTED)
        query = self._query(resource, options)
        conditions = conditions_of(resource, query.conditions)
        order = whole_order(query.view.it, query.order, conditions)
        token = self._token(resource, options, len(order))
        preferred = negotiation.preferred_page_size(request.headers)
        top, wants_count = options.natural("$top"), options.boolean("$count")
        size = min(self._size(preferred, token, top), self._page_max)
        limits = [each for each in (top, token.remaining if token else None) if each is not None]
        remaining = min(limits) if limits else None
        count = token.count if token else None
        page = Page(
            conditions,
            order,
            after=token.after if token else None,
            skip=options.natural("$skip") or 0,
            size=size if remaining is None else min(size, remaining),
            with_count=wants_count and count is None,
        )
        statement = page_statement(resource, page, query.view, answer.style(self._expand_page))
        values, last, has_more, counted, parent_exists = self._row(statement, resource)
        if not parent_exists:
            raise _missing(resource.parent)
        count = counted if page.with_count else count
        parts = [f'"@odata.count":{answer.number(count)}'] if wants_count else []
        parts.append(f'"value":[{values or ""}]')
        left = None if remaining is None else remaining - page.size
        if has_more and left != 0:
            following = Token.after_last(last, left, count, size)
            link = answer.next_link(resource, following.encode(_identity(resource, options)))
            parts.append(f'"@odata.nextLink":{json.dumps(link)}')
        headers = {"Preference-Applied": f"{preferred.name}={size}"} if preferred else {}
        fragment = f"#{resource.entity.entity_set}{query.view.context(answer.version)}"
        return answer.of(",".join(parts), fragment, headers)

    def _entity(self, resource: Resource, options: Options, answer: Answer) -> ODataResponse:
        options.allow("$compute", "$expand", "$select", "$format")
        view = self._query(resource, options).view
        statement = entity_statement(resource, view, answer.style(self._expand_page))
        body: str = self._row(statement, resource)[0]
        fragment = f"#{resource.entity.entity_set}{view.context(answer.version)}/$entity"
        return answer.entity(body[1:-1], fragment)

    def _property(
        self, resource: Resource, member: Property, options: Options, answer: Answer
    ) -> ODataResponse:
        options.allow("$format")
        view = View(root(resource.entity), (member,))
        style = replace(answer.style(self._expand_page), metadata="none")
        body: str = self._row(entity_statement(resource, view, style), resource)[0]
        value = body[len(f'{{"{member.name}":') : -1]
        if value == "null":
            return plain(answer.version, None, "", 204)
        return answer.of(f'"value":{value}', f"#{resource.path}")

    def _value(self, resource: Resource, member: Property, version: str) -> ODataResponse:
        value: str | None = self._row(value_statement(resource, member), resource)[0]
        if value is None:
            return plain(version, None, "", 204)
        return plain(version, "text/plain;charset=utf-8", value)

    def _count(self, resource: Resource, options: Options, version: str) -> ODataResponse:
        # What changes nothing about how many there are may be given, and rightly:
        # Protocol 4.01, 11.2.10.
        options.allow(*(SUPPORTED - {"$skiptoken"}))
        options.natural("$top"), options.natural("$skip"), options.boolean("$count")
        statement = count_statement(resource, self._query(resource, options).conditions)
        count, parent_exists = self._row(statement, resource)
        if not parent_exists:
            raise _missing(resource.parent)
        return plain(version, "text/plain", str(count))

    def _query(self, resource: Resource, options: Options) -> Query:
        return read_query(options.texts, resource.entity, options.aliases, self._limits)

    def _token(self, resource: Resource, options: Options, keys: int) -> Token | None:
        text = options.text("$skiptoken")
        return None if text is None else Token.decode(text, _identity(resource, options), keys)

    def _size(self, preferred: PageSize | None, token: Token | None, top: int | None) -> int:
        """Return the size of a page that the client asks for, in one way or another."""
        if preferred:
            return preferred.size
        if token:
            return token.size
        return top or self._page

    def _row(self, statement: Statement, resource: Resource) -> list[Any]:
        row = self._reader.row(statement.sql, statement.parameters)
        if row is None:
            raise _missing(resource)
        return row


def _identity(resource: Resource, options: Options) -> list[object]:
    """Return what makes a query the one that a token belongs to."""
    texts = [options.text(name) for name in READ_TOGETHER]
    return [resource.path, *texts, sorted(options.aliases.items())]


def _missing(resource: Resource | None) -> NotFoundError:
    path = resource.path if resource else ""
    return NotFoundError(f"There is no {path}.", target=path)
