"""SQL statements contain no text from the client, and allow indexes to be used."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.odata.ast import Node, OrderKey
from chalicelib.odata.expressions.analyzer import root
from chalicelib.odata.language.parser import Bounds
from chalicelib.odata.model import ENTITY_TYPES, INTEGRATION_LOG, POINT_RECORD, EntityType
from chalicelib.odata.query.parse_query import Query, QueryLimits, parse_query
from chalicelib.odata.query.total_order import total_order
from chalicelib.odata.resource import read_resource
from chalicelib.odata.sql.json_functions import JsonStyle
from chalicelib.odata.sql.keyset import after_place, order_by
from chalicelib.odata.sql.select_statements import Page, all_conditions, page_statement
from chalicelib.odata.sql.translator import Translator
from chalicelib.postgres.query_parameters import QueryParameters
from chalicelib.principal import Principal, Role
from tests.support.tokens import INTEGRATION

LIMITS = QueryLimits(Bounds(max_tokens=2_000, max_depth=100), max_tokens=5_000, expand_depth=2)


def read(entity: EntityType = POINT_RECORD, **texts: str) -> Query:
    return parse_query({f"${name}": text for name, text in texts.items()}, entity, {}, LIMITS)


def filtered(text: str, entity: EntityType = POINT_RECORD) -> Node:
    (node,) = read(entity, filter=text).conditions
    return node


def ordered(text: str) -> tuple[OrderKey, ...]:
    return read(orderby=text).order


def condition(text: str, entity: EntityType = POINT_RECORD) -> tuple[str, list[str]]:
    translator = Translator(QueryParameters(INTEGRATION))
    return translator.truth(filtered(text, entity)), translator.parameters


@pytest.mark.parametrize(
    ("text", "sql", "parameters"),
    [
        ("employerId eq 5", "(t0.employer_id = CAST($1 AS bigint))", ["5"]),
        ("latitude gt 1.5", "(t0.latitude > CAST($1 AS numeric))", ["1.5"]),
        ("not (latitude gt 1.5)",
         "(NOT COALESCE(t0.latitude > CAST($1 AS numeric), FALSE))", ["1.5"]),
        ("deviceId ne 'x'", "(t0.device_id IS DISTINCT FROM CAST($1 AS text))", ["x"]),
        ("deviceId eq 'x'", "(t0.device_id = CAST($1 AS text))", ["x"]),
        ("status ne 'x'", "(t0.status <> CAST($1 AS text))", ["x"]),
        ("latitude eq longitude", "(t0.latitude IS NOT DISTINCT FROM t0.longitude)", []),
        ("deviceId eq null", "(t0.device_id IS NULL)", []),
        ("status gt 'x'", '(t0.status COLLATE "C" > CAST($1 AS text) COLLATE "C")', ["x"]),
        ("status in ('a','b')", "(t0.status = ANY(CAST($1 AS text[])))", ['{"a","b"}']),
        ("includedAt ge 2026-01-01T03:00:00+03:00",
         "((t0.included_at >= CAST($1 AS timestamptz)) AND t0.id >= CAST($2 AS uuid))",
        ["2026-01-01T00:00:00+00:00", "019b76da-a800-0000-0000-000000000000"]),
    ],
)  # fmt: skip
def test_comparison_is_a_plain_operator_where_null_equals_false(
    text: str, sql: str, parameters: list[str]
) -> None:
    assert condition(text) == (sql, parameters)


def test_repeated_navigation_is_one_join() -> None:
    translator = Translator(QueryParameters(INTEGRATION))
    query = read(INTEGRATION_LOG, filter="point/employerId eq 1 and point/status eq 'x'")
    assert [translator.truth(each).count("t1.") for each in query.conditions] == [1, 1]
    assert translator.from_clause(root(INTEGRATION_LOG)) == (
        "integration_log AS t0 LEFT JOIN point_record AS t1 ON t1.id = t0.point_id"
    )


@pytest.mark.parametrize(
    ("principal", "own", "parameters"),
    [
        (INTEGRATION, None, []),
        (Principal(Role.EMPLOYER, 121), "p.employer_id = CAST($1 AS bigint)", ["121"]),
        (
            Principal(Role.EMPLOYEE, 121, 7),
            "p.employer_id = CAST($1 AS bigint) AND p.employee_id = CAST($2 AS bigint)",
            ["121", "7"],
        ),
    ],
)
def test_source_is_restricted_to_the_principals_rows(
    principal: Principal, own: str | None, parameters: list[str]
) -> None:
    translator = Translator(QueryParameters(principal))
    records, logs, runs = map(translator.source, ENTITY_TYPES)
    assert translator.parameters == parameters
    if own is None:
        assert (records, logs, runs) == ("point_record", "integration_log", "integration_run")
    else:
        assert records == f"(SELECT * FROM point_record AS p WHERE {own})"
        join = "point_record AS p JOIN integration_log AS l ON l.point_id = p.id"
        assert logs == f"(SELECT l.* FROM {join} WHERE {own})"
        linked = translator.source(INTEGRATION_LOG, is_linked=True)
        assert linked == f"(SELECT * FROM integration_log AS p WHERE {own})"
        assert runs == "(SELECT * FROM integration_run WHERE FALSE)"


@pytest.mark.parametrize("principal", [Principal(Role.EMPLOYER), Principal(Role.EMPLOYEE, 121)])
def test_principal_without_ids_is_rejected(principal: Principal) -> None:
    with pytest.raises(ValueError, match="_id"):
        Translator(QueryParameters(principal)).source(POINT_RECORD)


@pytest.mark.parametrize("text", ["logs/$count gt 0", "logs/$count ge 1", "logs/$count ne 0"])
def test_existence_test_by_count_becomes_exists(text: str) -> None:
    sql, _ = condition(text)
    assert "EXISTS" in sql
    assert "count" not in sql


_client_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(
    lambda text: f"zq{text}qz"
)


@given(mark=_client_texts)
def test_statement_contains_no_text_from_the_client(mark: str) -> None:
    quoted = "'" + mark.replace("'", "''") + "'"
    searched = '"' + mark.replace('"', "") + '"'
    texts = {
        "$compute": f"concat(status,{quoted}) as zqcomputed,zqcomputed eq @a as zqother",
        "$filter": f"deviceId eq {quoted} or contains(status,@a) or deviceId in ({quoted},null)"
        f" or substring(deviceId,1) gt {quoted} or case(true:{quoted}) eq status or zqother"
        f" or logs/any(zqnameqz:zqnameqz/log ne {quoted} and cast(@a,Edm.String) eq status)",
        "$search": f"{searched} OR NOT zqword",
        "$orderby": f"concat(deviceId,{quoted}) desc,zqcomputed",
        "$expand": f"logs($filter=log eq {quoted} or log eq @zqb;@zqb={quoted};$count=true;"
        f"$search={searched};$compute=concat(log,{quoted}) as zqinner;$orderby=zqinner,number;"
        "$expand=point($compute=concat(status,'zq') as zqdeep))",
    }
    query = parse_query(texts, POINT_RECORD, {"a": quoted}, LIMITS)
    resource = read_resource(["PointRecords"], {}, INTEGRATION)
    conditions = all_conditions(resource, query.conditions)
    keys = total_order(query.projection.it, query.order, conditions)
    page = Page(conditions, keys, (mark, "0", "0"), skip=7, size=13, with_count=True)
    style = JsonStyle(f"http://{mark}/", "full", True, 100, 5_000, f"json;{mark}")
    statement = page_statement(resource, page, query.projection, style)
    assert "zq" not in statement.sql
    assert statement.sql.isascii()
    bound = {int(number) for number in re.findall(r"\$(\d+)", statement.sql)}
    assert bound == set(range(1, len(statement.parameters) + 1))
    assert mark in statement.parameters


def test_keyset_condition_is_a_row_comparison_for_one_direction() -> None:
    keys = total_order(root(POINT_RECORD), ordered("includedAt desc"), ())
    translator = Translator(QueryParameters(INTEGRATION))
    expressions = [translator.by_order(each.expression) for each in keys]
    after = ["2026-01-01", "019b76da-a800-0000-0000-000000000000"]
    assert after_place(POINT_RECORD, keys, expressions, after, translator) == (
        "(t0.included_at, t0.id) < (CAST($1 AS timestamptz), CAST($2 AS uuid))"
        " AND t0.id < CAST($3 AS uuid)"
    )
    assert order_by(keys) == "k0 DESC, k1 DESC"


def test_nulls_sort_as_the_lowest_value() -> None:
    keys = total_order(root(POINT_RECORD), ordered("latitude,longitude desc"), ())
    assert order_by(keys) == "k0 ASC NULLS FIRST, k1 DESC NULLS LAST, k2 DESC"


@pytest.mark.parametrize(
    ("text", "orders"),
    [
        ("employerId eq 1", ["includedAt", "id"]),
        ("employeeId eq 1 and status eq 'x'", ["includedAt", "id"]),
        ("employerId eq 1 or true", ["id"]),
        ("employerId gt 1", ["id"]),
        ("logs/any(l:l/point/employerId eq 1)", ["id"]),
    ],
)
def test_default_order_follows_an_index(text: str, orders: list[str]) -> None:
    resource = read_resource(["PointRecords"], {}, INTEGRATION)
    conditions = all_conditions(resource, read(filter=text).conditions)
    keys = total_order(root(POINT_RECORD), (), conditions)
    assert [each.expression.member.name for each in keys] == orders  # type: ignore[attr-defined]
