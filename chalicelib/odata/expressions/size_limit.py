"""Limit the length of computed values: a few operators can make megabytes of one log.

Postgres holds the computed values of all entities that it sorts or writes in memory at once. The
limit is checked before the statement runs, by the maximum length of each operand.
"""

from collections.abc import Iterable

from chalicelib.odata.ast import Node, Place
from chalicelib.odata.language.parser import syntax_error

MAX_CHARACTERS = 100_000


def require_bounded(values: Iterable[Node], at: Place) -> None:
    """Reject values whose maximum lengths add up to more than ``MAX_CHARACTERS``.

    Raises:
        InvalidError: the sum exceeds the limit.
    """
    total = sum(each.max_length for each in values)
    if total > MAX_CHARACTERS:
        raise syntax_error(
            f"The result could have {total} characters; the limit is {MAX_CHARACTERS}", at
        )
