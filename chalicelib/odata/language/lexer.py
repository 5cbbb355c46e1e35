"""Split the text of an expression into tokens for odata-query's parser.

The parser decides precedence and nesting. This lexer replaces odata-query's own, which rejects
legal input (``not(``, ``in (1)``, ``divby``, mixed case, ``$it``, ``/$count``, ``@alias``, names
that start with a keyword) and accepts illegal input. Position decides which words are operators: a
value is followed by an operator, an operator by a value.

Constructs without a grammar rule are rewritten to ones that have one: a path becomes one
identifier, ``divby`` a division, ``case(a:b)`` a call of ``case(a,b)``. A list with one member gets
a comma at its end, and ``logs/$filter(…)/$count`` becomes a lambda with the operator ``count``.

OData ABNF 4.01, section 4 (expressions).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chalicelib.odata.ast import Literal, Place
from chalicelib.odata.edm import Edm
from chalicelib.odata.language import tokens
from chalicelib.odata.language.count_options import Search, read_count_options
from chalicelib.odata.language.earlier_versions import SUFFIX, advice_on_literal
from chalicelib.odata.language.lexer_state import CHARACTERS_PER_TOKEN, Frame, LexerState
from chalicelib.odata.language.parser import (
    EMPTY_LIST,
    Bounds,
    Path,
    Tokens,
    Word,
    syntax_error,
    unsupported,
)
from chalicelib.odata.language.span import Span
from chalicelib.odata.language.tokens import OPERATORS, SPACES, read_literal


def tokenize(span: Span, aliases: Mapping[str, str], bounds: Bounds) -> Tokens:
    """Split expressions with commas between them and directions after them into tokens.

    An alias becomes the tokens of its value in parentheses, or ``null`` if it has no value. Places
    are offsets in the whole text of the option.

    Raises:
        InvalidError: the text is not an expression, or exceeds the bounds.
        NotImplementedByServiceError: the text is legal, but the service does not support it.
    """
    text = span.whole[: span.end]
    lexer = _Lexer(text, span.source, bounds, position=span.start, aliases=aliases)
    lexer.run()
    return lexer.tokens


@dataclass(slots=True)
class _Lexer(LexerState):
    aliases: Mapping[str, str] = field(default_factory=dict)
    open_aliases: tuple[str, ...] = ()

    def run(self) -> None:
        while True:
            self.skip_space()
            if self.wants_value:
                self._value()
            elif self.position < len(self.text):
                self._after_value()
            else:
                break
        if self.frames:
            innermost = self.frames[-1]
            pair = ("[", "]") if innermost.kind == "array" else ("(", ")")
            raise syntax_error("{!r} has no matching {!r}".format(*pair), innermost.at)

    def run_list(self) -> None:
        """Read a text that consists of a list for ``in``."""
        self.skip_space()
        self._open_list()
        self.run()

    # Where a value is expected.

    def _value(self) -> None:
        at = self.here()
        match = tokens.VALUE.match(self.text, self.position)
        if match is None:
            character = self.text[self.position : self.position + 1]
            raise syntax_error(
                f"A value is expected, not {character!r}" if character else "A value is missing", at
            )
        kind = match.lastgroup or ""
        if kind == "time" and self._ends_condition(match.end()):
            match, kind = tokens.WHOLE_NUMBER.match(self.text, self.position) or match, "number"
        token = match.group(kind)
        if kind == "mark":
            self._mark_for_value(token, at)
            return
        self.position = match.end()
        if kind == "word":
            self._word(token, at)
            return
        if kind == "alias":
            self._alias(token[1:], at)
            return
        if kind == "json" and (not self.frames or self.frames[-1].kind != "array"):
            raise syntax_error("Strings must be in single quotes, not double quotes", at)
        if kind == "number" and (suffix := SUFFIX.match(self.text, self.position)):
            raise syntax_error(advice_on_literal(token + suffix[0]) or "", at)
        self.emit("STRING", read_literal(match, at), at, len(token))
        self._end_value()

    def _ends_condition(self, position: int) -> bool:
        """Return whether ``10:20`` in ``case`` is a condition, a colon and a result, not a time.

        It is if no other colon follows before the end of the pair.
        """
        frame = self.frames[-1] if self.frames else None
        in_condition = frame is not None and frame.kind == "case" and frame.separators % 2 == 0
        return in_condition and tokens.REST_OF_PAIR.match(self.text, position) is not None

    def _mark_for_value(self, mark: str, at: Place) -> None:
        self.position += 1
        frame = self.frames[-1] if self.frames else None
        if mark == "(":
            self.open("group", at)
        elif mark == "-":
            self.emit("UMINUS", Word("-", at), at)
        elif mark in ")]" and frame and not frame.separators and self._is_empty(frame, mark):
            if frame.kind != "call":
                self.emit("STRING", EMPTY_LIST, at)
            self.close(mark, at)
        elif mark == "[" or tokens.OBJECT_START.match(self.text, at.offset):
            raise unsupported(
                "Collections and objects are not supported, except as the list after in", at
            )
        else:
            raise syntax_error(f"A value is expected, not {mark!r}", at)

    def _is_empty(self, frame: Frame, mark: str) -> bool:
        closes = "]" if frame.kind == "array" else ")"
        return (
            frame.kind in ("call", "list", "array")
            and mark == closes
            and self.tokens[-1].type == "("
            and self.tokens[-1].at is frame.at
        )

    def _word(self, word: str, at: Place) -> None:
        follows = self.text[self.position : self.position + 1]
        if word.lower() == "not" and follows and follows in f"{SPACES}(":
            self.emit("NOT", Word("not", at), at)
        elif follows == "(":
            self._open_call(word, at)
        elif follows != "/" and word == "null":
            self.emit("STRING", Literal(Edm.NULL, None, at), at)
            self._end_value()
        elif follows != "/" and word.lower() in ("true", "false"):
            self.emit("STRING", Literal(Edm.BOOLEAN, word.lower() == "true", at), at)
            self._end_value()
        else:
            self._path([word], at)

    def _open_call(self, name: str, at: Place) -> None:
        if name.startswith("$"):
            raise syntax_error(f"{name} is not a function", at)
        self.emit("ODATA_IDENTIFIER", Word(name.lower(), at), at)
        here = self.here()
        self.position += 1
        self.open("case" if name.lower() == "case" else "call", here)

    def _path(self, first: list[str], at: Place) -> None:
        """Read the rest of a path; ``at`` is the place of its first segments."""
        if first[0] == "$root":
            raise unsupported("$root is not supported", at)
        segments = [*first]
        opens = None
        while opens is None and (match := tokens.SEGMENT.match(self.text, self.position)):
            opens = match["opens"]
            self.position = match.end()
            if opens is None:
                segments.append(match["name"])
        self.emit("ODATA_IDENTIFIER", Path(tuple(segments), at), at)
        if opens is not None:
            self._open_quantifier(opens.lower(), at)
            return
        if self.text.startswith("/@", self.position):
            raise unsupported("Annotations in expressions are not supported", self.here())
        if self.text.startswith("(", self.position):
            raise syntax_error(f"The function {segments[-1]} does not exist", self.here())
        self._end_value()

    def _open_quantifier(self, name: str, at: Place) -> None:
        self.emit("/", "/", at)
        if name.startswith("$"):
            self.emit("ANY", Word("count", at), at)
        else:
            self.emit(name.upper(), Word(name, at), at)
        self.open("filtered" if name == "$filter" else name, self.here())
        if name == "any" and (match := tokens.NO_LAMBDA.match(self.text, self.position)):
            self.position = match.end()
            self.close(")", at)
            return
        variable = "$this"
        if name in ("any", "all"):
            match = tokens.LAMBDA_VARIABLE.match(self.text, self.position)
            if match is None:
                raise syntax_error(
                    f"{name} requires a variable and a colon, as in {name}(x:…)", self.here()
                )
            variable = match["name"]
            self.position = match.end()
        self.emit("ODATA_IDENTIFIER", Path((variable,), at), at)
        self.emit(":", ":", at)
        self.wants_value = True
        if name == "$count":
            self._count_options()

    def _count_options(self) -> None:
        """Read the options of ``$count`` up to the closing parenthesis: one condition of both."""
        span = Span(self.text, self.source, self.position, len(self.text))
        condition, search, self.position = read_count_options(span)
        self.wants_value = False
        if search is None:
            self._inner(condition or span).run()
            return
        value = Search(search, self.bounds)
        # Each term counts as a token.
        self.emit("STRING", value, search.at, CHARACTERS_PER_TOKEN * len(search.text.split()))
        if condition is not None:
            self.emit("AND", Word("and", condition.at), condition.at)
            self.emit("(", "(", condition.at)
            self._inner(condition).run()
            self.emit(")", ")", condition.at)

    def _inner(self, span: Span) -> "_Lexer":
        """Return the lexer of an expression within this text."""
        return _Lexer(
            span.whole[: span.end],
            self.source,
            self.bounds,
            self.tokens,
            outer_depth=self.outer_depth + len(self.frames),
            position=span.start,
            aliases=self.aliases,
            open_aliases=self.open_aliases,
        )

    def _alias(self, name: str, at: Place) -> None:
        if self.text.startswith((".", "#"), self.position):
            raise unsupported("Annotations in expressions are not supported", at)
        if name not in self.aliases:
            self.emit("STRING", Literal(Edm.NULL, None, at), at)
            self._end_value()
            return
        if self.text.startswith("/", self.position) and tokens.PATH.fullmatch(self.aliases[name]):
            # Its names belong to the entity that assigns the alias, so it has the alias' place.
            self._path(self.aliases[name].split("/"), Place(f"@{name}", 0))
            return
        self.emit("(", "(", at)
        self._nested(name, at).run()
        self.emit(")", ")", at)
        self._end_value()

    def _nested(self, name: str, at: Place) -> "_Lexer":
        if name in self.open_aliases:
            raise syntax_error(f"The alias @{name} refers to itself", at)
        self.require_depth(at)
        return _Lexer(
            self.aliases[name],
            f"@{name}",
            self.bounds,
            self.tokens,
            outer_depth=self.outer_depth + len(self.frames) + 1,
            aliases=self.aliases,
            open_aliases=(*self.open_aliases, name),
        )

    # After a value.

    def _end_value(self) -> None:
        follows = self.text[self.position : self.position + 1]
        if follows and follows not in f"{SPACES}),:]/":
            raise syntax_error(f"{follows!r} cannot follow a value", self.here())
        self.wants_value = False

    def _after_value(self) -> None:
        at = self.here()
        match = tokens.AFTER_VALUE.match(self.text, self.position)
        if match is None:
            raise syntax_error(f"An operator is expected, not {self.text[self.position]!r}", at)
        self.position = match.end()
        if match["word"]:
            self._operator(match["word"].lower(), at)
        elif match["mark"] in ")]":
            self.close(match["mark"], at)
        else:
            self._separate(match["mark"], at)

    def _operator(self, word: str, at: Place) -> None:
        if word in ("asc", "desc") and not self.frames:
            self.emit("DIRECTION", Word(word, at), at)
            return
        if word == "has":
            raise syntax_error(
                "has requires an enumeration on its left, and this service has none", at
            )
        if word not in OPERATORS:
            raise syntax_error(f"An operator is expected, not {word!r}", at)
        follows = self.text[self.position : self.position + 1]
        if follows and follows not in f"{SPACES}([":
            raise syntax_error(f"A space is missing after {word}", self.here())
        self.emit(OPERATORS[word], Word(word, at), at)
        self.wants_value = True
        if word == "in":
            self.skip_space()
            self._list(at)

    def _list(self, at: Place) -> None:
        """Read a list, or an alias of a list, after ``in``."""
        if match := tokens.ALIAS.match(self.text, self.position):
            if match[1] not in self.aliases:
                raise syntax_error(
                    f"in requires a list, but the alias @{match[1]} has no value", at
                )
            self.position = match.end()
            self._nested(match[1], at).run_list()
            self._end_value()
        else:
            self._open_list()

    def _open_list(self) -> None:
        at = self.here()
        mark = self.text[self.position : self.position + 1]
        if mark not in ("(", "["):
            raise syntax_error("in requires a list in parentheses, as in (1,2)", at)
        self.position += 1
        self.open("list" if mark == "(" else "array", at)

    def _separate(self, mark: str, at: Place) -> None:
        """Read a comma or the colon of ``case``; reject other punctuation after a value."""
        frame = self.frames[-1] if self.frames else None
        if mark == "/" and self.tokens[-1].type == ")":
            raise unsupported("A path after a parenthesis is not supported", at)
        if frame and frame.kind == "case":
            wanted = ":" if frame.separators % 2 == 0 else ","
            allowed = mark == wanted
        else:
            # The value of an alias is one expression; only $orderby and $compute have several.
            in_list = frame.kind in ("call", "list", "array") if frame else not self.open_aliases
            allowed = mark == "," and in_list
        if not allowed:
            raise syntax_error(f"{mark!r} is not allowed here", at)
        if frame:
            frame.separators += 1
        self.emit(",", ",", at)
        self.wants_value = True
