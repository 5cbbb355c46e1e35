"""boto3's client with the protocols that a botocore of another version may use for DynamoDB."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader

from chalicelib.dynamodb.boto_client import Boto3Client
from chalicelib.dynamodb.dynamodb_error import DynamoDBError
from tests.support.dynamodb_clients import by_boto3, variables
from tests.support.raw_dynamodb import RawDynamoDB, response

JSON, CBOR = "application/x-amz-json-1.0", "application/cbor"
COUNT = {CBOR: b"\xa1\x65Count\x07", JSON: b'{"Count": 7}'}
# Bodies of the right media type that are no object, for either protocol.
GARBAGE = (b"[1, 2]", b"\xff" * 9, b"\xbf\x61", b"\x9b" + b"\xff" * 8, b"\x81" * 2_000, b"<html>")


def scan(client: Boto3Client) -> int:
    count: int = client.scan(TableName="t")["Count"]
    return count


@pytest.fixture(scope="module")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Boto3Client]:
    """Return a function that builds the client from a model of DynamoDB with another protocol."""

    def connect(url: str, protocol: str) -> Boto3Client:
        model: Any = Loader().load_service_model("dynamodb", "service-2")
        models = tmp_path_factory.mktemp(protocol)
        directory: Path = models / "dynamodb" / "2012-08-10"
        directory.mkdir(parents=True)
        metadata = {**model["metadata"], "protocols": [protocol], "protocol": protocol}
        (directory / "service-2.json").write_text(json.dumps({**model, "metadata": metadata}))
        return by_boto3({**variables(url), "AWS_DATA_PATH": str(models)})

    return connect


def test_response_has_the_media_type_of_the_protocol(
    connect: Callable[[str, str], Boto3Client],
) -> None:
    html = response(b"<html>Sign in</html>", Content_Type="text/html", x_amz_crc32="")
    with RawDynamoDB().running() as endpoint:
        for protocol, accepted, rejected in (
            ("json", JSON, CBOR),
            ("smithy-rpc-v2-cbor", CBOR, JSON),
        ):
            client = connect(endpoint.url, protocol)
            for sent in (accepted, accepted.upper(), f"{accepted}; charset=utf-8"):
                endpoint.script = [response(COUNT[accepted], Content_Type=sent)]
                assert scan(client) == 7
            for body, sent in ((COUNT[accepted], rejected), (COUNT[accepted], "")):
                endpoint.script = [response(body, Content_Type=sent)]
                with pytest.raises(DynamoDBError, match="not from DynamoDB"):
                    scan(client)
            garbage = [response(each, Content_Type=accepted) for each in GARBAGE]
            for content in (html, *garbage):
                endpoint.script = [content] * 3
                with pytest.raises(DynamoDBError):
                    scan(client)
            endpoint.script.clear()
            assert endpoint.requests[-1].headers["content-type"] == accepted


def test_later_version_of_the_json_protocol_is_accepted() -> None:
    with RawDynamoDB(
        response({"Count": 7}, Content_Type="application/x-amz-json-1.1")
    ).running() as (endpoint):
        assert scan(by_boto3(variables(endpoint.url))) == 7


def test_environments_from_one_snapshot_retry_at_different_times() -> None:
    """SnapStart copies the state of ``random``, from which botocore takes its jitter."""
    drawn = set()
    for _ in range(2):
        random.seed(1)
        by_boto3(variables("http://127.0.0.1:9"))
        drawn.add(random.random())
    assert len(drawn) == 2


def test_unknown_protocol_is_never_an_acknowledgment(
    connect: Callable[[str, str], Boto3Client],
) -> None:
    with RawDynamoDB(response({"Count": 7})).running() as endpoint:
        client = connect(endpoint.url, "rest-json")
        with pytest.raises(DynamoDBError, match="protocol rest-json"):
            scan(client)
