"""The buffer on moto, whose errors have another media type than those of DynamoDB."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from chalicelib.buffer import Buffer
from chalicelib.buffered_items import BufferedItems
from chalicelib.delete_pace import DeletePace
from chalicelib.dynamodb import client
from chalicelib.dynamodb.boto_client import Boto3Client
from chalicelib.dynamodb.lean_client import LeanClient
from chalicelib.point_record import PointRecord, parse

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def punch(employee: int) -> PointRecord:
    body = {"employeeId": employee, "employerId": 2, "includedAt": "2026-11-22T08:00:00-03:00"}
    return parse(body, NOW, 60)


@pytest.fixture(params=["server", "in the process"])
def connected(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The client for a server of moto, and the one for moto inside the process."""
    if request.param == "server":
        request.getfixturevalue("aws")
        chosen = client.connect(os.environ)
        assert isinstance(chosen, LeanClient)
        yield chosen
        return
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        with mock_aws():
            chosen = client.connect(os.environ)
            assert isinstance(chosen, Boto3Client)
            yield chosen


def test_buffer_stores_each_punch_once(connected: Any) -> None:
    boto3.client("dynamodb").create_table(
        TableName="t",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    buffer = Buffer(connected, "t", sleep=lambda _: None)
    later = replace(punch(1), created_at=NOW + timedelta(hours=1))
    assert buffer.put(punch(1)) == (punch(1), True)
    assert buffer.put(later) == (punch(1), False)
    assert buffer.put_atomically([later, punch(2)]) == [(punch(1), False), (punch(2), True)]
    ids = {str(punch(each).id) for each in (1, 2)}
    items = BufferedItems(connected, "t")
    (page,) = items.pages(0, 1, 10)
    assert {item["id"]["S"] for item in page} == items.existing_ids(ids) == ids
    assert json.loads(page[0]["record"]["S"])["employerId"] == 2
    assert items.delete(sorted(ids), DeletePace()) == 2
    assert buffer.get(str(punch(1).id)) is None
