"""Translate a ``$filter`` on point records to SQL for statements outside OData."""

from dataclasses import dataclass

from chalicelib.odata.expressions.analyzer import parse_condition, root
from chalicelib.odata.expressions.scope import Scope
from chalicelib.odata.language.lexer import tokenize
from chalicelib.odata.language.parser import Bounds
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import POINT_RECORD
from chalicelib.odata.sql.complexity import require_plannable
from chalicelib.odata.sql.translator import Translator
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.principal import Principal


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on point records.

    ``source`` is what follows FROM, ``alias`` the alias of the point record in it. ``parameters``
    are the values of ``$1``, ``$2`` … in ``sql``.
    """

    source: str
    alias: str
    sql: str
    parameters: tuple[str, ...]


def translate_filter(text: str, principal: Principal, bounds: Bounds) -> Condition:
    """Translate a ``$filter`` on the point records that a principal may see.

    Raises:
        InvalidError: the text is not a condition on a point record; the message says where and why.
        NotImplementedByServiceError: the service does not support a part of the condition.
    """
    it = root(POINT_RECORD)
    tokens = tokenize(Span.of(text, "$filter"), {}, bounds)
    node = parse_condition(tokens, "$filter", Scope.of(it), bounds)
    translator = Translator(QueryParameters(principal))
    sql = translator.truth(node)
    alias, _, _ = translator.column(it, POINT_RECORD.key[0]).partition(".")
    source = translator.from_clause(it)
    require_plannable(f"{source} {sql}", translator.parameters)
    return Condition(source, alias, sql, tuple(translator.parameters))
