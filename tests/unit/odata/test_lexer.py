"""The lexer splits expressions into tokens that odata-query's parser accepts."""

import pytest

from chalicelib.errors import InvalidError
from chalicelib.odata.ast import Literal
from chalicelib.odata.edm import Edm
from chalicelib.odata.language.lexer import tokenize
from chalicelib.odata.language.parser import Bounds, Path, Word, parse
from chalicelib.odata.language.span import Span

BOUNDS = Bounds(max_tokens=2_000, max_depth=100)


def token_text(text: str, **aliases: str) -> str:
    """Return the tokens of an expression, separated by spaces."""
    words = []
    for token in tokenize(Span.of(text, "$filter"), aliases, BOUNDS):
        value = token.value
        if isinstance(value, Literal):
            words.append(f"{value.type.name}:{value.value}")
        elif isinstance(value, Path):
            words.append(str(value))
        else:
            words.append(value.name if isinstance(value, Word) else value)
    return " ".join(words)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("not(true)", "not ( BOOLEAN:True )"),
        ("NOT true", "not BOOLEAN:True"),
        ("notable eq 1", "notable eq INT64:1"),
        ("nullable eq NULL", "nullable eq NULL"),
        ("anything eq allowed", "anything eq allowed"),
        ("any eq all", "any eq all"),
        ("eq eq eq", "eq eq eq"),
        ("truest AND falsehood", "truest and falsehood"),
        ("a in (1)", "a in ( INT64:1 , )"),
        ("a in (1,2)", "a in ( INT64:1 , INT64:2 )"),
        ("a in (1) and b in (2)", "a in ( INT64:1 , ) and b in ( INT64:2 , )"),
        ('a in ["x","y\\u00e9"]', "a in ( STRING:x , STRING:yé )"),
        ("a divby b", "a divby b"),
        ("a/b/c eq 1", "a/b/c eq INT64:1"),
        ("$it/a eq $this/b", "$it/a eq $this/b"),
        ("a/$count gt 1", "a/$count gt INT64:1"),
        ("a/any(x:x/b)", "a / any ( x : x/b )"),
        ("a/ALL( x : x/b )", "a / all ( x : x/b )"),
        ("a/any()", "a / any ( )"),
        ("a/$filter(b)/$count gt 1", "a / count ( $this : b ) gt INT64:1"),
        ("a/$count($filter=b) gt 1", "a / count ( $this : b ) gt INT64:1"),
        ("ToLower('X')", "tolower ( STRING:X )"),
        ("case(a:1,b:2)", "case ( a , INT64:1 , b , INT64:2 )"),
        ("cast(a,Edm.String)", "cast ( a , Edm.String )"),
        ("@x eq @y", "( INT64:5 ) eq NULL:None"),
        ("a sub -5", "a sub INT64:-5"),
        ("-a", "- a"),
        ("- 5", "- INT64:5"),
        ("-INF", "DOUBLE:-inf"),
        ("'it''s'", "STRING:it's"),
        ("1e3", "DOUBLE:1000.0"),
        ("1.50", "DECIMAL:1.50"),
        ("9223372036854775808", "DECIMAL:9223372036854775808"),
        ("12:00", "TIME_OF_DAY:12:00:00"),
        ("0001-01-01", "DATE:0001-01-01"),
        ("0999-01-01T00:00Z", "DATE_TIME_OFFSET:0999-01-01 00:00:00+00:00"),
        ("2026-01-01T00:00:00 03:00", "DATE_TIME_OFFSET:2026-01-01 00:00:00+03:00"),
        ("Duration'PT1M'", "DURATION:0:01:00"),
        ("a asc", "a asc"),
        ("a DESC,b", "a desc , b"),
    ],
)
def test_lexer_splits_text_into_tokens(text: str, tokens: str) -> None:
    assert token_text(text, x="5") == tokens


@pytest.mark.parametrize(
    "text",
    [
        "not(a eq 1)", "a in (1)", "a in (1,2)", "a/b/c/d/any(x:x/y/z/any(w:w eq 1)) eq true",
        "a add b mul c divby d mod -e gt 1", "case(a:b,c:d) eq cast(e,Edm.Int32)",
        "now() gt mindatetime()",
        "a/$filter(b eq 1)/$count gt c/$count", "a in () or not b", "f(1,2,3)",
    ],
)  # fmt: skip
def test_parser_accepts_the_lexers_tokens(text: str) -> None:
    assert parse(tokenize(Span.of(text, "$filter"), {}, BOUNDS), "$filter") is not None


def test_error_names_its_place() -> None:
    with pytest.raises(InvalidError) as rejection:
        tokenize(Span.of("abc eq 'x' ~ 1", "$filter"), {}, BOUNDS)
    assert "character 12 of $filter" in rejection.value.message
    assert rejection.value.target == "$filter"
    with pytest.raises(InvalidError, match="character 3 of @a"):
        tokenize(Span.of("abc eq @a", "$filter"), {"a": "1 ~"}, BOUNDS)


def test_lexer_enforces_the_bounds() -> None:
    with pytest.raises(InvalidError, match="3 tokens"):
        tokenize(Span.of("a eq 1 or b", "$filter"), {}, Bounds(3, 10))
    with pytest.raises(InvalidError, match="at most 3 levels"):
        tokenize(Span.of("((((a))))", "$filter"), {}, Bounds(100, 3))


def test_guid_literal_has_type_guid() -> None:
    guid = tokenize(Span.of("01234567-89ab-CDEF-0123-456789abcdef", "$filter"), {}, BOUNDS)[0].value
    assert guid.type is Edm.GUID
    assert str(guid.value) == "01234567-89ab-cdef-0123-456789abcdef"
