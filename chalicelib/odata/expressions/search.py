"""``$search``: parse a search expression into a condition on the text of an entity.

The standard leaves it to the service what matches. Here, a term matches anywhere in the text,
ignoring case; a null text never matches. The model defines the text (``search_path``): that of a
log is its own, and that of a point record is the texts of its logs, where each term may match in a
different log.

URL Conventions 4.01, section 5.1.7; OData ABNF 4.01, rule searchExpr. Where no operator can stand,
``AND``, ``OR`` and ``NOT`` are ordinary words.
"""

import re
from dataclasses import dataclass

from chalicelib.odata.ast import (
    TRUE,
    Call,
    Column,
    Comparison,
    Literal,
    LogicalOperation,
    Node,
    Place,
    Quantifier,
    Variable,
)
from chalicelib.odata.edm import Edm
from chalicelib.odata.language.parser import Bounds, syntax_error, unsupported
from chalicelib.odata.language.span import Span
from chalicelib.odata.model import Navigation, Property

_TOKEN = re.compile(r'[ \t\r\n]*(?:(?P<phrase>"[^"]*")|(?P<word>[^ \t\r\n()"]+)|(?P<mark>[()"]))')
_STRING = re.compile(r"'([^']*+(?:''[^']*+)*+)'")
# Compare case-insensitively by Unicode's full case folding, which this collation provides.
_CONTAINS = (
    '(casefold({0} COLLATE "pg_unicode_fast") COLLATE "C"'
    ' LIKE casefold({1} COLLATE "pg_unicode_fast") COLLATE "C")'
)


def parse_search(span: Span, it: Variable, bounds: Bounds) -> Node:
    """Parse ``$search``; return the condition on ``it``.

    Raises:
        InvalidError: the search expression is invalid or exceeds the bounds.
        NotImplementedByServiceError: entities of this type have no searchable text.
    """
    if it.entity.search_path is None:
        raise unsupported(f"$search of {it.entity.entity_set} is not supported", span.at)
    text = _SearchableText.of(it, it.entity.search_path)
    if span.text.startswith("'"):
        # A string literal: the client sends the user's input as a whole, operators included.
        string = _STRING.fullmatch(span.text)
        if string is None:
            raise syntax_error(
                "A search that starts with a single quote must end with one", span.at
            )
        return text.contains(string[1].replace("''", "'"))
    parser = _Parser(_tokens(span, bounds), text, bounds.max_depth)
    condition = parser.disjunction(0)
    if parser.next is not None:
        raise syntax_error("')' has no matching '('", parser.next.at)
    return condition


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: Place


def _tokens(span: Span, bounds: Bounds) -> list[_Token]:
    tokens: list[_Token] = []
    position = span.start
    while match := _TOKEN.match(span.whole, position, span.end):
        kind = match.lastgroup or ""
        token = _Token(kind, match[kind], Place(span.source, match.start(kind)))
        if token.text in ('"', '""'):
            raise syntax_error("A phrase must have text and a closing quote", token.at)
        starts_operand = kind != "mark" or token.text == "("
        follows_operand = bool(tokens) and (tokens[-1].kind != "mark" or tokens[-1].text == ")")
        if starts_operand and follows_operand and match.start(kind) == position:
            raise syntax_error(f"A space is missing before {token.text[:1]!r}", token.at)
        tokens.append(token)
        if len(tokens) > bounds.max_tokens:
            raise syntax_error(
                f"A search expression may have at most {bounds.max_tokens} tokens", token.at
            )
        position = match.end()
    if not tokens:
        raise syntax_error("A search term is missing", span.at)
    return tokens


@dataclass(slots=True)
class _Parser:
    """A recursive-descent parser: NOT binds tighter than AND, AND tighter than OR."""

    tokens: list[_Token]
    text: "_SearchableText"
    max_depth: int
    position: int = 0

    @property
    def next(self) -> _Token | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def disjunction(self, depth: int) -> Node:
        operands = [self._conjunction(depth)]
        while self._accept_operator("OR"):
            operands.append(self._conjunction(depth))
        return operands[0] if len(operands) == 1 else self.text.disjunction(operands)

    def _conjunction(self, depth: int) -> Node:
        operands = [self._operand(depth)]
        while self.next and self.next.text != ")" and not self._is_operator("OR"):
            self._accept_operator("AND")
            operands.append(self._operand(depth))
        return operands[0] if len(operands) == 1 else LogicalOperation("and", tuple(operands))

    def _operand(self, depth: int) -> Node:
        if self._accept_operator("NOT"):
            return Comparison("ne", self._operand(self._deeper(depth)), TRUE)
        token = self.next
        if token is None or token.text == ")":
            at = token.at if token else self.tokens[-1].at
            raise syntax_error("A search term is missing", at)
        self.position += 1
        if token.text == "(":
            condition = self.disjunction(self._deeper(depth))
            if self.next is None:
                raise syntax_error("'(' has no matching ')'", token.at)
            self.position += 1
            return condition
        return self.text.contains(token.text[1:-1] if token.kind == "phrase" else token.text)

    def _accept_operator(self, word: str) -> bool:
        """Consume the operator if it is the next token, and return whether it was."""
        is_next = self._is_operator(word)
        self.position += is_next
        return is_next

    def _is_operator(self, word: str) -> bool:
        """Return whether the word is the next token and an operand can follow it."""
        token = self.next
        following = self.tokens[self.position + 1 : self.position + 2]
        return (
            token is not None
            and (token.kind, token.text) == ("word", word)
            and bool(following)
            and following[0].text != ")"
        )

    def _deeper(self, depth: int) -> int:
        if depth >= self.max_depth:
            at = self.tokens[self.position - 1].at
            raise syntax_error(
                f"A search expression may have at most {self.max_depth} levels of nesting", at
            )
        return depth + 1


@dataclass(frozen=True, slots=True)
class _SearchableText:
    """The text to search: a property of ``it`` or of each entity related to it."""

    it: Variable
    owner: Variable
    navigation: Navigation | None
    member: Property

    @classmethod
    def of(cls, it: Variable, path: str) -> "_SearchableText":
        name, _, rest = path.partition("/")
        member = it.entity.by_name[name]
        if isinstance(member, Navigation):
            return cls(it, Variable(member.target), member, member.target.property_named(rest))
        return cls(it, it, None, member)

    def contains(self, term: str) -> Node:
        """Return the condition that the text contains a term."""
        escaped = re.sub(r"([\\%_])", r"\\\1", term)
        pattern = Literal(Edm.STRING, f"%{escaped}%")
        return self._any(Call(_CONTAINS, (Column(self.owner, self.member), pattern), Edm.BOOLEAN))

    def disjunction(self, operands: list[Node]) -> Node:
        """Join conditions by OR, and conditions on any related entity into one subquery.

        An index answers the one subquery.
        """
        inner = [each.predicate for each in operands if isinstance(each, Quantifier)]
        if len(inner) == len(operands):
            return self._any(LogicalOperation("or", tuple(inner)))
        return LogicalOperation("or", tuple(operands))

    def _any(self, predicate: Node) -> Node:
        if self.navigation is None:
            return predicate
        return Quantifier("any", self.it, self.navigation, self.owner, predicate)
