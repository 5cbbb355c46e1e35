"""Split the options of ``$count`` in an expression: ``logs/$count($filter=a eq 1;$search=b)``.

OData ABNF 4.01, rule count.
"""

import re
from dataclasses import dataclass

from chalicelib.odata.ast import Place
from chalicelib.odata.language.parser import Bounds, syntax_error, unsupported
from chalicelib.odata.language.span import Span

_OPTION = re.compile(r"[ \t\r\n]*\$?(?P<name>(?i:filter|search))=")


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """A leaf of the syntax tree: the value of ``$search``, which has a grammar of its own."""

    span: Span
    bounds: Bounds

    @property
    def at(self) -> Place:
        return self.span.at


def read_count_options(span: Span) -> tuple[Span | None, Span | None, int]:
    """Return the values of ``$filter`` and ``$search``, and the offset of what ends the options.

    At least one of the two is there.

    Raises:
        InvalidError: an option occurs twice.
        NotImplementedByServiceError: there is another option, or none.
    """
    values: dict[str, Span] = {}
    position = span.start
    while True:
        match = _OPTION.match(span.whole, position, span.end)
        if match is None:
            raise unsupported(
                "Options of $count other than $filter and $search are not supported",
                Place(span.source, position),
            )
        name = match["name"].lower()
        if name in values:
            raise syntax_error(f"${name} is specified twice", Place(span.source, position))
        end = span.end_of_value(match.end(), ";", phrases=name == "search")
        values[name] = span.part(match.end(), end)
        if not span.whole.startswith(";", end, span.end):
            return values.get("filter"), values.get("search"), end
        position = end + 1
