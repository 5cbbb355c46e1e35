"""Limit the memory that Postgres needs to parse, plan and start a statement.

A statement is written out in full: each use of a computed property repeats its expression, in each
scope of ``$expand``. So the limit is on the whole statement, just before it is sent.

The estimate is the sum of three parts, measured on PostgreSQL 18 as the growth of the backend:

- each character: the trees of the statement;
- each subselect, once for each level of its depth, since Postgres plans it on a copy of its own;
- each table, the same; for a principal that sees its own rows only, row security adds subselects
  to it that the text does not show.
"""

import re

from chalicelib.errors import InvalidError
from chalicelib.odata.model import ENTITY_TYPES
from chalicelib.postgres.query_parameters import QueryParameters

MAX_MB = 125
_MB = 1_000_000
_PER_CHARACTER = 220
_PER_SUBSELECT = 5_000
_PER_TABLE = 22_000
_PER_RESTRICTED_TABLE = 45_000
# A statement too short for the nesting that it would take to exceed the limit.
_SHORT = 5_000

_TABLES = "|".join(each.table for each in ENTITY_TYPES)
# Nothing in quotes counts.
_PART = re.compile(rf"'[^']*+'|\(SELECT |[()]|\b(?:{_TABLES})\b")


def require_plannable(sql: str, parameters: QueryParameters) -> None:
    """Reject a statement whose plan would take too much memory.

    Raises:
        InvalidError: the estimate exceeds ``MAX_MB``.
    """
    if len(sql) <= _SHORT:
        return
    needed = len(sql) * _PER_CHARACTER
    if needed <= MAX_MB * _MB:  # otherwise a look at the text would take long
        needed = planning_bytes(sql, is_restricted=bool(parameters.principal.bounds))
    if needed > MAX_MB * _MB:
        raise InvalidError(
            f"The query is too complex: written out as SQL it could need {needed / _MB:.0f} MB of"
            f" the database's memory, and the limit is {MAX_MB} MB. A computed property counts at"
            " each use. Compute fewer values in one query, nest them less deeply, or send several"
            " queries."
        )


def planning_bytes(sql: str, *, is_restricted: bool) -> int:
    """Return an estimate of the memory that Postgres needs for a statement, besides its rows."""
    subselects, tables = weighted_parts(sql)
    per_table = _PER_RESTRICTED_TABLE if is_restricted else _PER_TABLE
    return len(sql) * _PER_CHARACTER + subselects * _PER_SUBSELECT + tables * per_table


def weighted_parts(sql: str) -> tuple[int, int]:
    """Return the sums of the depths of all subselects and of all tables in a statement.

    A subselect in no other has depth 1, and so has a table outside subselects.
    """
    opened: list[bool] = []
    depth = subselects = tables = 0
    for part in _PART.findall(sql):
        if part == ")":
            depth -= opened.pop()
        elif part in ("(", "(SELECT "):
            opened.append(part != "(")
            depth += opened[-1]
            subselects += depth if opened[-1] else 0
        elif not part.startswith("'"):
            tables += depth + 1
    return subselects, tables
