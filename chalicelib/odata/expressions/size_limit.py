"""How long the values of one entity may become: a few operators make megabytes of one log.

What is calculated of an entity is in the database's memory at once, for as many entities as it
sorts or writes. So it is bounded before it is asked for, by the longest value of each operand.
"""

from collections.abc import Iterable

from chalicelib.odata.ast import Node, Place
from chalicelib.odata.language.parser import syntax_error

MAX_CHARACTERS = 100_000


def require_bounded(values: Iterable[Node], at: Place) -> None:
    """Refuse values that together may have more characters.

    Raises:
        InvalidError: they may.
    """
    longest = sum(each.longest for each in values)
    if longest > MAX_CHARACTERS:
        raise syntax_error(
            f"What is calculated could have {longest} characters: {MAX_CHARACTERS} are the most", at
        )
