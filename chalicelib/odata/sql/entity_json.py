"""Build the SQL that writes entities, with their expansions, as JSON text.

An expansion is a correlated subselect that returns a part of the entity's JSON. Postgres evaluates
it only for the entities of the page, after it has selected them.
"""

from collections.abc import Iterable, Mapping
from itertools import count
from urllib.parse import quote

from chalicelib.odata.ast import ComputedProperty, Variable
from chalicelib.odata.edm import Edm
from chalicelib.odata.query.projection import ExpandForm, Expansion, Projection
from chalicelib.odata.sql.json_functions import (
    JsonStyle,
    computed_name,
    entity_url,
    link_fields,
    property_fields,
    value_text,
)
from chalicelib.odata.sql.keyset import order_by
from chalicelib.odata.sql.translator import Translator
from chalicelib.postgres.query_parameters import QueryParameters

# Characters of the longest value of a property without a maximum length.
_SHORT = 40

# Characters that a query needs no escape for: RFC 3986, section 3.4, without separators.
UNESCAPED = "/(),:'@$*!"


class EntityJsonBuilder:
    """Builds the JSON of the entities of one statement, and shares its ``parameters``."""

    def __init__(self, style: JsonStyle, parameters: QueryParameters) -> None:
        self._style = style
        self._parameters = parameters
        self._rows = count(1)

    def columns(self, projection: Projection, translator: Translator) -> list[str]:
        """Return the select list of the rows that ``text`` reads."""
        entity = projection.it.entity
        stored = dict.fromkeys(projection.properties)
        if projection.expansions or self._has_id(projection):
            stored.update(dict.fromkeys(entity.key))
        by_column = {each.column: each for each in entity.properties}
        stored.update((by_column[each.navigation.column], None) for each in projection.expansions)
        columns = [translator.column(projection.it, each) for each in stored]
        computed = enumerate(projection.computed)
        return columns + [f"{translator.value(each.value)} AS c{n}" for n, each in computed]

    def text(
        self, projection: Projection, row: str, outer: Mapping[Variable, str] | None = None
    ) -> tuple[str, str]:
        """Return the SQL of an entity's JSON, and the join that this SQL requires.

        ``outer`` maps the variables of enclosing entities to the aliases of their rows.
        """
        parts = [self._computed(each, f"{row}.c{n}") for n, each in enumerate(projection.computed)]
        around = {**(outer or {}), projection.it: row}
        parts += [self._expansion(each, projection, row, around) for each in projection.expansions]
        fields = self._fields(projection, row)
        if not fields:
            return self._object(" || ".join(parts)) if parts else "'{}'", ""
        joined = f"{row}_json"
        join = f" CROSS JOIN LATERAL (SELECT {', '.join(fields)}) AS {joined}"
        json = f"row_to_json({joined})"
        text = f"CAST({f'json_strip_nulls({json})' if self._style.omit_nulls else json} AS text)"
        if not parts:
            return text, join
        if self._style.omit_nulls:
            return self._object(f"',' || substr(left({text}, -1), 2) || {' || '.join(parts)}"), join
        return f"left({text}, -1) || {' || '.join(parts)} || '}}'", join

    def _object(self, members: str) -> str:
        """Return the SQL of a JSON object, from that of its members, each with a comma before it.

        If nulls are omitted, there may be one more comma.
        """
        start = f"ltrim({members}, ',')" if self._style.omit_nulls else f"substr({members}, 2)"
        return f"'{{' || {start} || '}}'"

    def _computed(self, computed: ComputedProperty, column: str) -> str:
        """Return the SQL of the part of an entity's JSON that holds a computed property."""
        name = self._bind(computed_name(computed, self._style))
        value = value_text(column, computed.value.type, self._style)
        if self._style.omit_nulls:
            return f"COALESCE({name} || {value}, '')"
        return f"{name} || COALESCE({value}, 'null')"

    def _has_id(self, projection: Projection) -> bool:
        """Return whether to write ``@odata.id``: the client cannot derive it without the key."""
        if self._style.is_full or projection.is_reference:
            return True
        without_key = not {*projection.it.entity.key} <= {*projection.properties}
        return without_key and self._style.metadata == "minimal"

    def _fields(self, projection: Projection, row: str) -> list[str]:
        """Return the select list of what row_to_json writes: all except expansions and $compute."""
        entity = projection.it.entity
        full = self._style.is_full and not projection.is_reference
        fields: list[str] = []
        if self._has_id(projection):
            url = self._url(projection, row)
            if full:
                fields.append(f"'#{entity.qualified_name}' AS \"@odata.type\"")
            fields.append(f'{url} AS "@odata.id"')
            if full:
                fields.append(f'{url} AS "@odata.editLink"')
                for navigation in projection.links:
                    fields += link_fields(navigation, url)
        for each in projection.properties:
            fields += property_fields(each, row, self._style)
        return fields

    def _expansion(
        self, expansion: Expansion, projection: Projection, row: str, outer: Mapping[Variable, str]
    ) -> str:
        """Return the SQL of the part of an entity's JSON that holds an expansion."""
        name = expansion.navigation.name
        parts = []
        if expansion.with_count or expansion.form is ExpandForm.COUNT:
            number = self._style.number(self._count(expansion, row, outer))
            parts += [f"',\"{name}@odata.count\":'", number]
        if expansion.form is ExpandForm.COUNT:
            return " || ".join(parts)
        if self._style.is_full:
            url = f"{self._url(projection, row)} || '/{name}"
            parts += [f"',\"{name}@odata.associationLink\":'", _json(f"{url}/$ref'")]
            parts += [f"',\"{name}@odata.navigationLink\":'", _json(f"{url}'")]
        inner = self._many if expansion.navigation.collection else self._one
        parts += [f"',\"{name}\":'", inner(expansion, projection, row, outer)]
        return " || ".join(parts)

    def _one(
        self, expansion: Expansion, _: Projection, row: str, outer: Mapping[Variable, str]
    ) -> str:
        """Return the SQL of the single entity that a navigation leads to, or of null."""
        alias, translator = self._new_alias(), Translator(self._parameters, outer)
        it = expansion.projection.it
        columns = self.columns(expansion.projection, translator)
        linked = translator.link(expansion.navigation, row, it)
        text, join = self.text(expansion.projection, alias, outer)
        rows = (
            f"(SELECT {', '.join(columns)}"
            f" FROM {translator.from_clause_with_outer(it)} WHERE {linked}) AS {alias}{join}"
        )
        if self._may_exceed_limit(expansion):
            return f"(SELECT CASE WHEN count(*) = 0 THEN 'null' ELSE min({text}) END FROM {rows})"
        return f"COALESCE((SELECT {text} FROM {rows}), 'null')"

    def _many(
        self, expansion: Expansion, projection: Projection, row: str, outer: Mapping[Variable, str]
    ) -> str:
        """Return the SQL of a page of a collection, and its nextLink."""
        alias, translator = self._new_alias(), Translator(self._parameters, outer)
        it = expansion.projection.it
        keys = [translator.by_order(each.expression) for each in expansion.order]
        conditions = [translator.link(expansion.navigation, row, it)]
        conditions += [translator.truth(each) for each in expansion.conditions]
        columns = self.columns(expansion.projection, translator)
        columns += [f"{sql} AS k{n}" for n, sql in enumerate(keys)]
        text, join = self.text(expansion.projection, alias, outer)
        size, may_be_cut = self._size(expansion)
        bound, limit = "", ""
        if size is not None:
            bound = translator.bind(Edm.INT64, size)
            limit = f" LIMIT {bound}" + (" + 1" if may_be_cut else "")
        if expansion.skip:
            limit += f" OFFSET {translator.bind(Edm.INT64, expansion.skip)}"
        after = ""
        if may_be_cut:
            name = expansion.navigation.name
            url = f"{self._url(projection, row)} || {self._bind(self._next_page_url(expansion))}"
            after = (
                f" || CASE WHEN count(*) > {bound} THEN ',\"{name}@odata.nextLink\":'"
                f" || {_json(url)} ELSE '' END"
            )
        rows = (
            "(SELECT s.*, row_number() OVER () AS n"
            f" FROM (SELECT {', '.join(columns)} FROM {translator.from_clause_with_outer(it)}"
            f" WHERE {' AND '.join(conditions)} ORDER BY {order_by(expansion.order)}{limit}) AS s)"
            f" AS {alias}{join}"
        )
        if self._may_exceed_limit(expansion):
            return self._array_within_limit(rows, text, f"{alias}.n", bound, after)
        bounds = f" FILTER (WHERE {alias}.n <= {bound})" if bound else ""
        listed = f"string_agg({text}, ',' ORDER BY {alias}.n){bounds}"
        return f"(SELECT '[' || COALESCE({listed}, '') || ']'{after} FROM {rows})"

    def _array_within_limit(self, rows: str, text: str, number: str, bound: str, after: str) -> str:
        """Return the SQL of an array of rows; null if it exceeds the maximum size of a response.

        A running sum of the lengths decides before the rows are joined, so no oversized text is
        built.
        """
        most = Translator(self._parameters).bind(Edm.INT32, self._style.max_bytes)
        on_page = f"{number} <= {bound}" if bound else "TRUE"
        length = f"CASE WHEN on_page THEN COALESCE(octet_length(text), {most}) + 1 ELSE 0 END"
        return (
            f"(SELECT CASE WHEN max(bytes) > {most} THEN NULL ELSE '[' || COALESCE(string_agg(text,"
            f" ',') FILTER (WHERE on_page AND bytes <= {most}), '') || ']'{after} END"
            f" FROM (SELECT w.*, sum({length}) OVER (ROWS UNBOUNDED PRECEDING) AS bytes FROM"
            f" (SELECT {on_page} AS on_page, CASE WHEN {on_page} THEN {text} END AS text"
            f" FROM {rows} OFFSET 0) AS w) AS w)"
        )

    def _may_exceed_limit(self, expansion: Expansion) -> bool:
        """Return whether an expansion could exceed the maximum size of a response."""
        max_length = self._max_length(expansion)
        return max_length is None or max_length > self._style.max_bytes

    def _max_length(self, expansion: Expansion) -> int | None:
        """Return the maximum number of characters of an expansion, None if it is unlimited."""
        size = self._size(expansion)[0] if expansion.navigation.collection else 1
        projection = expansion.projection
        inner = [self._max_length(each) for each in projection.expansions]
        if size is None or None in inner:
            return None
        own = sum(each.max_length or _SHORT for each in projection.properties)
        computed = sum(each.value.max_length for each in projection.computed)
        return size * (own + computed + sum(each for each in inner if each is not None))

    def _count(self, expansion: Expansion, row: str, outer: Mapping[Variable, str]) -> str:
        translator = Translator(self._parameters, outer)
        it = expansion.projection.it
        conditions = [translator.link(expansion.navigation, row, it)]
        conditions += [translator.truth(each) for each in expansion.conditions]
        where = " AND ".join(conditions)
        return f"(SELECT count(*) FROM {translator.from_clause_with_outer(it)} WHERE {where})"

    def _size(self, expansion: Expansion) -> tuple[int | None, bool]:
        """Return the maximum number of entities, and whether a nextLink leads to the rest."""
        top, page = expansion.top, self._style.expand_page
        if expansion.options is None:
            return top, False
        return (page, True) if top is None or top > page else (top, False)

    def _next_page_url(self, expansion: Expansion) -> str:
        """Return the URL of the second page of an expansion, relative to the entity's URL."""
        page = self._style.expand_page
        pairs = [*(expansion.options or ()), ("$skip", str(expansion.skip + page))]
        if expansion.top is not None:
            pairs.append(("$top", str(expansion.top - page)))
        if self._style.format_option is not None:
            pairs.append(("$format", self._style.format_option))
        path = f"/{expansion.navigation.name}{expansion.form.value}"
        return f"{path}?{query_string(pairs)}"

    def _url(self, projection: Projection, row: str) -> str:
        entity = projection.it.entity
        return entity_url(entity, row, self._style.service_root, self._bind)

    def _bind(self, text: str) -> str:
        return Translator(self._parameters).bind(Edm.STRING, text)

    def _new_alias(self) -> str:
        return f"e{next(self._rows)}"


def query_string(pairs: Iterable[tuple[str, str]]) -> str:
    """Encode options as the query string of a URL."""
    return "&".join(f"{quote(name, '$@')}={quote(value, UNESCAPED)}" for name, value in pairs)


def _json(sql: str) -> str:
    return f"CAST(to_json({sql}) AS text)"
