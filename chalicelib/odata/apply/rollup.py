"""``rollup`` in ``groupby``: the groupings that make the groups and their subtotals.

OData Extension for Data Aggregation 4.0, section 3.2.3.2.
"""

import re
from collections.abc import Iterable
from itertools import chain, product

from chalicelib.odata.language.parser import unsupported
from chalicelib.odata.language.span import Span

_ROLLUP = re.compile(r"(?P<name>rollup|rolluprecursive)[ \t\r\n]*\(", re.IGNORECASE)


def read_groupings(items: Iterable[Span]) -> list[list[Span]]:
    """Return the paths of each grouping that the first parameter of ``groupby`` stands for.

    ``a,rollup(b,c)`` stands for ``a,b,c`` and ``a,b``. Several rollups stand for every combination
    of their levels. The finest grouping comes first.

    Raises:
        NotImplementedByServiceError: a rollup names a hierarchy, or includes the grand total.
    """
    return [list(chain.from_iterable(levels)) for levels in product(*map(_levels, items))]


def _levels(item: Span) -> list[list[Span]]:
    """Return the paths of an item at each of its levels, the finest first; a path has one level."""
    rollup = _ROLLUP.match(item.text)
    if rollup is None:
        return [[item]]
    _, parameters = item.call()
    paths = parameters.split(",") if parameters else []
    if len(paths) < 2 or rollup["name"].lower() != "rollup" or paths[0].text == "$all":
        raise unsupported(
            "rollup is not supported but for two or more properties, as in rollup(a,b)", item.at
        )
    return [paths[:length] for length in range(len(paths), 0, -1)]
