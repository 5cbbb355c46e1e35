"""``Prefer: omit-values`` omits properties that are null: Protocol 4.01, section 8.2.8.6."""

import json
from typing import Any

import pytest

from tests.support.odata.client import Client

NULLABLE = "deviceId,latitude,longitude,accuracyMeters,nextAttemptAt,integratedAt,updatedAt"
OMIT = {"prefer": "omit-values=nulls"}


def without_nulls(value: Any) -> Any:
    """Return JSON without the members that are null, and without their type annotations."""
    if isinstance(value, list):
        return [without_nulls(each) for each in value]
    if not isinstance(value, dict):
        return value
    nulls = {
        name for name, each in value.items() if each is None and not name.startswith("@odata.id")
    }
    annotations = {f"{name}@odata.type" for name in nulls}
    return {
        name: without_nulls(each)
        for name, each in value.items()
        if name not in nulls | annotations | {"@odata.etag"}
    }


@pytest.mark.parametrize("metadata", ["minimal", "full", "none"])
@pytest.mark.parametrize(
    "query",
    [
        [],
        [("$select", NULLABLE)],
        [("$select", "deviceId")],
        [("$select", "deviceId,n"), ("$compute", "latitude add 1 as n")],
        [("$select", "n,m"), ("$compute", "latitude add 1 as n,length(deviceId) as m")],
        [("$select", "deviceId"), ("$expand", "logs($select=httpStatus,latencyMs)")],
        [("$select", "id"), ("$expand", "logs($count=true;$top=1;$expand=point)")],
        [("$apply", "groupby((deviceId,latitude))")],
        [("$apply", "groupby((deviceId),aggregate($count as n,latitude with max as most))")],
        [("$apply", "aggregate(latitude with max as most,accuracyMeters with min as least)")],
        [("$apply", "filter(false)/aggregate(latitude with max as most)")],
        [("$apply", "compute(latitude add 1 as n)"), ("$top", "30")],
    ],
)
def test_response_differs_only_in_its_nulls(
    client: Client, metadata: str, query: list[tuple[str, str]]
) -> None:
    query = [*query, ("$format", f"application/json;odata.metadata={metadata}"), ("$top", "40")]
    query = list(dict(query).items())
    whole = client.json("PointRecords", *query)
    answer = client.get("PointRecords", *query, **OMIT)
    assert answer.headers["Preference-Applied"] == "omit-values=nulls"
    assert without_nulls(json.loads(answer.body)) == without_nulls(whole)
    assert without_nulls(json.loads(answer.body)["value"]) == [
        {name: each for name, each in row.items() if name != "@odata.etag"}
        for row in json.loads(answer.body)["value"]
    ]


def test_grouped_navigation_omits_nulls(client: Client) -> None:
    query = ("$apply", "groupby((point/deviceId,httpStatus))")
    whole, answer = (
        client.json("IntegrationLogs", query),
        client.json("IntegrationLogs", query, **OMIT),
    )
    assert answer["value"] == without_nulls(whole["value"])
    assert {"@odata.id": None, "point": {}} in answer["value"]


def test_entity_omits_nulls_and_has_another_etag(client: Client) -> None:
    [record] = client.json("PointRecords", ("$filter", "deviceId eq null"), ("$top", "1"))["value"]
    path = f"PointRecords({record['id']})"
    whole, answer = client.get(path), client.get(path, **OMIT)
    assert "deviceId" not in json.loads(answer.body)
    assert without_nulls(json.loads(whole.body)) == without_nulls(json.loads(answer.body))
    assert whole.headers["ETag"] != answer.headers["ETag"]
    assert client.get(f"{path}/deviceId", **OMIT).status == 204
    only = client.get(
        path, ("$select", "deviceId"), ("$format", "json;odata.metadata=none"), **OMIT
    )
    assert only.body == "{}"


def test_preference_is_spelled_and_combined_as_preferences_are(client: Client) -> None:
    for prefer in (
        'omit-values="nulls"', "OData.Omit-Values=NULLS", "omit-values=nulls,omit-values=defaults",
        "respond-async, omit-values=nulls;x=1",
    ):  # fmt: skip
        answer = client.get("PointRecords", ("$top", "1"), prefer=prefer)
        assert answer.headers["Preference-Applied"] == "omit-values=nulls"
    defaults = client.get("PointRecords", ("$top", "1"), prefer="omit-values=defaults")
    assert defaults.headers["Preference-Applied"] == "omit-values=defaults"
    assert defaults.body == answer.body
    answer = client.get("PointRecords", prefer="maxpagesize=2, omit-values=nulls")
    assert answer.headers["Preference-Applied"] == "maxpagesize=2, omit-values=nulls"
    for prefer in ("omit-values", "omit-values=none", "omit-values=nullsx"):
        assert "Preference-Applied" not in client.get("PointRecords", prefer=prefer).headers
