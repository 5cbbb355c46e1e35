"""Query options that API Gateway has split at semicolons, and their way back."""

import random
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, quote

import pytest

from chalicelib.errors import InvalidError
from chalicelib.odata.language.expand_items import ExpandItem, read_items
from chalicelib.odata.language.span import Span
from chalicelib.odata.query.options import parse_options
from chalicelib.odata.split_query import rejoin
from local.gateway import split_query

Pairs = list[tuple[str, str]]


def arrived(query: str, seed: int = 0) -> Pairs:
    """Return the options of a query string as they arrive in an event, names in any order."""
    values = parse_qs(split_query(f"/odata?{query}").partition("?")[2], keep_blank_values=True)
    names = list(values)
    random.Random(seed).shuffle(names)
    return [(name, value) for name in names for value in values[name]]


@pytest.mark.parametrize(
    "query",
    [
        "$expand=logs($select=id;$top=2)",
        "$expand=logs($select=id;$top=2)&$top=5",
        "$expand=logs(select=id;top=2)&$format=json&x=1&debug",
        "$expand=logs(@a=5;$filter=attempt eq @a)",
        "expand=logs( $select=id; $top=2 )",
        "$expand=logs($filter=contains(log,'(''%3B');$top=1)",
        '$expand=logs($search="a%3Bb(";$top=1)',
        "$expand=logs($search=it's;$top=1)",
        "$expand=logs($search='a(%3B';$top=1)",
        "$expand=logs($select=id;$top=2),point($select=id;$expand=logs)",
        "$expand=logs/$count($filter=attempt eq 1;$search=x)&$top=1&$orderby=id&$count=true",
        "$expand=logs/$ref($filter=attempt eq 1;$top=1)&$select=id",
        "$filter=logs/$count($filter=attempt eq 1;$search=x) gt 1 and (id ne null)&$top=1",
        "$filter=a&$expand=logs($filter=b;$top=3)&$top=5",
        "$filter=logs/$count($search=x;$filter=a) gt 1&$expand=logs($filter=b;$top=1)",
        "$format=application/json;odata.metadata=full;IEEE754Compatible=true",
        "$format=json;odata.metadata=full&metadata=x",
        "$format=application/json;metadata=none&$expand=logs($top=1;$select=id)",
    ],
)
def test_query_with_one_way_to_join_it_is_restored(query: str) -> None:
    for seed in range(8):
        whole = parse_qs(query, keep_blank_values=True)
        joined = rejoin(arrived(query, seed))
        assert canonical(joined) == canonical([(name, value) for name, [value] in whole.items()])


@pytest.mark.parametrize(
    "query",
    [
        # a whole option may stand in the parentheses or outside
        "$expand=logs($select=id;$top=2)&$skip=1",
        "$expand=logs($select=id;$skip=1;$top=2)",
        "$filter=a&$top=1&$expand=logs($filter=b;$top=3;$skip=4)",
        # which of two whole options is the inner one
        "$top=1&$expand=logs($filter=b;$top=3;$orderby=c)",
        # which of the two is the outer one
        "$expand=logs($select=id;$expand=point($select=id;$levels=2);$top=1)",
        # in a string, an empty part or a = may be lost
        "$filter=contains(deviceId,'a;b')",
        "$filter=contains(deviceId,'a;;b')",
        "$filter=contains(deviceId,'a;b=c') and deviceId eq 'd;e'",
        "$filter=startswith(deviceId,'(;)')",
        '$search="a;b"',
        "@a='x;y'&$filter=deviceId eq @a",
        "$expand=logs($select=id;)",
        "$expand=logs($top=1;$top=2)",
        "$expand=logs($select=id;nope=2)",
        "$format=application/json;odata.metadata=full;odata.metadata=none",
        "$filter=" + "(" * 600 + "&$top=)",
        "&".join(f"$expand=logs({'(' * 20}$top=1;$skip=2)" for _ in range(20)),
    ],
)
def test_query_with_more_or_less_than_one_way_is_refused(query: str) -> None:
    for seed in range(4):
        with pytest.raises(InvalidError, match="Write ; as %3B") as caught:
            rejoin(arrived(query, seed))
        assert caught.value.target in ("$expand", "$filter", "$search", "$format", "@a")


@pytest.mark.parametrize("name", ["@1", "@", f"@{'a' * 129}"])
def test_split_alias_with_an_invalid_name_is_refused_for_its_name(name: str) -> None:
    joined = rejoin(arrived(f"{name}=logs/$count($filter=attempt eq 1;$search=x)"))
    with pytest.raises(InvalidError, match="not a valid name of a parameter alias"):
        parse_options(joined)


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("$filter", "contains(deviceId,'a;b')"), ("$top", "1")],
        [("$expand", "logs($select=id;$top=2)"), ("$skip", "1"), ("$select", "id")],
        [("$filter", "(a eq 1"), ("$top", "2"), ("x", "1")],
        [("$filter", "contains(deviceId,'a"), ("$top", "2")],
        [("$search", "it's :("), ("$top", "2")],
        [("$search", "it's"), ("$expand", "logs($search=it's)"), ("comment", "it's")],
        [("comment", "it's"), ("note", "(")],
        [("odata.metadata", "full"), ("charset", "utf-8")],
        [("$format", "json"), ("q", "shift"), ("metadata", "none")],
        [("$format", "application/json"), ("q", "shift"), ("x", "none")],
        [("$top", "1"), ("$top", "2")],
    ],
)
def test_query_that_was_not_split_is_unchanged(pairs: Pairs) -> None:
    assert rejoin(pairs) == pairs


def canonical(pairs: Pairs) -> dict[str, Any]:
    """Return the options by full name. Nested options and parameters of $format have no order."""
    result: dict[str, Any] = {}
    for given_name, value in pairs:
        name = given_name.strip().lower()
        name = name if name[0] in "$@" else f"${name}"
        assert name not in result
        result[name] = value
        if name == "$expand":
            result[name] = _items(read_items(Span.of(value, name), 9))
        elif name == "$format":
            result[name] = set(value.split(";"))
    return result


def _items(items: tuple[ExpandItem, ...]) -> list[Any]:
    return [
        (
            item.path.text,
            {
                name: _items(item.items) if name == "$expand" else span.text
                for name, span in item.options.items()
            },
            {name: span.text for name, span in item.aliases.items()},
        )
        for item in items
    ]


COUNT = "logs/$count($filter=a eq 1;$search=x)"


def simple(chance: random.Random, name: str) -> str:
    """Draw the value of an option that is not $expand."""
    letters = "".join(chance.choices("ab;'(),=&+", k=chance.randint(0, 4)))
    text = "'" + letters.replace("'", "''") + "'"
    values = {
        "$select": ["id", "id,status"],
        "$top": "12",
        "$skip": "12",
        "$orderby": ["id desc", f"id,{COUNT}"],
        "$filter": [f"contains(log,{text})", f"(log eq {text} or {COUNT} gt 1)"],
        "$search": ["x", '"a;b"', "(x OR y)", "it's"],
        "@a": [text],
    }
    return chance.choice(values[name])


def options(chance: random.Random, depth: int) -> list[str]:
    """Draw the options of one level, as text. Their names repeat at other levels."""
    names = ["$select", "$top", "$skip", "$orderby", "$filter", "$search", "@a"]
    chosen = chance.sample(names, chance.randint(0, 2))
    texts = [f"{name}={simple(chance, name)}" for name in chosen]
    if depth and chance.random() < 0.6:
        items = []
        for name in chance.choice([["logs"], ["point"], ["logs", "point"]]):
            nested = options(chance, depth - 1)
            items.append(f"{name}({';'.join(nested)})" if nested else name)
        texts.append(f"$expand={','.join(items)}")
    chance.shuffle(texts)
    return texts


def encoded(chance: random.Random, value: str) -> str:
    """Encode a value for a URL; leave none, some or all of its semicolons."""
    share = chance.choice([0, 0, 0.3, 1])
    first, *rest = quote(value, "/(),:'@$*!=;").split(";")
    return first + "".join(f"{'%3B' if chance.random() < share else ';'}{each}" for each in rest)


def test_random_query_is_restored_or_refused() -> None:
    outcomes = Counter[str]()
    for seed in range(1_500):
        chance = random.Random(seed)
        sent = [*options(chance, 2), *chance.choice([[], ["x=1"], ["debug"]])]
        pairs = [(name, value) for name, _, value in (each.partition("=") for each in sent)]
        query = "&".join(f"{name}={encoded(chance, value)}" for name, value in pairs)
        try:
            joined = rejoin(arrived(query, seed))
        except InvalidError:
            outcomes["refused"] += 1
            assert ";" in query, (seed, query)
        else:
            outcomes["restored" if ";" in query else "whole"] += 1
            assert canonical(joined) == canonical(pairs), (seed, query)
    assert min(outcomes[each] for each in ("restored", "refused", "whole")) > 100


def test_hostile_query_is_refused_in_time() -> None:
    brackets = "(" * 95
    pairs = [("$expand", f"a($top={brackets}"), *[("$skip", f"){brackets}")] * 3]
    pairs.append(("$count", ")" * 99))
    with pytest.raises(InvalidError):
        rejoin(pairs)
