"""The other query options apply to the result of ``$apply``, and page it."""

from collections import Counter

import pytest

from chalicelib.errors import InvalidError
from tests.support.odata.client import Client, row, rows
from tests.support.odata.dataset import DataSet


def test_other_options_apply_to_the_result_of_apply(client: Client, data: DataSet) -> None:
    groups = Counter(each.employeeId for each in data.records)
    apply = "groupby((employeeId),aggregate($count as n))"
    largest = sorted(groups.items(), key=lambda each: (-each[1], each[0]))
    options = [("$orderby", "n desc"), ("$top", "2"), ("$skip", "1"), ("$count", "true")]
    response = client.json("PointRecords", ("$apply", apply), *options)
    assert [(each["employeeId"], each["n"]) for each in response["value"]] == largest[1:3]
    assert response["@odata.count"] == len(groups)
    assert "@odata.nextLink" not in response
    count = client.get("PointRecords/$count", ("apply", apply), ("$filter", "n gt 8"))
    assert count.body == str(sum(n > 8 for n in groups.values()))
    only = rows(client, "PointRecords", apply, ("$select", "n"), ("$orderby", "n mul -1"))
    assert [each["n"] for each in only] == [n for _, n in largest]


def test_compute_follows_apply_and_precedes_the_other_options(client: Client) -> None:
    apply = ("$apply", "groupby((employerId),aggregate($count as n))")
    groups = rows(client, "PointRecords", apply[1])
    query = [("$compute", "n mul 2 as m,m add 1 as k"), ("$filter", "k gt 20"), ("$orderby", "k")]
    expected = sorted(2 * each["n"] + 1 for each in groups if each["n"] >= 10)
    assert [each["k"] for each in rows(client, "PointRecords", apply[1], *query)] == expected
    assert client.get("PointRecords/$count", apply, *query).body == str(len(expected))
    entities = rows(
        client, "PointRecords", "filter(attempts gt 1)", ("$compute", "attempts add 1 as next")
    )
    assert entities
    assert all(each["next"] == each["attempts"] + 1 for each in entities)
    for compute, reason in [
        ("status as s", r"no property status \(character 1 of \$compute"),
        ("n add 1 as employerId", "already exists"),
        ("n", "alias is missing"),
    ]:
        with pytest.raises(InvalidError, match=reason):
            client.get("PointRecords", apply, ("$compute", compute))


@pytest.mark.parametrize(
    "query",
    [
        [("$apply", "groupby((deviceId,latitude),aggregate($count as n))")],
        [("$apply", "groupby((deviceId))"), ("$orderby", "deviceId desc")],
        [("$apply", "groupby((deviceId,status),aggregate(latitude with max as m))"),
         ("$orderby", "m desc,status")],
        # Strings that could be too long for a link: paged by offset.
        [("$apply", "compute(concat(status,deviceId) as t)/groupby((t))")],
        # Decimals too.
        [("$apply", "compute(cast(1e300 mul latitude,Edm.Decimal) as x)/groupby((x,id))"),
         ("$orderby", "x desc")],
        [("$apply", "filter(attempts ge 0)"), ("$orderby", "latitude")],
        [("$apply", "groupby((includedAt,id))/orderby(includedAt desc)")],
        [("$apply", "concat(aggregate($count as n),groupby((deviceId)),top(3))")],
        [("$apply", "concat(groupby((deviceId)),groupby((status,latitude)))"),
         ("$orderby", "latitude desc,deviceId")],
    ],
    ids=str,
)  # fmt: skip
def test_pages_contain_each_row_once_in_order(query: list[tuple[str, str]], client: Client) -> None:
    whole = client.json("PointRecords", *query, ("$format", "json;metadata=none"))["value"]
    options = [*query, ("$format", "json;metadata=none"), ("$count", "true")]
    response = client.json("PointRecords", *options, prefer="maxpagesize=4")
    actual, link = response["value"], response.get("@odata.nextLink")
    while link:
        assert response["@odata.count"] == len(whole)
        response = client.follow(link, prefer="maxpagesize=4")
        assert 1 <= len(response["value"]) <= 4
        actual, link = actual + response["value"], response.get("@odata.nextLink")
    assert actual == whole
    assert len(actual) > 8


def test_skip_token_of_another_apply_is_rejected(client: Client) -> None:
    response = client.json(
        "PointRecords", ("$apply", "groupby((deviceId))"), prefer="maxpagesize=4"
    )
    link = response["@odata.nextLink"]
    with pytest.raises(InvalidError, match="skiptoken"):
        client.follow(link.replace("deviceId", "latitude"))


def test_search_works_as_transformation_and_as_option(client: Client, data: DataSet) -> None:
    expected = sum("timeout" in (each.log or "") for each in data.logs)
    actual = row(client, "IntegrationLogs", "search(TIMEOUT)/aggregate($count as n)")
    assert actual == {"n": expected}
    query = [("$apply", "filter(attempt ge 0)"), ("$search", "timeout"), ("$filter", "number gt 0")]
    assert client.get("IntegrationLogs/$count", *query).body == str(expected)
    assert len(rows(client, "IntegrationLogs", "identity", ("$search", "timeout"))) == expected
