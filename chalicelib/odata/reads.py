"""Serve GET requests: one SQL statement per request.

Query options → typed AST → one SQL statement with bound parameters → JSON text, which Postgres
writes → response. An invalid request raises one of ``chalicelib.errors``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.errors import GoneError, InvalidError, NotFoundError
from chalicelib.odata import negotiation
from chalicelib.odata.apply import handler as apply_handler
from chalicelib.odata.apply.pipeline import ApplyBounds
from chalicelib.odata.expressions.analyzer import root
from chalicelib.odata.language.parser import Bounds
from chalicelib.odata.media_types import XML
from chalicelib.odata.metadata.csdl_json import csdl_json
from chalicelib.odata.metadata.csdl_xml import csdl_xml, service_document
from chalicelib.odata.model import Property
from chalicelib.odata.query.options import SUPPORTED, Options, parse_options
from chalicelib.odata.query.page_request import PageRequest, PageSizes
from chalicelib.odata.query.parse_query import Query, QueryLimits, parse_query
from chalicelib.odata.query.projection import Projection
from chalicelib.odata.query.total_order import total_order
from chalicelib.odata.request import ODataRequest
from chalicelib.odata.resource import Kind, Resource, read_resource, segments_of
from chalicelib.odata.response import ODataResponse, ResponseBuilder, plain_response
from chalicelib.odata.response_budget import ResponseBudget
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
from chalicelib.settings import Settings

_ENTITY_OPTIONS = ("$compute", "$expand", "$select")
# Options whose expressions the database evaluates; any of them can divide by zero.
_EXPRESSION_OPTIONS = ("$apply", "$filter", "$compute", "$orderby", "$expand")
_REFERENCE_OPTIONS = SUPPORTED.difference(_ENTITY_OPTIONS)


class ODataService:
    """Serves GET requests from Postgres."""

    def __init__(self, reader: RowReader, settings: Settings) -> None:
        self._reader = reader
        self._settings = settings
        self._sizes = PageSizes(settings.odata_page, settings.odata_page_max)
        bounds = Bounds(settings.odata_max_tokens, settings.odata_max_depth)
        self._limits = QueryLimits(bounds, settings.odata_query_tokens, settings.odata_expand_depth)
        self._apply_bounds = ApplyBounds(
            settings.odata_max_transformations, settings.odata_max_added_properties, bounds
        )

    def get(self, request: ODataRequest) -> ODataResponse:
        """Return the response to a GET request.

        Raises:
            InvalidError: the request is malformed or does not fit the model.
            NotFoundError: the resource does not exist.
            NotAcceptableError: the client accepts none of the formats of the resource.
            NotImplementedByServiceError: the request is legal OData that is not supported.
            UnavailableError: Postgres cannot be reached, or the query times out.
        """
        version = negotiation.version_of(request.headers)
        options = parse_options(request.query)
        budget = request.budget or ResponseBudget.for_query(self._settings)
        runner = _StatementRunner(self._reader, budget, options)
        segments = segments_of(request.path)
        if segments == ["$metadata"]:
            options.allow("$format")
            media_type = negotiation.metadata_format(request.headers, options.text("$format"))
            csdl = csdl_xml if media_type == XML else csdl_json
            return plain_response(version, media_type, csdl(version, self._limits.expand_depth))
        if not segments:
            options.allow("$format")
            builder = self._builder(request, options, version)
            return builder.json_object(f'"value":{service_document()}', "")
        resource = read_resource(segments, options.aliases, request.principal)
        # A count or a raw value is plain text, even if the client does not accept it.
        if resource.kind is Kind.COUNT:
            return self._count(resource, options, version, runner)
        if resource.member and resource.kind is Kind.VALUE:
            options.allow("$format")
            return self._value(resource, resource.member, version, runner)
        builder = self._builder(request, options, version)
        if resource.member:
            return self._property(resource, resource.member, builder, runner)
        if resource.kind is Kind.ENTITY:
            return self._entity(resource, request.headers, builder, runner)
        return self._collection(resource, request.headers, builder, runner)

    def _builder(self, request: ODataRequest, options: Options, version: str) -> ResponseBuilder:
        json_format = negotiation.json_format(request.headers, options.text("$format"))
        return ResponseBuilder(request.service_root, version, json_format, options)

    def _collection(
        self,
        resource: Resource,
        headers: Mapping[str, str],
        builder: ResponseBuilder,
        runner: "_StatementRunner",
    ) -> ODataResponse:
        if builder.options.text("$apply") is not None:
            if resource.is_reference:
                raise InvalidError("References (/$ref) do not accept $apply.", target="$apply")
            style = builder.json_style(0, runner.budget.max_bytes)
            statement, request, fragment = apply_handler.prepare_page(
                resource, builder.options, headers, style, self._apply_bounds, self._sizes
            )
        else:
            style = self._style(builder, runner, headers)
            statement, request, fragment = self._prepare_page(resource, headers, builder, style)
        row = runner.page(statement, resource, request.max_entities)
        return builder.page(resource, request, row, fragment)

    def _prepare_page(
        self,
        resource: Resource,
        headers: Mapping[str, str],
        builder: ResponseBuilder,
        style: JsonStyle,
    ) -> tuple[Statement, PageRequest, str]:
        """Return the statement of a page of entities, its page request and its context fragment."""
        options = builder.options
        options.allow(*(_REFERENCE_OPTIONS if resource.is_reference else SUPPORTED))
        query = self._query(resource, options)
        conditions = all_conditions(resource, query.conditions)
        order = total_order(query.projection.it, query.order, conditions)
        request = PageRequest.of(resource, options, headers, self._sizes, len(order))
        page = Page(
            conditions,
            order,
            after=request.after,
            skip=request.skip,
            size=request.max_entities,
            with_count=request.must_count,
        )
        projection = _projection(resource, query)
        statement = page_statement(resource, page, projection, style)
        fragment = f"#{resource.entity.entity_set}{projection.context(builder.version)}"
        return statement, request, "#Collection($ref)" if resource.is_reference else fragment

    def _entity(
        self,
        resource: Resource,
        headers: Mapping[str, str],
        builder: ResponseBuilder,
        runner: "_StatementRunner",
    ) -> ODataResponse:
        options = builder.options
        options.allow("$format", *([] if resource.is_reference else _ENTITY_OPTIONS))
        projection = _projection(resource, self._query(resource, options))
        statement = entity_statement(resource, projection, self._style(builder, runner, headers))
        members = runner.entity(statement, resource)[1:-1]
        if resource.is_reference:
            return builder.json_object(members, "#$ref")
        context = projection.context(builder.version)
        return builder.entity(members, f"#{resource.entity.entity_set}{context}/$entity")

    def _property(
        self,
        resource: Resource,
        member: Property,
        builder: ResponseBuilder,
        runner: "_StatementRunner",
    ) -> ODataResponse:
        builder.options.allow("$format")
        projection = Projection(root(resource.entity), (member,))
        style = builder.json_style(0, runner.budget.max_bytes)
        style = replace(style, metadata="none", omit_nulls=False)
        body = runner.entity(entity_statement(resource, projection, style), resource)
        value = body[len(f'{{"{member.name}":') : -1]
        if value == "null":
            return plain_response(builder.version, None, "", 204)
        return builder.json_object(f'"value":{value}', f"#{resource.path}")

    def _value(
        self, resource: Resource, member: Property, version: str, runner: "_StatementRunner"
    ) -> ODataResponse:
        value: str | None = runner.row(value_statement(resource, member), resource)[0]
        if value is None:
            return plain_response(version, None, "", 204)
        return plain_response(version, "text/plain;charset=utf-8", value)

    def _count(
        self, resource: Resource, options: Options, version: str, runner: "_StatementRunner"
    ) -> ODataResponse:
        if options.text("$apply") is not None:
            statement = apply_handler.count_statement(resource, options, self._apply_bounds)
        else:
            # Options that do not change the count are valid and ignored: Protocol 4.01, 11.2.10.
            options.allow(*(SUPPORTED - {"$skiptoken"}))
            options.require_valid_page()
            statement = count_statement(resource, self._query(resource, options).conditions)
        count = runner.collection_row(statement, resource)[0]
        return plain_response(version, "text/plain", str(count))

    def _style(
        self, builder: ResponseBuilder, runner: "_StatementRunner", headers: Mapping[str, str]
    ) -> JsonStyle:
        """Return how to write entities. ``maxpagesize`` bounds each collection in the response."""
        preferred = negotiation.preferred_page_size(headers)
        page = self._settings.odata_expand_page
        size = min(page, preferred.size) if preferred else page
        return builder.json_style(size, runner.budget.max_bytes)

    def _query(self, resource: Resource, options: Options) -> Query:
        return parse_query(options.texts, resource.entity, options.aliases, self._limits)


@dataclass(frozen=True, slots=True)
class _StatementRunner:
    """Runs the statement of one request within its budget."""

    reader: RowReader
    budget: ResponseBudget
    options: Options

    def page(self, statement: Statement, resource: Resource, size: int) -> list[Any]:
        """Return the row of a page of up to ``size`` entities.

        Raises:
            InvalidError: not even one entity fits in the budget.
            GoneError: the page follows an entity that does not exist any more, or has changed.
        """
        row = self.collection_row(statement, resource)
        _, _, has_more, entities, _, has_place, _ = row
        if not has_place:
            raise GoneError(
                "The entity at the end of the previous page was erased, or a long value that it is"
                " sorted by has changed. Request the first page again.",
                target="$skiptoken",
            )
        if has_more and size and not entities:
            raise self.budget.exceeded()
        return row

    def entity(self, statement: Statement, resource: Resource) -> str:
        """Return one entity as JSON.

        Raises:
            InvalidError: the entity does not fit in the budget.
        """
        text: str | None = self.row(statement, resource)[0]
        if text is None:
            raise self.budget.exceeded()
        return text

    def collection_row(self, statement: Statement, resource: Resource) -> list[Any]:
        """Return the row of a page or a count.

        Its last column says whether the parent of the collection exists.
        """
        row = self.row(statement, resource)
        if not row[-1]:
            raise _not_found(resource.parent)
        return row

    def row(self, statement: Statement, resource: Resource) -> list[Any]:
        require_plannable(statement.sql, statement.parameters)
        try:
            row = self.reader.row(statement.sql, statement.parameters, self.budget.deadline)
        except InvalidError as error:
            raise self._with_place(error) from error
        if row is None:
            raise _not_found(resource)
        return row

    def _with_place(self, error: InvalidError) -> InvalidError:
        """Add the options with expressions: one of them has the values that made it fail."""
        names = [each for each in _EXPRESSION_OPTIONS if self.options.text(each) is not None]
        if not names or error.target:
            return error
        place = f" One of these options is at fault: {', '.join(names)}."
        if len(names) == 1:
            place = f" {names[0]} is at fault."
        return InvalidError(error.message + place, target=names[0])


def _projection(resource: Resource, query: Query) -> Projection:
    """Return the projection of the query; of a reference, only the id."""
    if resource.is_reference:
        return Projection(query.projection.it, (), is_reference=True)
    return query.projection


def _not_found(resource: Resource | None) -> NotFoundError:
    path = resource.path if resource else ""
    return NotFoundError(f"The resource {path} does not exist.", target=path)
