"""Resolve the names in an expression. URL Conventions 4.01, section 5.1.1.14."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chalicelib.odata.ast import ComputedProperty, Place, Variable
from chalicelib.odata.language.parser import syntax_error


@dataclass(slots=True)
class QueryTokens:
    """Counts the tokens of one query, as its statement writes them out.

    The options, their scopes in ``$expand``, and each use of an alias or of a computed property
    all count. A bound of each expression alone would allow a hundred of the longest expressions.
    """

    limit: int
    count: int = 0

    def add(self, tokens: int, at: Place) -> None:
        """Count further tokens.

        Raises:
            InvalidError: the query has more tokens than the limit.
        """
        self.count += tokens
        if self.count > self.limit:
            raise syntax_error(
                f"A query may have at most {self.limit} tokens (ODATA_QUERY_TOKENS) in all its"
                " options together, and an alias or a computed property counts at each use. Send"
                " several queries",
                at,
            )


@dataclass(frozen=True, slots=True)
class Scope:
    """The meaning of names at one place of a query.

    Attributes:
        it: ``$it``, the requested entity.
        this: the owner of names without a prefix.
        variables: the lambda variables.
        computed: the properties that ``$compute`` adds to an entity.
        alias_owners: the owners of names in the values of aliases that are not ``it``.
        referenced: collects the entities other than ``this`` that names refer to.
        max_computed: the most tokens that computed properties may add to one expression.
        tokens: counts the tokens of the whole query; None if one expression is the query.
        depth: the number of lambda expressions around this one.
    """

    it: Variable
    this: Variable
    variables: Mapping[str, Variable]
    computed: Mapping[Variable, Mapping[str, ComputedProperty]] = field(default_factory=dict)
    alias_owners: Mapping[str, Variable] = field(default_factory=dict)
    referenced: set[Variable] = field(default_factory=set)
    max_computed: int = 0
    tokens: QueryTokens | None = None
    depth: int = 0

    @classmethod
    def of(cls, it: Variable) -> "Scope":
        return cls(it, it, {})

    def count(self, tokens: int, at: Place) -> None:
        """Count tokens that belong to this query: see ``QueryTokens``."""
        if self.tokens is not None:
            self.tokens.add(tokens, at)

    def owner_of(self, source: str) -> Variable:
        """Return the owner of a name in an option (``$…``) or in the value of an alias (``@…``).

        Protocol 4.01, section 11.2.6.1.3: names in an alias belong to the resource that assigns it.
        """
        is_alias = source.startswith("@")
        return self.alias_owners.get(source[1:], self.it) if is_alias else self.this
