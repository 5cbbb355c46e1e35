"""Which page of a collection a request asks for, and what follows it. Protocol 4.01, 11.2.6."""

from collections.abc import Mapping
from dataclasses import dataclass

from chalicelib.odata import negotiation
from chalicelib.odata.negotiation import PageSize
from chalicelib.odata.query.options import Options
from chalicelib.odata.query.parse_query import READ_TOGETHER
from chalicelib.odata.query.skip_token import SkipToken
from chalicelib.odata.resource import Resource


@dataclass(frozen=True, slots=True)
class PageSizes:
    """How many entities a page has when the client does not say, and at most."""

    default: int
    most: int


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page that is asked for.

    ``size`` is that of all pages, ``remaining`` what ``$top`` leaves, None without it.
    """

    token: SkipToken | None
    preferred: PageSize | None
    size: int
    remaining: int | None
    skip: int
    wants_count: bool
    identity: list[object]

    @classmethod
    def of(
        cls,
        resource: Resource,
        options: Options,
        headers: Mapping[str, str],
        sizes: PageSizes,
        keys: int,
        *,
        of_entity: bool = True,
    ) -> "PageRequest":
        """Read what asks for a page in an order of so many keys.

        Raises:
            InvalidError: an option is none, or the token is not of this query.
        """
        names = ("$apply", *READ_TOGETHER)
        whose = resource.principal.bounds
        identity: list[object] = [whose, resource.path, *map(options.text, names)]
        identity.append(sorted(options.aliases.items()))
        text = options.text("$skiptoken")
        token = None
        if text is not None:
            token = SkipToken.decode(text, identity, keys, of_entity=of_entity)
        preferred = negotiation.preferred_page_size(headers)
        top = options.natural("$top")
        limits = [each for each in (top, token.remaining if token else None) if each is not None]
        asked = preferred.size if preferred else token.size if token else top
        return cls(
            token,
            preferred,
            min(asked or sizes.default, sizes.most),
            min(limits) if limits else None,
            options.natural("$skip") or 0,
            options.boolean("$count"),
            identity,
        )

    @property
    def count(self) -> int | None:
        """What the first page counted, on all others."""
        return self.token.count if self.token else None

    @property
    def must_count(self) -> bool:
        return self.wants_count and self.count is None

    @property
    def entities(self) -> int:
        """How many entities the page may have."""
        return self.size if self.remaining is None else min(self.size, self.remaining)

    def following(self, last: str, count: int | None, entities: int) -> str | None:
        """Return the token of the page after one of so many entities, None where ``$top`` leaves
        nothing.
        """
        left = None if self.remaining is None else self.remaining - entities
        if left == 0:
            return None
        return SkipToken.after_last(last, left, count, self.size).encode(self.identity)

    def headers(self) -> dict[str, str]:
        return (
            {"Preference-Applied": f"{self.preferred.name}={self.size}"} if self.preferred else {}
        )
