"""Limit the memory that Postgres needs to plan a statement.

Postgres plans each subselect separately, on a copy that includes everything nested in it. A
subselect at depth ten is therefore copied ten times: measured, it costs 3 to 6 KB per level.
"""

import re

from chalicelib.errors import InvalidError

MAX_LEVELS = 25_000
# A shorter statement cannot exceed the limit.
_SHORT = 20_000

# A parenthesis in quotes does not count.
_BRACKET = re.compile(r"'[^']*+'|\(SELECT |[()]")


def require_plannable(sql: str) -> None:
    """Reject a statement whose plan would be too large.

    Raises:
        InvalidError: the statement exceeds ``MAX_LEVELS``.
    """
    if len(sql) > _SHORT and nested_levels(sql) > MAX_LEVELS:
        raise InvalidError(
            "The query is too complex. Compute fewer values in one query, or nest them less deeply."
        )


def nested_levels(sql: str) -> int:
    """Return the sum of the depths of all subselects in a statement."""
    opened: list[bool] = []
    depth = total = 0
    for bracket in _BRACKET.findall(sql):
        if bracket == ")":
            depth -= opened.pop()
        elif bracket in ("(", "(SELECT "):
            opened.append(bracket != "(")
            depth += opened[-1]
            total += depth if opened[-1] else 0
    return total
