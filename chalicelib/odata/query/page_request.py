"""Read which page of a collection a request wants, and build the token of the next page.

Protocol 4.01, section 11.2.6.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chalicelib.odata import negotiation
from chalicelib.odata.negotiation import PageSize
from chalicelib.odata.query.options import Options
from chalicelib.odata.query.parse_query import QUERY_OPTIONS
from chalicelib.odata.query.skip_token import SkipToken, Value, foreign_token
from chalicelib.odata.resource import Resource


@dataclass(frozen=True, slots=True)
class PageSizes:
    """The default and the maximum number of entities on a page."""

    default: int
    maximum: int


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The page that a request wants.

    Attributes:
        token: the skip token; None on the first page.
        preferred: the page size that the client prefers.
        size: the size of every page of this query.
        remaining: the number of entities that ``$top`` leaves; None without ``$top``.
        skip: the number of entities to skip.
        wants_count: ``$count`` is true.
        by_offset: tokens contain a number of rows instead of order keys.
        identity: what a token is valid for: principal, path, options and aliases.
    """

    token: SkipToken | None
    preferred: PageSize | None
    size: int
    remaining: int | None
    skip: int
    wants_count: bool
    by_offset: bool
    identity: list[object]

    @classmethod
    def of(
        cls,
        resource: Resource,
        options: Options,
        headers: Mapping[str, str],
        sizes: PageSizes,
        key_count: int | None,
        *,
        of_entity: bool = True,
    ) -> "PageRequest":
        """Read the options of a page.

        Args:
            key_count: the number of order keys in a token; None pages by offset.
            of_entity: the order keys contain the key of an entity.

        Raises:
            InvalidError: an option is invalid, or the token is not of this query.
        """
        principal_bounds = resource.principal.bounds
        texts = map(options.text, ("$apply", *QUERY_OPTIONS))
        aliases = sorted(options.aliases.items())
        identity: list[object] = [principal_bounds, resource.path, *texts, aliases]
        by_offset = key_count is None or _has_moving_order(options)
        text = options.text("$skiptoken")
        token, skip = None, options.natural("$skip") or 0
        if text is not None:
            is_entity_key = of_entity and not by_offset
            keys_in_token = 1 if by_offset or key_count is None else key_count
            token = SkipToken.decode(text, identity, keys_in_token, of_entity=is_entity_key)
            if by_offset:
                skip = _offset(token)
        preferred = negotiation.preferred_page_size(headers)
        top = options.natural("$top")
        limits = [each for each in (top, token.remaining if token else None) if each is not None]
        requested = preferred.size if preferred else token.size if token else top
        return cls(
            token,
            preferred,
            min(requested or sizes.default, sizes.maximum),
            min(limits) if limits else None,
            skip,
            options.boolean("$count"),
            by_offset,
            identity,
        )

    @property
    def after(self) -> Sequence[Value] | None:
        """The order keys of the last entity of the previous page."""
        return self.token.after if self.token and not self.by_offset else None

    @property
    def count(self) -> int | None:
        """The total count, on every page but the first, which determines it."""
        return self.token.count if self.token else None

    @property
    def must_count(self) -> bool:
        return self.wants_count and self.count is None

    @property
    def max_entities(self) -> int:
        """The maximum number of entities on this page."""
        return self.size if self.remaining is None else min(self.size, self.remaining)

    def next_token(self, last_keys: str, count: int | None, size: int) -> str | None:
        """Return the token of the next page, or None if ``$top`` ends the query here.

        Args:
            last_keys: the order keys of the last entity of this page, as a JSON array of texts.
            count: the total count, if the client wants it.
            size: the number of entities on this page.
        """
        remaining = None if self.remaining is None else self.remaining - size
        if remaining == 0:
            return None
        if self.by_offset:
            last_keys = json.dumps([str(self.skip + size)])
        return SkipToken.after_last(last_keys, remaining, count, self.size).encode(self.identity)

    def response_headers(self) -> dict[str, str]:
        """Return the header that confirms the preferred page size."""
        if self.preferred is None:
            return {}
        return {"Preference-Applied": f"{self.preferred.name}={self.size}"}


def _has_moving_order(options: Options) -> bool:
    """Return whether the order may depend on ``now()``, which has another value on each page.

    Order keys of one page would then not be those of the next: entities would be repeated or lost.
    """
    names = ("$apply", "$compute", "$orderby")
    texts = (*(options.texts.get(each, "") for each in names), *options.aliases.values())
    is_ordered = "$orderby" in options.texts or "$apply" in options.texts
    return is_ordered and any("now(" in each.lower() for each in texts)


def _offset(token: SkipToken) -> int:
    """Read the number of rows before a page from its token."""
    text = token.after[0]
    if not isinstance(text, str) or not (text.isascii() and text.isdigit() and len(text) < 19):
        raise foreign_token()
    return int(text)
