"""Page tokens: a place in the order of a query, as an opaque text in a nextLink.

A page starts after the values that the last entity of the page before had in the order, not after a
number of entities (keyset pagination): what is inserted or deleted meanwhile moves nothing, and the
page 5,000 is found in an index as fast as the first. JSON 4.01, section 4.5.5 (nextLink).
"""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from chalicelib.errors import InvalidError

# The value of a key of an order, in Postgres' text. True stands for a text too long for a URL: it
# is read again from the entity, which the last key names.
Value = str | Literal[True] | None

# What no text of Postgres has.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_DIGEST_BYTES = 12
_MAX_LENGTH = 200


@dataclass(frozen=True, slots=True)
class SkipToken:
    """A place in the order of a query.

    ``after`` are the values of the order's keys there. ``remaining`` is what is left of ``$top``,
    ``count`` what ``$count`` found on the first page, ``size`` the size of the pages.
    """

    after: tuple[Value, ...]
    remaining: int | None
    count: int | None
    size: int

    @classmethod
    def after_last(
        cls, keys: str, remaining: int | None, count: int | None, size: int
    ) -> "SkipToken":
        """Make the token of the place after an entity whose ``keys`` are a JSON array of texts."""
        after: list[Value] = json.loads(keys)
        for position, value in enumerate(after):
            if isinstance(value, str) and len(value) > _MAX_LENGTH:
                after[position] = True
        return cls(tuple(after), remaining, count, size)

    def encode(self, query: Sequence[object]) -> str:
        """Write the token as text for the query that it belongs to."""
        body = json.dumps(
            [self.after, self.remaining, self.count, self.size], separators=(",", ":")
        )
        return base64.urlsafe_b64encode(_digest(body, query) + body.encode()).decode().rstrip("=")

    @classmethod
    def decode(
        cls, text: str, query: Sequence[object], keys: int, *, of_entity: bool = True
    ) -> "SkipToken":
        """Read a token back. The last key is an entity's own, unless ``of_entity`` is false.

        Raises:
            InvalidError: it is none that this service made for this query.
        """
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            body = raw[_DIGEST_BYTES:].decode()
            if raw[:_DIGEST_BYTES] != _digest(body, query):
                raise ValueError("digest")
            after, remaining, count, size = json.loads(body)
            if not (
                _is_place(after, keys, of_entity)
                and all(n is None or _is_natural(n) for n in (remaining, count))
                and _is_natural(size)
                and size > 0
            ):
                raise ValueError("values")
            return cls(tuple(after), remaining, count, size)
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidError(
                "$skiptoken is not from a nextLink of this query.", target="$skiptoken"
            ) from error


def _digest(body: str, query: Sequence[object]) -> bytes:
    """Tell a token from one that was changed, or belongs to another query.

    This guards against mistakes. It is no secret's work, and need not be: a token says nothing that
    a filter could not say, and whatever bounds a filter bounds the page after a token.
    """
    return blake2b(f"{body}{json.dumps(query)}".encode(), digest_size=_DIGEST_BYTES).digest()


def _is_place(after: object, keys: int, of_entity: bool) -> bool:
    """Say whether this can be the values of so many keys, of which the last is the entity's own."""
    return (
        isinstance(after, list)
        and len(after) == keys
        and all(each is None or (each is True and of_entity) or _is_text(each) for each in after)
        and (not of_entity or _is_text(after[-1]))
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not _NO_TEXT.search(value)


def _is_natural(number: object) -> bool:
    return type(number) is int and 0 <= number < 2**62
