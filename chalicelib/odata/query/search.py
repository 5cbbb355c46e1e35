"""``$search``: words that the text of an entity is to have.

What matches is decided here, as the standard leaves it to the service: a word or a phrase is looked
for anywhere in the text, whatever the case, and a null text has none. The text is what the model
names: a log's own, and of a point record those of its logs, each word in any of them.

URL Conventions 4.01, section 5.1.7; OData ABNF 4.01, rule searchExpr. ``AND``, ``OR`` and ``NOT``
are words like any other where no operator can stand.
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
_AS_IT_IS = re.compile(r"'([^']*+(?:''[^']*+)*+)'")
# Both sides in one collation that has a form for every letter: full case folding of Unicode.
_CONTAINS = (
    '(casefold({0} COLLATE "pg_unicode_fast") COLLATE "C"'
    ' LIKE casefold({1} COLLATE "pg_unicode_fast") COLLATE "C")'
)


def read_search(span: Span, it: Variable, bounds: Bounds) -> Node:
    """Read ``$search``: return the condition on ``it``.

    Raises:
        InvalidError: it is no search expression, or larger than the bounds allow.
        NotImplementedByServiceError: entities of the type have no text to search.
    """
    if it.entity.search_path is None:
        raise unsupported(f"$search of {it.entity.entity_set} is not supported", span.at)
    text = _Text.of(it, it.entity.search_path)
    if span.text.startswith("'"):
        # What somebody is still typing, sent as a text.
        quoted = _AS_IT_IS.fullmatch(span.text)
        if quoted is None:
            raise syntax_error("A text that begins with a single quote ends with one", span.at)
        return text.has(quoted[1].replace("''", "'"))
    parser = _Parser(_tokens(span, bounds), text, bounds.max_depth)
    found = parser.either(0)
    if parser.next is not None:
        raise syntax_error("')' has no matching '('", parser.next.at)
    return found


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
            raise syntax_error("A phrase has a text, and a quote at its end", token.at)
        begins = kind != "mark" or token.text == "("
        ended = bool(tokens) and (tokens[-1].kind != "mark" or tokens[-1].text == ")")
        if begins and ended and match.start(kind) == position:
            raise syntax_error(f"A space is missing before {token.text[:1]!r}", token.at)
        tokens.append(token)
        if len(tokens) > bounds.max_tokens:
            raise syntax_error(f"A search may have {bounds.max_tokens} tokens, not more", token.at)
        position = match.end()
    if not tokens:
        raise syntax_error("A word to search for is missing", span.at)
    return tokens


@dataclass(slots=True)
class _Parser:
    """Reads tokens by precedence: NOT before AND before OR."""

    tokens: list[_Token]
    text: "_Text"
    max_depth: int
    position: int = 0

    @property
    def next(self) -> _Token | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def either(self, depth: int) -> Node:
        operands = [self._all(depth)]
        while self._operator("OR"):
            operands.append(self._all(depth))
        return operands[0] if len(operands) == 1 else self.text.either(operands)

    def _all(self, depth: int) -> Node:
        operands = [self._one(depth)]
        while self.next and self.next.text != ")" and not self._is_operator("OR"):
            self._operator("AND")
            operands.append(self._one(depth))
        return operands[0] if len(operands) == 1 else LogicalOperation("and", tuple(operands))

    def _one(self, depth: int) -> Node:
        if self._operator("NOT"):
            return Comparison("ne", self._one(self._deeper(depth)), TRUE)
        token = self.next
        if token is None or token.text == ")":
            at = token.at if token else self.tokens[-1].at
            raise syntax_error("A word to search for is missing", at)
        self.position += 1
        if token.text == "(":
            found = self.either(self._deeper(depth))
            if self.next is None:
                raise syntax_error("'(' has no matching ')'", token.at)
            self.position += 1
            return found
        return self.text.has(token.text[1:-1] if token.kind == "phrase" else token.text)

    def _operator(self, word: str) -> bool:
        """Go past an operator if it is next."""
        found = self._is_operator(word)
        self.position += found
        return found

    def _is_operator(self, word: str) -> bool:
        """Say whether the word is next, and something that it can operate on after it."""
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
            raise syntax_error(f"A search may be nested {self.max_depth} deep, not deeper", at)
        return depth + 1


@dataclass(frozen=True, slots=True)
class _Text:
    """The text to look into: of ``it`` itself, or of each entity that a navigation leads to."""

    it: Variable
    owner: Variable
    navigation: Navigation | None
    member: Property

    @classmethod
    def of(cls, it: Variable, path: str) -> "_Text":
        name, _, rest = path.partition("/")
        member = it.entity.by_name[name]
        if isinstance(member, Navigation):
            return cls(it, Variable(member.target), member, member.target.property_named(rest))
        return cls(it, it, None, member)

    def has(self, text: str) -> Node:
        """Return the condition that the text has another text in it."""
        literally = re.sub(r"([\\%_])", r"\\\1", text)
        pattern = Literal(Edm.STRING, f"%{literally}%")
        return self._any(Call(_CONTAINS, (Column(self.owner, self.member), pattern), Edm.BOOLEAN))

    def either(self, operands: list[Node]) -> Node:
        """Join by OR. What holds of one log or another is one question, which an index answers."""
        inner = [each.predicate for each in operands if isinstance(each, Quantifier)]
        if len(inner) == len(operands):
            return self._any(LogicalOperation("or", tuple(inner)))
        return LogicalOperation("or", tuple(operands))

    def _any(self, predicate: Node) -> Node:
        if self.navigation is None:
            return predicate
        return Quantifier("any", self.it, self.navigation, self.owner, predicate)
