"""A ``$filter`` by itself, as SQL that other statements can be made of."""

from dataclasses import dataclass

from chalicelib.odata.expressions.analyzer import parse_condition, root
from chalicelib.odata.expressions.scope import Scope
from chalicelib.odata.language.lexer import tokenize
from chalicelib.odata.language.parser import Bounds
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import POINT_RECORD
from chalicelib.odata.sql.translator import Translator
from chalicelib.postgres.query_parameters import Parameters
from chalicelib.principal import Principal


@dataclass(frozen=True, slots=True)
class Condition:
    """What point records to read, after FROM under which alias, and what must be true of each.

    ``parameters`` are the values of its ``$1``, ``$2`` …
    """

    source: str
    alias: str
    sql: str
    parameters: tuple[str, ...]


def translate_filter(text: str, principal: Principal, bounds: Bounds) -> Condition:
    """Translate a ``$filter`` on the point records that a principal may see.

    Raises:
        InvalidError: the text is no condition on a point record; the message says where and why.
        NotImplementedByServiceError: it is one that the service does not support.
    """
    it = root(POINT_RECORD)
    tokens = tokenize(Span.of(text, "$filter"), {}, bounds)
    node = parse_condition(tokens, "$filter", Scope.of(it), bounds)
    translator = Translator(Parameters(principal))
    sql = translator.truth(node)
    alias, _, _ = translator.column(it, POINT_RECORD.key).partition(".")
    return Condition(translator.from_clause(it), alias, sql, tuple(translator.parameters))
