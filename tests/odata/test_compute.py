"""``$compute`` adds properties that other options can use."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.errors import InvalidError, NotImplementedByServiceError
from tests.support.odata.client import ROOT, Client
from tests.support.odata.dataset import DataSet, Record


@pytest.mark.parametrize(
    ("expression", "type_name", "value"),
    [
        ("attempts add 1", "#Int64", lambda r: r.attempts + 1),
        ("attempts", "#Int32", lambda r: r.attempts),
        ("attempts divby 4", "#Decimal", lambda r: r.attempts / 4),
        ("attempts mul 0.5", "#Decimal", lambda r: r.attempts / 2),
        ("attempts mul 5e-1", "#Double", lambda r: r.attempts / 2),
        ("concat(status,'!')", None, lambda r: f"{r.status}!"),
        ("concat(deviceId,'!')", None, lambda r: r.deviceId and f"{r.deviceId}!"),
        ("attempts gt 0", None, lambda r: r.attempts > 0),
        ("latitude", None, lambda r: r.latitude),
        ("date(createdAt)", "#Date", lambda r: r.createdAt.date().isoformat()),
        ("time(2026-01-02T03:04:05Z)", "#TimeOfDay", lambda _: "03:04:05"),
        ("createdAt", "#DateTimeOffset",
         lambda r: r.createdAt.isoformat(timespec="microseconds").replace("+00:00", "Z")),
        ("id", "#Guid", lambda r: str(r.id)),
        ("duration'PT26H3M4.5S'", "#Duration", lambda _: "P1DT2H3M4.5S"),
        ("-duration'PT90M'", "#Duration", lambda _: "-PT1H30M"),
        ("createdAt sub createdAt", "#Duration", lambda _: "PT0S"),
        ("integratedAt sub createdAt", "#Duration", lambda r: r.integratedAt and "PT0S"),
        ("duration'P3D'", "#Duration", lambda _: "P3D"),
        ("null", None, lambda _: None),
        ("1e0 div 0", "#Double", lambda _: "INF"),
        ("-1e0 div 0", "#Double", lambda _: "-INF"),
        ("INF sub INF", "#Double", lambda _: "NaN"),
        ("1 divby 0", "#Decimal", lambda _: "INF"),
        ("logs/$count", "#Int64", lambda r: len(r.logs)),
        ("logs/any(l:l/status eq 'ERROR')", None,
         lambda r: any(each.status == "ERROR" for each in r.logs)),
        ("case(attempts gt 2:'many',attempts gt 0:'some')", None,
         lambda r: "many" if r.attempts > 2 else "some" if r.attempts > 0 else None),
        ("@a add @a", "#Int64", lambda _: 14),
        ("$it/attempts", "#Int32", lambda r: r.attempts),
    ],
)  # fmt: skip
def test_computed_property_has_a_value_and_a_type(
    expression: str,
    type_name: str | None,
    value: Callable[[Record], Any],
    client: Client,
    data: DataSet,
) -> None:
    response = client.json(
        "PointRecords",
        ("$compute", f"{expression} as result"),
        ("$select", "result,id"),
        ("@a", "7"),
        ("$top", "1000"),
    )
    assert response["@odata.context"] == f"{ROOT}/$metadata#PointRecords(id,result)"
    for each, record in zip(response["value"], data.records, strict=True):
        assert each.pop("result@odata.type", None) == type_name
        assert each == {"id": str(record.id), "result": value(record)}


def test_computed_property_is_returned_unless_only_others_are_selected(client: Client) -> None:
    compute = ("$compute", "attempts add 1 as next")
    for select, is_selected in [(None, True), ("*", True), ("next", True), ("id", False)]:
        query = [compute, ("$top", "1")] + ([("$select", select)] if select else [])
        for metadata in ("none", "minimal", "full"):
            accept = f"application/json;odata.metadata={metadata}"
            (entity,) = client.json("PointRecords", *query, accept=accept)["value"]
            assert ("next" in entity) == is_selected
            assert ("next@odata.type" in entity) == (is_selected and metadata != "none")
    one = client.json("PointRecords", ("$top", "1"))["value"][0]["id"]
    assert "next" in client.json(f"PointRecords({one})", compute)


def test_computed_property_may_use_earlier_ones(client: Client, data: DataSet) -> None:
    response = client.json(
        "PointRecords",
        (
            "$compute",
            "attempts mul 2 as double,double mul $it/double as square,square gt 10 as large",
        ),
        ("$filter", "large and double ne 14"),
        ("$orderby", "square desc,id"),
        ("$select", "id,square"),
        ("$top", "1000"),
    )
    records = [r for r in data.records if 4 * r.attempts**2 > 10 and r.attempts != 7]
    expected = sorted(records, key=lambda r: (-r.attempts, r.id))
    assert [each["id"] for each in response["value"]] == [str(r.id) for r in expected]
    assert [each["square"] for each in response["value"]] == [4 * r.attempts**2 for r in expected]


def test_computed_order_is_paged(client: Client, data: DataSet) -> None:
    pages = client.pages(
        "PointRecords",
        ("$compute", "latitude add attempts as sum,concat(deviceId,status) as both"),
        ("$orderby", "sum desc,both,id desc"),
        ("$select", "id"),
        prefer="maxpagesize=7",
    )
    ids = [each["id"] for page in pages for each in page]
    assert len(set(ids)) == len(data.records)
    sums = {
        str(r.id): None if r.latitude is None else r.latitude + r.attempts for r in data.records
    }
    ordered = [sums[each] for each in ids]
    present = [each for each in ordered if each is not None]
    assert ordered == [*sorted(present, reverse=True), *[None] * (len(ordered) - len(present))]


def test_skip_token_of_another_compute_is_rejected(client: Client) -> None:
    query = [("$orderby", "x"), ("$top", "9")]
    first = client.json(
        "PointRecords", ("$compute", "attempts as x"), *query, prefer="maxpagesize=2"
    )
    token = first["@odata.nextLink"].partition("$skiptoken=")[2]
    with pytest.raises(InvalidError, match="skiptoken"):
        client.get(
            "PointRecords", ("$compute", "id as x"), ("$orderby", "x"), ("$skiptoken", token)
        )


def test_count_filters_by_a_computed_property(client: Client, data: DataSet) -> None:
    count = client.get(
        "PointRecords/$count", ("$compute", "attempts mul 2 as x"), ("$filter", "x ge 4")
    ).body
    assert count == str(sum(each.attempts >= 2 for each in data.records))


@pytest.mark.parametrize("name", ["x", "Ünï", "_", "a" * 128, "as", "select", "k0", "c0", "n"])
def test_alias_may_be_any_identifier(name: str, client: Client) -> None:
    response = client.json(
        "PointRecords", ("$compute", f"attempts add 1 as {name}"), ("$select", name), ("$top", "1"),
        ("$orderby", name), ("$filter", f"{name} eq 1"),
    )  # fmt: skip
    assert response["value"][0][name] == 1


@pytest.mark.parametrize(
    ("compute", "reason"),
    [
        ("", "the word as"), ("attempts", "the word as"), ("attempts add 1", "the word as"),
        ("attempts as", "the word as"), ("as x", "the word as"), ("attempts as 1x", "the word as"),
        ("attempts as x y", "the word as"), ("attempts as 'x'", "the word as"),
        ("attempts as x/y", "the word as"), ("(attempts)as x", "the word as"),
        ("attempts as " + "a" * 129, "the word as"), ("attempts as x,", "the word as"),
        (",attempts as x", "the word as"), ("attempts as x;attempts as y", "operator"),
        ("attempts as status", "already"), ("attempts as logs", "already"),
        ("attempts as x,attempts as x", "already"), ("attempts as id", "already"),
        ("nope as x", "no property nope"), ("x as x", "no property x"),
        ("y as x,attempts as y", "no property y"), ("logs as x", "collection"),
        ("$it as x", "entity"), ("attempts add 'a' as x", "cannot be applied"),
        ("attempts asc as x", "single"),
        ("(attempts as x", "no matching"), ("attempts) as x", "no matching"),
        ("'attempts as x", "is not closed"), ("attempts add as x", "missing"),
        ("@x as y", "itself"),
    ],
)  # fmt: skip
def test_invalid_compute_is_rejected_with_its_reason_and_position(
    compute: str, reason: str, client: Client
) -> None:
    with pytest.raises(InvalidError) as rejection:
        client.get("PointRecords", ("$compute", compute), ("@x", "@x"))
    assert reason in rejection.value.message
    assert "(character " in rejection.value.message


def test_computed_properties_are_scoped_to_their_level(client: Client) -> None:
    inner = ("$expand", "logs($compute=attempt as x;$filter=x ge 0)")
    assert client.get("PointRecords", inner).status == 200
    with pytest.raises(InvalidError, match="no property x"):
        client.get("PointRecords", inner, ("$filter", "x ge 0"))
    with pytest.raises(InvalidError, match="no property x"):
        client.get(
            "PointRecords", ("$compute", "attempts as x"), ("$expand", "logs($filter=x ge 0)")
        )
    outer = ("$expand", "logs($filter=attempt ge $it/x)")
    assert client.get("PointRecords", ("$compute", "attempts as x"), outer).status == 200


def test_size_of_computed_expressions_is_limited(client: Client) -> None:
    doubling = ["attempts as x0"] + [f"x{n} add x{n} as x{n + 1}" for n in range(20)]
    with pytest.raises(InvalidError, match="2000 tokens"):
        client.get("PointRecords", ("$compute", ",".join(doubling)))
    large = ["attempts as x0"] + [f"x{n} add x{n} as x{n + 1}" for n in range(8)]
    assert client.get("PointRecords", ("$compute", ",".join(large))).status == 200
    many = " and ".join(["x8 ge 0"] * 50)
    with pytest.raises(InvalidError, match="2000 tokens"):
        client.get("PointRecords", ("$compute", ",".join(large)), ("$filter", many))
    with pytest.raises(InvalidError, match="32 items"):
        client.get("PointRecords", ("$compute", ",".join(f"1 as x{n}" for n in range(33))))


def test_uncomputable_expression_is_rejected(client: Client) -> None:
    with pytest.raises(InvalidError, match="zero"):
        client.get("PointRecords", ("$compute", "1 div attempts as x"))
    with pytest.raises(NotImplementedByServiceError):
        client.get("PointRecords", ("$compute", "@Core.Messages as x"))


@pytest.mark.parametrize(
    "instant",
    [
        "mindatetime() sub duration'PT0.000001S'",
        "maxdatetime() add duration'PT0.000001S'",
        "date(mindatetime()) sub duration'P1D'",
        "date(maxdatetime()) add duration'P1D'",
    ],
)
def test_instant_outside_years_1_to_9999_is_rejected_only_as_output(
    instant: str, client: Client
) -> None:
    for compute in (instant, f"cast({instant},Edm.String)"):
        with pytest.raises(InvalidError, match="out of range"):
            client.get("PointRecords", ("$compute", f"{compute} as x"))
    assert client.get("PointRecords/$count", ("$filter", f"{instant} ne null")).body == "60"


def test_first_and_last_instant_are_returned(client: Client) -> None:
    query = ("$compute", "mindatetime() as a,maxdatetime() as b,date(mindatetime()) as c")
    (entity,) = client.json("PointRecords", query, ("$select", "a,b,c"), ("$top", "1"))["value"]
    assert entity["a"] == "0001-01-01T00:00:00.000000Z"
    assert entity["b"] == "9999-12-31T23:59:59.999999Z"
    assert entity["c"] == "0001-01-01"
