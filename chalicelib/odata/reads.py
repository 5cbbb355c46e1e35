"""NavigationStep 4: answer OData queries about the replica. Reads only, one statement a request.

The pipeline: options → typed trees → one SQL statement with bound values → JSON text that Postgres
wrote → answer. Every fault of a request is one of ``chalicelib.errors``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.errors import InvalidError, NotFoundError
from chalicelib.odata import negotiation
from chalicelib.odata.apply import handler as applied
from chalicelib.odata.apply.pipeline import ApplyBounds
from chalicelib.odata.expressions.analyzer import root
from chalicelib.odata.language.parser import Bounds
from chalicelib.odata.metadata.csdl_json import csdl_json
from chalicelib.odata.metadata.csdl_xml import csdl_xml, service_document
from chalicelib.odata.model import Property
from chalicelib.odata.query.options import SUPPORTED, Options, read_options
from chalicelib.odata.query.page_request import PageRequest, PageSizes
from chalicelib.odata.query.parse_query import Limits, Query, read_query
from chalicelib.odata.query.projection import View
from chalicelib.odata.query.total_order import total_order
from chalicelib.odata.resource import Kind, Resource, read_resource, segments_of
from chalicelib.odata.response import Answer, ODataResponse, plain
from chalicelib.odata.response_budget import Allowance
from chalicelib.odata.sql.complexity import require_plannable
from chalicelib.odata.sql.json_functions import JsonStyle
from chalicelib.odata.sql.select_statements import (
    Page,
    RowReader,
    Statement,
    all_conditions,
    count_statement,
    entity_statement,
    page_statement,
    value_statement,
)
from chalicelib.principal import Principal
from chalicelib.settings import Settings

__all__ = ["ODataRequest", "ODataResponse", "ODataService"]


@dataclass(frozen=True, slots=True)
class ODataRequest:
    """A request. ``service_root`` is the absolute URL up to and including ``/odata``, ``path`` the
    rest with its segments decoded or percent-encoded, ``query`` the decoded pairs, ``headers`` have
    their names in lower case. All that ``principal`` may not see is as if it were not. Without an
    ``allowance`` it has that of one query.
    """

    principal: Principal
    service_root: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes = b""
    allowance: Allowance | None = None


class ODataService:
    """Answers requests from a reader of the replica."""

    def __init__(self, reader: RowReader, settings: Settings) -> None:
        self._reader = reader
        self._settings = settings
        self._sizes = PageSizes(settings.odata_page, settings.odata_page_max)
        bounds = Bounds(settings.odata_max_tokens, settings.odata_max_depth)
        self._limits = Limits(bounds, settings.odata_expand_depth)
        self._apply_bounds = ApplyBounds(
            settings.odata_max_transformations, settings.odata_max_added_properties, bounds
        )

    def get(self, request: ODataRequest) -> ODataResponse:
        """Answer one request.

        Raises:
            InvalidError: the request is not one of OData, or not one about this model.
            NotFoundError: there is no such resource.
            NotAcceptableError: the client reads no format that the resource has.
            NotImplementedByServiceError: it is legal OData that the service does not support.
            UnavailableError: Postgres cannot be reached, or the query takes too long.
        """
        run = _Run(self._reader, request.allowance or Allowance.of_query(self._settings))
        version = negotiation.version_of(request.headers)
        options = read_options(request.query)
        segments = segments_of(request.path)
        if segments == ["$metadata"]:
            options.allow("$format")
            kind = negotiation.metadata_format(request.headers, options.text("$format"))
            csdl = csdl_xml if kind == negotiation.XML else csdl_json
            return plain(version, kind, csdl(version, self._limits.expand_depth))
        if not segments:
            options.allow("$format")
            answer = self._answer(request, options, version)
            return answer.of(f'"value":{service_document()}', "")
        resource = read_resource(segments, options.aliases, request.principal)
        # Counts and values are plain text, whatever else the client accepts.
        if resource.kind is Kind.COUNT:
            return self._count(resource, options, version, run)
        if resource.member and resource.kind is Kind.VALUE:
            options.allow("$format")
            return self._value(resource, resource.member, version, run)
        answer = self._answer(request, options, version)
        if resource.member:
            return self._property(resource, resource.member, options, answer, run)
        if resource.kind is Kind.ENTITY:
            return self._entity(resource, options, answer, run)
        return self._collection(resource, options, request.headers, answer, run)

    def _answer(self, request: ODataRequest, options: Options, version: str) -> Answer:
        form = negotiation.json_format(request.headers, options.text("$format"))
        return Answer(request.service_root, version, form, options)

    def _collection(
        self,
        resource: Resource,
        options: Options,
        headers: Mapping[str, str],
        answer: Answer,
        run: "_Run",
    ) -> ODataResponse:
        if options.text("$apply") is not None:
            if resource.is_reference:
                raise InvalidError("$apply is not for references.", target="$apply")
            statement, rest = applied.collection(
                resource,
                options,
                headers,
                answer,
                self._apply_bounds,
                self._sizes,
                run.allowance.max_bytes,
            )
            return rest.of(run.page(statement, resource, rest.page.size))
        options.allow(*(SUPPORTED - _NOT_OF_REFERENCES if resource.is_reference else SUPPORTED))
        query = self._query(resource, options)
        conditions = all_conditions(resource, query.conditions)
        order = total_order(query.view.it, query.order, conditions)
        asked = PageRequest.of(resource, options, headers, self._sizes, len(order))
        page = Page(
            conditions,
            order,
            after=asked.token.after if asked.token else None,
            skip=asked.skip,
            size=asked.entities,
            with_count=asked.must_count,
        )
        view = _view(resource, query)
        statement = page_statement(resource, page, view, self._style(answer, run))
        row = run.page(statement, resource, page.size)
        fragment = f"#{resource.entity.entity_set}{view.context(answer.version)}"
        if resource.is_reference:
            fragment = "#Collection($ref)"
        return answer.page(resource, asked, row, fragment)

    def _entity(
        self, resource: Resource, options: Options, answer: Answer, run: "_Run"
    ) -> ODataResponse:
        options.allow("$format", *([] if resource.is_reference else _OF_ENTITY))
        view = _view(resource, self._query(resource, options))
        body = run.entity(entity_statement(resource, view, self._style(answer, run)), resource)
        fragment = f"#{resource.entity.entity_set}{view.context(answer.version)}/$entity"
        if resource.is_reference:
            return answer.of(body[1:-1], "#$ref")
        return answer.entity(body[1:-1], fragment)

    def _property(
        self,
        resource: Resource,
        member: Property,
        options: Options,
        answer: Answer,
        run: "_Run",
    ) -> ODataResponse:
        options.allow("$format")
        view = View(root(resource.entity), (member,))
        style = replace(self._style(answer, run), metadata="none")
        body = run.entity(entity_statement(resource, view, style), resource)
        value = body[len(f'{{"{member.name}":') : -1]
        if value == "null":
            return plain(answer.version, None, "", 204)
        return answer.of(f'"value":{value}', f"#{resource.path}")

    def _value(
        self, resource: Resource, member: Property, version: str, run: "_Run"
    ) -> ODataResponse:
        value: str | None = run.row(value_statement(resource, member), resource)[0]
        if value is None:
            return plain(version, None, "", 204)
        return plain(version, "text/plain;charset=utf-8", value)

    def _count(
        self, resource: Resource, options: Options, version: str, run: "_Run"
    ) -> ODataResponse:
        if options.text("$apply") is not None:
            statement = applied.count(resource, options, self._apply_bounds)
            return plain(version, "text/plain", str(run.row_of_many(statement, resource)[0]))
        # What changes nothing about how many there are may be given, and rightly:
        # Protocol 4.01, 11.2.10.
        options.allow(*(SUPPORTED - {"$skiptoken"}))
        options.natural("$top"), options.natural("$skip"), options.boolean("$count")
        statement = count_statement(resource, self._query(resource, options).conditions)
        return plain(version, "text/plain", str(run.row_of_many(statement, resource)[0]))

    def _style(self, answer: Answer, run: "_Run") -> JsonStyle:
        return answer.style(self._settings.odata_expand_page, run.allowance.max_bytes)

    def _query(self, resource: Resource, options: Options) -> Query:
        return read_query(options.texts, resource.entity, options.aliases, self._limits)


@dataclass(frozen=True, slots=True)
class _Run:
    """Runs the statements of one request, within its allowance."""

    reader: RowReader
    allowance: Allowance

    def page(self, statement: Statement, resource: Resource, size: int) -> list[Any]:
        """Return the row of a page of up to ``size``, of which at least one finds room."""
        row = self.row_of_many(statement, resource)
        _, _, has_more, written, *_ = row
        if has_more and size and not written:
            raise self.allowance.no_room()
        return row

    def entity(self, statement: Statement, resource: Resource) -> str:
        """Return one entity as JSON."""
        text: str | None = self.row(statement, resource)[0]
        if text is None:
            raise self.allowance.no_room()
        return text

    def row_of_many(self, statement: Statement, resource: Resource) -> list[Any]:
        """Run the statement of a page or a count, whose last column says whether the parent is."""
        row = self.row(statement, resource)
        if not row[-1]:
            raise _missing(resource.parent)
        return row

    def row(self, statement: Statement, resource: Resource) -> list[Any]:
        require_plannable(statement.sql)
        found = self.reader.row(statement.sql, statement.parameters, self.allowance.until)
        if found is None:
            raise _missing(resource)
        return found


_OF_ENTITY = ("$compute", "$expand", "$select")
_NOT_OF_REFERENCES = frozenset(_OF_ENTITY)


def _view(resource: Resource, query: Query) -> View:
    """Return what is written of each entity of the resource."""
    return View(query.view.it, (), is_reference=True) if resource.is_reference else query.view


def _missing(resource: Resource | None) -> NotFoundError:
    path = resource.path if resource else ""
    return NotFoundError(f"There is no {path}.", target=path)
