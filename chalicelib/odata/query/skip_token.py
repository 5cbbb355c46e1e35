"""Skip tokens: a position in the order of a query, as an opaque string in a nextLink.

A page starts after the order keys of the last entity of the previous page (keyset pagination), not
after a number of entities. So concurrent inserts and deletes shift no page, and an index finds page
5,000 as fast as page 1. JSON 4.01, section 4.5.5 (nextLink).
"""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256

from chalicelib.errors import InvalidError

# Characters that Postgres cannot store in a text.
_INVALID_CHARACTER = re.compile("[\0\ud800-\udfff]")
_DIGEST_BYTES = 12
# Characters of an order key in a token.
_MAX_KEY_LENGTH = 200
# Hexadecimal digits of the digest of a longer one.
LONG_VALUE_DIGITS = 24
_DIGEST_OF_VALUE = re.compile(f"[0-9a-f]{{{LONG_VALUE_DIGITS}}}")


@dataclass(frozen=True, slots=True)
class LongValue:
    """An order key that is too long for a URL: the statement reads it from the entity.

    The entity's key is among the order keys. The digest tells whether the entity still has the
    value: another value is another position.
    """

    digest: str

    @classmethod
    def of(cls, text: str) -> "LongValue":
        """Digest a text as ``sql.keyset`` does."""
        return cls(sha256(text.encode()).hexdigest()[:LONG_VALUE_DIGITS])


# An order key as Postgres writes it as text.
Value = str | LongValue | None


@dataclass(frozen=True, slots=True)
class SkipToken:
    """A position in the order of a query.

    Attributes:
        after: the order keys of the entity before the page.
        remaining: the number of entities that ``$top`` leaves; None without ``$top``.
        count: the total count, from the first page; None without ``$count``.
        size: the page size.
    """

    after: tuple[Value, ...]
    remaining: int | None
    count: int | None
    size: int

    @classmethod
    def after_last(
        cls, keys: str, remaining: int | None, count: int | None, size: int
    ) -> "SkipToken":
        """Build the token of the position after an entity; ``keys`` is a JSON array of texts."""
        after: list[Value] = json.loads(keys)
        for position, value in enumerate(after):
            if isinstance(value, str) and len(value) > _MAX_KEY_LENGTH:
                after[position] = LongValue.of(value)
        return cls(tuple(after), remaining, count, size)

    def encode(self, query: Sequence[object]) -> str:
        """Return the token as a string that is valid for one query."""
        content = [self.after, self.remaining, self.count, self.size]
        body = json.dumps(content, separators=(",", ":"), default=_digest_of_long)
        return base64.urlsafe_b64encode(_digest(body, query) + body.encode()).decode().rstrip("=")

    @classmethod
    def decode(
        cls, text: str, query: Sequence[object], key_count: int, *, of_entity: bool = True
    ) -> "SkipToken":
        """Parse a token. With ``of_entity``, the order keys contain the key of an entity.

        Raises:
            InvalidError: ``encode`` did not return this token for this query.
        """
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            body = raw[_DIGEST_BYTES:].decode()
            if raw[:_DIGEST_BYTES] != _digest(body, query):
                raise ValueError("digest")
            after, remaining, count, size = json.loads(body)
            if not (
                _are_order_keys(after, key_count, of_entity)
                and all(n is None or _is_natural(n) for n in (remaining, count))
                and _is_natural(size)
                and size > 0
            ):
                raise ValueError("values")
            values = (LongValue(*each) if isinstance(each, list) else each for each in after)
            return cls(tuple(values), remaining, count, size)
        except (ValueError, TypeError, RecursionError) as error:
            raise foreign_token() from error


def foreign_token() -> InvalidError:
    """Build the error for a token that is not from this query."""
    return InvalidError("$skiptoken is not from a nextLink of this query.", target="$skiptoken")


def _digest(body: str, query: Sequence[object]) -> bytes:
    """Return a checksum that detects a changed token and a token of another query.

    It guards against mistakes, not against attacks, and needs no secret key: a token expresses
    nothing that a filter cannot express, and every page applies the restrictions of the principal.
    """
    return blake2b(f"{body}{json.dumps(query)}".encode(), digest_size=_DIGEST_BYTES).digest()


def _are_order_keys(after: object, key_count: int, of_entity: bool) -> bool:
    return (
        isinstance(after, list)
        and len(after) == key_count
        and all(
            each is None or _is_text(each) or (of_entity and _is_digest_of_long(each))
            for each in after
        )
        and (not of_entity or _is_text(after[-1]))
    )


def _digest_of_long(value: LongValue) -> list[str]:
    """Return a long value as JSON has it: in an array, to differ from a text."""
    return [value.digest]


def _is_digest_of_long(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 1
        and isinstance(value[0], str)
        and _DIGEST_OF_VALUE.fullmatch(value[0]) is not None
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not _INVALID_CHARACTER.search(value)


def _is_natural(number: object) -> bool:
    return type(number) is int and 0 <= number < 2**62
