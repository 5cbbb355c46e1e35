"""An answer is as long as it may be, and no longer.

A page ends before it is too long, and a link leads on; an entity that is too long by itself is
refused. Nothing of that may show where answers are short: long and short pages have the same JSON.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.errors import InvalidError
from chalicelib.settings import Settings
from tests.support.odata.client import Client
from tests.support.odata.dataset import DataSet

MOST = 20_000
# What stands around the entities: the context and the link.
_AROUND = 2_000
_OF_APPLY = "compute(concat(status,deviceId) as s)"

LONG = [
    ("PointRecords", [("$expand", "logs")]),
    ("PointRecords", [("$expand", "logs($expand=point($expand=logs))")]),
    ("PointRecords", [("$expand", "logs($compute=concat(log,log) as twice)"), ("$top", "41")]),
    ("PointRecords", [("$orderby", "latitude desc,status"), ("$skip", "7"), ("$count", "true")]),
    ("IntegrationLogs", [("$expand", "point($expand=logs($top=2;$count=true))")]),
    ("IntegrationLogs", [("$compute", "concat(log,concat(log,log)) as c"), ("$orderby", "c")]),
    ("IntegrationLogs", [("$apply", "groupby((id,log,createdAt,pointId))")]),
    ("IntegrationLogs", [("$apply", "compute(concat(log,log) as c)"), ("$orderby", "c desc")]),
    ("PointRecords", [("$apply", _OF_APPLY), ("$top", "50"), ("$orderby", "s")]),
]  # fmt: skip


@pytest.fixture
def tight(client_of: Callable[[Settings], Client]) -> Client:
    """A client of a service whose answers are short."""
    return client_of(Settings(odata_answer_bytes=MOST, odata_expand_depth=3))


@pytest.fixture
def ample(client_of: Callable[[Settings], Client]) -> Client:
    """A client of a service whose answers can be as long as they like."""
    return client_of(Settings(odata_answer_bytes=100_000_000, odata_expand_depth=3))


@pytest.mark.parametrize(("path", "query"), LONG)
def test_a_page_that_would_be_too_long_ends_and_goes_on_behind_a_link(
    path: str, query: list[tuple[str, str]], tight: Client, ample: Client
) -> None:
    asked = query if "$top" in dict(query) else [*query, ("$top", "1000")]
    answer = ample.json(path, *asked)
    pages = tight.pages(path, *asked)
    assert [each for page in pages for each in page] == answer["value"]
    assert "@odata.nextLink" not in answer
    assert len(pages) > 1
    assert max(len(json.dumps(page).encode()) for page in pages) < MOST + _AROUND
    first = tight.json(path, *asked)
    assert first.get("@odata.count") == answer.get("@odata.count")


def test_a_page_is_as_long_as_it_may_be(ample: Client, client_of: Any) -> None:
    whole = ample.json("PointRecords", ("$top", "3"))["value"]
    written = len(json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()) - 1
    for most, entities in ((written, 3), (written - 1, 2)):
        client = client_of(Settings(odata_answer_bytes=most))
        assert client.json("PointRecords", ("$top", "3"))["value"] == whole[:entities]


@pytest.mark.parametrize("page", [2, 100])
@pytest.mark.parametrize(
    "expand",
    [
        "logs",
        "logs($top=3;$orderby=latencyMs desc;$count=true)",
        "logs($compute=concat(log,log) as c)",
        "logs($expand=point($compute=concat(deviceId,deviceId) as c;$expand=logs($top=1)))",
        "logs($filter=status eq $it/status;$select=id)",
        "logs($filter=false)",
        "logs/$ref",
        "logs/$count",
    ],
)
def test_an_expansion_that_may_be_long_is_written_as_any_other(
    page: int, expand: str, client_of: Callable[[Settings], Client]
) -> None:
    asked = [("$expand", expand), ("$top", "30")]
    watched, free = (
        client_of(
            Settings(odata_answer_bytes=most, odata_expand_page=page, odata_expand_depth=3)
        ).json("PointRecords", *asked)
        for most in (100_000, 100_000_000)
    )
    assert watched == free


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
def test_an_entity_that_is_too_long_by_itself_is_refused(
    query: list[tuple[str, str]], client_of: Callable[[Settings], Client], data: DataSet
) -> None:
    asked = [*query, ("@x", f"'{'x' * 5_000}'")]
    client = client_of(Settings(odata_answer_bytes=1_500, odata_expand_depth=3))
    record = next(each for each in data.records if len(each.logs) == 4 and each.deviceId)
    only = ("$filter", f"id eq {record.id}")
    with pytest.raises(InvalidError, match=r"single entity would take more than 1500 bytes"):
        client.get("PointRecords", only, *asked)
    if "$apply" not in dict(query):
        with pytest.raises(InvalidError, match=r"\(ODATA_ANSWER_BYTES\)"):
            client.get(f"PointRecords({record.id})", *asked)
    assert client.json("PointRecords", only, *asked, ("$top", "0"))["value"] == []
    assert client.get(f"PointRecords({record.id})/status/$value").body == record.status
