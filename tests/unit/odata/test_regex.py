"""ECMAScript regular expressions are translated to Postgres' syntax, or rejected."""

import pytest

from chalicelib.odata.expressions.regex import translate


@pytest.mark.parametrize(
    ("pattern", "translated"),
    [
        ("^A.*e$", r"^A[^\n\r\u2028\u2029]*e$"),
        (r"\d+\D\w\W", r"\d+\D\w\W"),
        (r"\bx\B", r"\yx\Y"),
        (r"[\b]", r"[\u0008]"),
        ("[a-z0-9_]", "[a-z0-9_]"),
        (r"[^\]a]", r"[^\u005da]"),
        ("[a-]", r"[a\u002d]"),
        ("[[:alpha:]", r"[\u005b\u003aalpha\u003a]"),
        ("(?:a|b)(?=c)(?!d)(?<=e)(?<!f)", "(?:a|b)(?=c)(?!d)(?<=e)(?<!f)"),
        ("(?<year>[0-9]{4})", "([0-9]{4})"),
        (r"(a)\1", r"(a)\1"),
        ("a{2}b{2,}c{2,3}?d*?e+?f??", "a{2}b{2,}c{2,3}?d*?e+?f??"),
        ("a{x}", r"a\u007bx\u007d"),
        (r"\x41\u00e9\cJ\t\/\.", r"Aé\u000a\u0009\u002f\u002e"),
        ("(a{10}){100}", "(a{10}){100}"),
        ("a{0}" * 900, "a{0}" * 900),
        ("é😀", "é😀"),
    ],
)
def test_pattern_is_translated_to_postgres_syntax(pattern: str, translated: str) -> None:
    assert translate(pattern) == translated


@pytest.mark.parametrize(
    "pattern",
    ["(", ")", "(a", "a)", "[", "[a", "[]", "a\\", r"\q", r"\p{L}", r"\k<x>", r"\0",
     r"\x00", r"\ud800", "a{256}", "[\\", r"[\q]", "(?i)a", "(?x) a", "(?)", "(*a)", "(+a)",
     "*", "a**", "a{2}{2}", "a|+", "^*", "$?", r"\b+", "(?=a)*", "(?<!a){2}", "{2}", "***=x",
     "a{2,1}"],
)  # fmt: skip
def test_malformed_or_untranslatable_pattern_is_rejected(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"^(has|ends) "):
        translate(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["a" * 1_001, "(a{10}){101}", "(?:a?b?){251}[x]{255}[y]{244}", "((a{255}){255}){255}",
     "(x(a|b){250}){2}", "(a{3,255})" * 4, "a{255,}" * 4],
)  # fmt: skip
def test_pattern_that_expands_too_far_is_rejected(pattern: str) -> None:
    with pytest.raises(ValueError, match="more than 1000 characters"):
        translate(pattern)
