"""The size limit of responses: a page fills it and never exceeds it.

A page that would be too large ends early with a nextLink. A single entity that is too large is
rejected. The limit does not change the JSON of pages that fit.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.errors import InvalidError
from chalicelib.settings import Settings
from tests.support.odata.client import Client
from tests.support.odata.dataset import DataSet

MAX_BYTES = 20_000
# Bytes of the context URL and the nextLink, which the limit does not include.
_ENVELOPE_BYTES = 2_000
_APPLY = "compute(concat(status,deviceId) as s)"

LONG = [
    ("PointRecords", [("$expand", "logs")]),
    ("PointRecords", [("$expand", "logs($expand=point($expand=logs))")]),
    ("PointRecords", [("$expand", "logs($compute=concat(log,log) as double)"), ("$top", "41")]),
    ("PointRecords", [("$orderby", "latitude desc,status"), ("$skip", "7"), ("$count", "true")]),
    ("IntegrationLogs", [("$expand", "point($expand=logs($top=2;$count=true))")]),
    ("IntegrationLogs", [("$compute", "concat(log,concat(log,log)) as c"), ("$orderby", "c")]),
    ("IntegrationLogs", [("$apply", "groupby((number,log,createdAt,pointId))")]),
    ("IntegrationLogs", [("$apply", "compute(concat(log,log) as c)"), ("$orderby", "c desc")]),
    ("PointRecords", [("$apply", _APPLY), ("$top", "50"), ("$orderby", "s")]),
]  # fmt: skip


@pytest.fixture
def tight(client_of: Callable[[Settings], Client]) -> Client:
    """A client of a service with a small size limit."""
    return client_of(Settings(odata_answer_bytes=MAX_BYTES, odata_expand_depth=3))


@pytest.fixture
def ample(client_of: Callable[[Settings], Client]) -> Client:
    """A client of a service with a size limit that no response reaches."""
    return client_of(Settings(odata_answer_bytes=100_000_000, odata_expand_depth=3))


@pytest.mark.parametrize(("path", "query"), LONG)
def test_page_over_the_limit_ends_early_with_a_next_link(
    path: str, query: list[tuple[str, str]], tight: Client, ample: Client
) -> None:
    options = query if "$top" in dict(query) else [*query, ("$top", "1000")]
    response = ample.json(path, *options)
    pages = tight.pages(path, *options)
    assert [each for page in pages for each in page] == response["value"]
    assert "@odata.nextLink" not in response
    assert len(pages) > 1
    assert max(len(json.dumps(page).encode()) for page in pages) < MAX_BYTES + _ENVELOPE_BYTES
    first = tight.json(path, *options)
    assert first.get("@odata.count") == response.get("@odata.count")


def test_page_fills_the_limit(ample: Client, client_of: Any) -> None:
    expected = ample.json("PointRecords", ("$top", "3"))["value"]
    size = len(json.dumps(expected, separators=(",", ":"), ensure_ascii=False).encode()) - 1
    for max_bytes, entities in ((size, 3), (size - 1, 2)):
        client = client_of(Settings(odata_answer_bytes=max_bytes))
        assert client.json("PointRecords", ("$top", "3"))["value"] == expected[:entities]


@pytest.mark.parametrize("page", [2, 100])
@pytest.mark.parametrize(
    "expand",
    [
        "logs",
        "logs($top=3;$orderby=latencyMs desc;$count=true)",
        "logs($compute=concat(log,log) as c)",
        "logs($expand=point($compute=concat(deviceId,deviceId) as c;$expand=logs($top=1)))",
        "logs($filter=status eq $it/status;$select=pointId,number)",
        "logs($filter=false)",
        "logs/$ref",
        "logs/$count",
    ],
)
def test_expansion_near_the_limit_has_the_same_json(
    page: int, expand: str, client_of: Callable[[Settings], Client]
) -> None:
    options = [("$expand", expand), ("$top", "30")]
    limited, unlimited = (
        client_of(
            Settings(odata_answer_bytes=max_bytes, odata_expand_page=page, odata_expand_depth=3)
        ).json("PointRecords", *options)
        for max_bytes in (100_000, 100_000_000)
    )
    assert limited == unlimited


@pytest.mark.parametrize(
    "query",
    [
        [("$expand", "logs")],
        [("$expand", "logs($filter=$it/id ne null)")],
        [("$expand", "logs($expand=point($expand=logs))")],
        [("$compute", "concat(deviceId,@x) as c")],
        [("$apply", "compute(concat(status,@x) as c)")],
    ],
)
def test_single_entity_over_the_limit_is_rejected(
    query: list[tuple[str, str]], client_of: Callable[[Settings], Client], data: DataSet
) -> None:
    options = [*query, ("@x", f"'{'x' * 5_000}'")]
    client = client_of(Settings(odata_answer_bytes=1_500, odata_expand_depth=3))
    record = max(
        (each for each in data.records if each.deviceId),
        key=lambda each: sum(len(log.log or "") for log in each.logs),
    )
    only = ("$filter", f"id eq {record.id}")
    with pytest.raises(InvalidError, match=r"single entity would take more than 1500 bytes"):
        client.get("PointRecords", only, *options)
    if "$apply" not in dict(query):
        with pytest.raises(InvalidError, match=r"\(ODATA_ANSWER_BYTES\)"):
            client.get(f"PointRecords({record.id})", *options)
    assert client.json("PointRecords", only, *options, ("$top", "0"))["value"] == []
    assert client.get(f"PointRecords({record.id})/status/$value").body == record.status
