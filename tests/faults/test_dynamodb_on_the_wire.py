"""DynamoDB, or what responds in its place, breaks HTTP: an acknowledged punch is a stored one.

The answers come from a socket, because no server library sends them. Those that DynamoDB documents
are in ``test_dynamodb_faults``.
"""

import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest

from chalicelib import container
from tests.support.raw_dynamodb import (
    RawDynamoDB,
    Request,
    Respond,
    drips,
    error,
    hangs,
    resets,
    response,
    sends,
)
from tests.support.service import PUNCH, Service, error_of, punch

PORTAL = response(b"<html>Sign in</html>", Content_Type="text/html", x_amz_crc32="")
FAULTS: dict[str, Respond | bytes] = {
    "reset": resets,
    "end": hangs(0),
    "end in the head": sends(response({})[:40], keep=False),
    "end in the body": sends(response({})[:-1], keep=False),
    "garbage": b"\x16\x03\x01\x00\x05garbage\r\n\r\n",
    "captive portal": PORTAL,
    "CRC32 of another body": response({}, x_amz_crc32="123"),
    "no length": sends(response({}, Content_Length=""), keep=False),
    "two lengths": response({}, content_length="3"),
    "too large": response(b" " * 5_000_000),
    "JSON that is cut": response(b'{"Item'),
    "JSON null": response(b"null"),
    "redirect": response({}, 307, Location="http://127.0.0.1:9/"),
    "no content": response({}, 204),
    "throttled": error("ThrottlingException"),
    "access denied": error("AccessDeniedException"),
    "wrong signature": error("InvalidSignatureException", Date=formatdate(usegmt=True)),
    "clock that jumps": error("InvalidSignatureException", Date=formatdate(0, usegmt=True)),
}


@pytest.fixture
def endpoint() -> Iterator[RawDynamoDB]:
    with RawDynamoDB().running() as endpoint:
        yield endpoint


@pytest.fixture
def variables(variables: dict[str, str], endpoint: RawDynamoDB) -> dict[str, str]:
    """The environment of a service whose DynamoDB is the endpoint."""
    return variables | {"AWS_ENDPOINT_URL_DYNAMODB": endpoint.url}


def puts(endpoint: RawDynamoDB) -> list[Request]:
    return [each for each in endpoint.requests if each.headers["x-amz-target"].endswith("PutItem")]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_punch_without_a_valid_response_is_not_acknowledged(
    service: Service, endpoint: RawDynamoDB, fault: Respond | bytes
) -> None:
    assert service.post(punch(1)).status_code == 201  # leaves a kept connection
    endpoint.script = [fault] * 3
    refused = service.post(PUNCH)
    assert refused.status_code == 503
    assert error_of(refused)["code"] == "Unavailable"
    assert refused.headers["Retry-After"]
    assert 1 <= len(puts(endpoint)) - 1 <= 3
    endpoint.script.clear()
    assert service.post(PUNCH).status_code == 201


@pytest.mark.parametrize("fault", [hangs(3), drips(response({}), 0.05)], ids=["hang", "drip"])
def test_silence_ends_in_time(service: Service, endpoint: RawDynamoDB, fault: Respond) -> None:
    container.buffer()._client._pool._response_timeout_s = 0.2  # instead of 5 s
    endpoint.script = [fault] * 3
    started = time.monotonic()
    assert service.post(PUNCH).status_code == 503
    assert time.monotonic() - started < 3 * 0.2 + 2
    endpoint.script.clear()
    assert service.post(PUNCH).status_code == 201


def test_connections_that_died_while_idle_cost_no_punch(
    service: Service, endpoint: RawDynamoDB
) -> None:
    body = [punch(each) for each in range(1, 9)]
    for _ in range(3):
        assert {each["status"] for each in service.post(body).json_body} == {201}
        endpoint.close_connections()


def test_burst_of_faults_acknowledges_only_what_was_stored(
    service: Service, endpoint: RawDynamoDB
) -> None:
    endpoint.script = [step for fault in FAULTS.values() for step in (None, fault, None)] * 3
    items = service.post([punch(each) for each in range(1, 101)]).json_body
    acknowledged = {each["record"]["id"] for each in items if each["status"] == 201}
    assert {each["status"] for each in items} == {201, 503}
    assert acknowledged <= {each.fields["Item"]["id"]["S"] for each in endpoint.accepted}
