"""The lean client beside boto3's: the same requests, results and errors on one endpoint."""

import hashlib
from calendar import timegm
from collections.abc import Callable, Iterator
from functools import cache
from time import strptime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.dynamodb.boto_client import Boto3Client
from chalicelib.dynamodb.dynamodb_error import DynamoDBError
from tests.support.dynamodb_clients import by_boto3, lean, variables
from tests.support.raw_dynamodb import RawDynamoDB, Request, error, response

REGIONS = ("us-east-1", "sa-east-1")
TOKENS = ("", "FwoGZXIvYXdzE//////////wEaD+token==")


@pytest.fixture(scope="module")
def recorder() -> Iterator[RawDynamoDB]:
    with RawDynamoDB().running() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def boto3_of(recorder: RawDynamoDB) -> Callable[[str, str], Boto3Client]:
    """Return boto3's client for a region and a token; each is built once."""
    return cache(lambda region, token: by_boto3(variables(recorder.url, region, token)))


def canonical(request: Request) -> str:
    """Return the canonical request, as AWS rebuilds it from a request that it receives.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    method, path, _ = request.line.split(" ")
    names = request.headers["authorization"].split("SignedHeaders=")[1].split(",")[0]
    lines = [f"{name}:{' '.join(request.headers[name].split())}" for name in names.split(";")]
    digest = hashlib.sha256(request.body).hexdigest()
    return "\n".join([method, path, "", *lines, "", names, digest])


TEXT = st.text(max_size=60)
ITEM = st.fixed_dictionaries(
    {"id": st.fixed_dictionaries({"S": TEXT}), "record": st.fixed_dictionaries({"S": TEXT})}
)
PUTS = st.builds(
    lambda table, item: (
        "put_item",
        {
            "TableName": table,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        },
    ),
    TEXT,
    ITEM,
)
GETS = st.builds(
    lambda table, record_id: (
        "get_item",
        {"TableName": table, "Key": {"id": {"S": record_id}}, "ConsistentRead": True},
    ),
    TEXT,
    TEXT,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=st.one_of(PUTS, GETS), region=st.sampled_from(REGIONS), token=st.sampled_from(TOKENS))
def test_signed_request_equals_that_of_boto3(
    recorder: RawDynamoDB,
    boto3_of: Callable[[str, str], Boto3Client],
    call: tuple[str, dict[str, Any]],
    region: str,
    token: str,
) -> None:
    method, arguments = call
    recorder.requests.clear()
    getattr(boto3_of(region, token), method)(**arguments)
    (theirs,) = recorder.requests
    at = timegm(strptime(theirs.headers["x-amz-date"], "%Y%m%dT%H%M%SZ"))
    client = lean(variables(recorder.url, region, token), clock=lambda: at)
    getattr(client, method)(**arguments)
    ours = recorder.requests[1]
    assert canonical(ours) == canonical(theirs)
    assert ours.headers["authorization"] == theirs.headers["authorization"]
    assert ours.body == theirs.body
    # boto3 also sends ids of the call and of the attempt, for AWS's statistics, and its version.
    sent_by_boto3 = {name for name in theirs.headers if not name.startswith("amz-sdk-")}
    assert set(ours.headers) == sent_by_boto3
    for name in sent_by_boto3 - {"user-agent"}:
        assert ours.headers[name] == theirs.headers[name]


STORED = {"id": {"S": "x"}, "record": {"S": "\u00e9\u2028\U0001f600"}}
CONDITION = {
    "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
    "message": "The conditional request failed",
    "Item": STORED,
}


@pytest.mark.parametrize(
    ("method", "content"),
    [
        ("put_item", response({})),
        ("get_item", response({})),
        ("get_item", response({"Item": STORED})),
        ("put_item", response(CONDITION, 400)),
        ("put_item", error("ResourceNotFoundException")),
        ("put_item", error("ValidationException")),
        ("put_item", error("AccessDeniedException", x_amzn_ErrorType="AccessDeniedException")),
        ("put_item", error("ItemCollectionSizeLimitExceededException")),
        ("put_item", error("TransactionConflictException")),
        ("put_item", error("UnrecognizedClientException")),
        ("put_item", response({"Message": "Too long"}, 413)),
        ("put_item", response(b"no JSON", 400)),
    ],
)
def test_result_equals_that_of_boto3(method: str, content: bytes) -> None:
    results: list[Any] = []
    arguments = {"Item": STORED} if method == "put_item" else {"Key": {"id": STORED["id"]}}
    for connect in (by_boto3, lean):
        with RawDynamoDB(content).running() as endpoint:
            client = connect(variables(endpoint.url))
            try:
                result = getattr(client, method)(TableName="t", **arguments)
            except DynamoDBError as error:
                results.append((error.code, error.fields.get("Item"), len(endpoint.requests)))
            else:
                result.pop("ResponseMetadata", None)
                results.append((result, len(endpoint.requests)))
    assert results[0] == results[1]


def test_put_and_get_work_on_an_endpoint(dynamodb_url: str, dynamodb: Any, table: str) -> None:
    client = lean(variables(dynamodb_url))
    put = {
        "TableName": table,
        "Item": STORED,
        "ConditionExpression": "attribute_not_exists(id)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    key = {"TableName": table, "Key": {"id": {"S": "x"}}, "ConsistentRead": True}
    assert client.get_item(**key) == {}
    assert client.put_item(**put) == {}
    assert client.get_item(**key) == {"Item": STORED}
    assert dynamodb.get_item(**key)["Item"] == STORED
    with pytest.raises(DynamoDBError) as caught:
        client.put_item(**{**put, "Item": {**STORED, "record": {"S": "other"}}})
    assert caught.value.code == "ConditionalCheckFailedException"
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        dynamodb.put_item(**put)


def test_other_operations_are_boto3s(dynamodb_url: str, table: str) -> None:
    environ = variables(dynamodb_url)
    built: list[Boto3Client] = []

    def build() -> Boto3Client:
        built.append(by_boto3(environ))
        return built[-1]

    client = lean(environ, build)
    client.put_item(TableName=table, Item=STORED)
    assert not built
    assert client.scan(TableName=table)["Items"] == [STORED]
    assert client.scan(TableName=table)["Count"] == 1
    with pytest.raises(DynamoDBError) as caught:
        client.scan(TableName="nowhere")
    assert caught.value.code == "ResourceNotFoundException"
    assert len(built) == 1
    with pytest.raises(AttributeError):
        client.no_such_operation  # noqa: B018
    with pytest.raises(AttributeError):
        client._private  # noqa: B018


def test_boto3_failure_without_a_response_is_an_error_without_a_code() -> None:
    client = by_boto3(variables("http://127.0.0.1:9"))
    with pytest.raises(DynamoDBError) as caught:
        client.scan(TableName="t")
    assert caught.value.code == ""


def test_lean_client_requests_json_whatever_protocol_botocore_uses() -> None:
    cbor = response(b"\xa0", Content_Type="application/cbor")
    with RawDynamoDB(cbor).running() as endpoint:
        client = lean(variables(endpoint.url))
        with pytest.raises(DynamoDBError, match="not from DynamoDB"):
            client.put_item(TableName="t", Item=STORED)
        assert client.put_item(TableName="t", Item=STORED) == {}
    types = [each.headers["content-type"] for each in endpoint.requests]
    assert types == ["application/x-amz-json-1.0"] * 2
