"""How much of the database's memory a statement takes before it reads a row: that of its plan.

Postgres plans each subselect by itself, on a copy that has all that is within. So what is within
ten others is copied ten times: measured, a subselect costs 3 to 6 KB for each level of its depth.
"""

import re

from chalicelib.errors import InvalidError

MAX_LEVELS = 25_000
# A statement that is shorter has not as many.
_SHORT = 20_000

# A parenthesis in quotes is none.
_PIECE = re.compile(r"'[^']*+'|\(SELECT |[()]")


def require_plannable(sql: str) -> None:
    """Refuse a statement whose plan would be too large.

    Raises:
        InvalidError: it is.
    """
    if len(sql) > _SHORT and levels_of(sql) > MAX_LEVELS:
        raise InvalidError(
            "The query is too complex. Calculate less in one query, and less deeply nested."
        )


def levels_of(sql: str) -> int:
    """Return how many subselects a statement has, each counted as often as it is levels deep."""
    opened: list[bool] = []
    depth = total = 0
    for piece in _PIECE.findall(sql):
        if piece == ")":
            depth -= opened.pop()
        elif piece in ("(", "(SELECT "):
            opened.append(piece != "(")
            depth += opened[-1]
            total += depth if opened[-1] else 0
    return total
