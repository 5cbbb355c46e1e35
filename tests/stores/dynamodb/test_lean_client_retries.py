"""Retries of the lean client: which answers are sent again, how often, and after which delay."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from zlib import crc32

import pytest

from chalicelib.buffer import Buffer
from chalicelib.dynamodb.dynamodb_error import DynamoDBError
from chalicelib.dynamodb.lean_client import LeanClient
from chalicelib.errors import UnavailableError
from chalicelib.point_record import parse
from tests.support.dynamodb_clients import lean, variables
from tests.support.raw_dynamodb import RawDynamoDB, Respond, error, hangs, resets, response, sends

THROTTLED = error("ProvisionedThroughputExceededException")
BROKEN = error("InternalServerError", 500)
HTML = b"<html>Sign in to this network</html>"
PUT: dict[str, Any] = {"TableName": "t", "Item": {"id": {"S": "x"}}}


class Sleeps(list[float]):
    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def client_of(endpoint: RawDynamoDB, **options: Any) -> LeanClient:
    return lean(variables(endpoint.url), **{"sleep": Sleeps(), **options})


def html(status: int) -> bytes:
    return response(HTML, status, Content_Type="text/html", x_amz_crc32="")


TRANSIENT: dict[str, list[Respond | bytes]] = {
    "throttled": [THROTTLED],
    "throttled and broken": [THROTTLED, BROKEN],
    "other throttling": [error("ThrottlingException"), error("RequestLimitExceeded")],
    "statuses": [response({}, 503), html(502)],
    "late at the server": [error("RequestTimeoutException")],
    "written in another region": [error("ReplicatedWriteConflictException")],
    "wrong CRC32": [response({}, x_amz_crc32="1")],
    "CRC32 of another body": [response({"Item": {}}, x_amz_crc32=f"{crc32(b'{}')}")],
    "connection ended": [resets, hangs(0)],
    "truncated": [sends(response({})[:-1], keep=False)],
}


@pytest.mark.parametrize("script", TRANSIENT.values(), ids=TRANSIENT)
def test_transient_failure_is_sent_again(script: list[Respond | bytes]) -> None:
    with RawDynamoDB(*script).running() as endpoint:
        sleeps = Sleeps()
        assert client_of(endpoint, sleep=sleeps).put_item(**PUT) == {}
        assert len(endpoint.requests) == len(script) + 1
        assert len({request.body for request in endpoint.requests}) == 1
        assert len(sleeps) == len(script)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (THROTTLED, "ProvisionedThroughputExceededException"),
        (BROKEN, "InternalServerError"),
        (html(503), ""),
        (response({}, x_amz_crc32="1"), ""),
        (resets, ""),
    ],
    ids=["throttled", "broken", "proxy", "wrong CRC32", "reset"],
)
def test_call_fails_after_three_attempts(answer: Respond | bytes, code: str) -> None:
    with RawDynamoDB(*[answer] * 3).running() as endpoint:
        with pytest.raises(DynamoDBError) as caught:
            client_of(endpoint).put_item(**PUT)
        assert caught.value.code == code
        assert len(endpoint.requests) == 3


PERMANENT: dict[str, tuple[bytes, str]] = {
    **{
        code: (error(code), code)
        for code in (
            "AccessDeniedException",
            "ConditionalCheckFailedException",
            "InvalidSignatureException",
            "ResourceNotFoundException",
            "UnrecognizedClientException",
            "ValidationException",
        )
    },
    "captive portal": (html(200), ""),
    "foreign error": (html(404), ""),
    "JSON that is cut": (response(b"{"), "200"),
    "JSON array": (response(b"[]"), "200"),
    "JSON null": (response(b"null"), "200"),
    "no UTF-8": (response(b'{"Item": {"id": "\xff"}}'), "200"),
    "deep JSON": (response(b"[" * 100_000), "200"),
    "no content": (response({}, 204), "204"),
    "redirect": (response({}, 302, Location="http://elsewhere/"), "302"),
    "error that is no JSON": (response(b"junk", 400), "400"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", ""),
    "no length": (response({}, Content_Length=""), ""),
    "too large": (response(b"x" * 4_194_305), ""),
}


@pytest.mark.parametrize(("answer", "code"), PERMANENT.values(), ids=PERMANENT)
def test_failure_that_a_retry_does_not_help_is_raised_at_once(answer: bytes, code: str) -> None:
    with RawDynamoDB(answer).running() as endpoint:
        with pytest.raises(DynamoDBError) as caught:
            client_of(endpoint).put_item(**PUT)
        assert caught.value.code == code
        assert len(endpoint.requests) == 1


def test_error_names_operation_status_and_request() -> None:
    # AWS explains a wrong signature by the request that it has rebuilt, secrets included.
    explained = "Bad.\n\nThe Canonical String for this request should have been 'POST … token'"
    rejected = RawDynamoDB(error("ValidationException", message=explained))
    with rejected.running() as endpoint, pytest.raises(DynamoDBError) as caught:
        client_of(endpoint).put_item(**PUT)
    assert str(caught.value) == (
        "PutItem: ValidationException (status 400, request AQUESTID): Bad."
    )


def test_response_that_is_late_is_sent_again() -> None:
    with RawDynamoDB(hangs(1)).running() as endpoint:
        started = time.monotonic()
        client = client_of(endpoint, response_timeout_s=0.2)
        assert client.put_item(**PUT) == {}
        assert time.monotonic() - started < 0.9
        assert len(endpoint.requests) == 2


def test_closed_kept_connection_costs_no_delay() -> None:
    with RawDynamoDB(response(), hangs(0)).running() as endpoint:
        sleeps = Sleeps()
        client = client_of(endpoint, sleep=sleeps)
        client.put_item(**PUT)
        assert client.put_item(**PUT) == {}
        assert (len(endpoint.requests), endpoint.connections, sleeps) == (3, 2, [])


def test_delay_follows_the_request_of_the_server() -> None:
    asked = error("ThrottlingException", x_amz_retry_after="1500")
    with RawDynamoDB(asked).running() as endpoint:
        sleeps = Sleeps()
        client_of(endpoint, sleep=sleeps).put_item(**PUT)
    assert len(sleeps) == 1
    assert 1.5 <= sleeps[0] < 6


def test_process_stops_retrying_in_a_long_outage_and_resumes_after_it() -> None:
    with RawDynamoDB(*[BROKEN] * 60).running() as endpoint:
        client = client_of(endpoint)
        requests = []
        for _ in range(25):
            before = len(endpoint.requests)
            with pytest.raises(DynamoDBError):
                client.put_item(**PUT)
            requests.append(len(endpoint.requests) - before)
        assert requests[0] == 3
        assert requests[-1] == 1  # 500 tokens are 35 retries
        endpoint.script.clear()
        for _ in range(14):
            client.put_item(**PUT)
        endpoint.script = [BROKEN]
        assert client.put_item(**PUT) == {}


NOW = 1_790_000_000.0
SKEWED = ("InvalidSignatureException", "RequestTimeTooSkewed", "RequestExpired")


def signed_at(endpoint: RawDynamoDB) -> list[str]:
    return [request.headers["x-amz-date"] for request in endpoint.requests]


def compact(at: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))


@pytest.mark.parametrize("code", SKEWED)
@pytest.mark.parametrize("ahead_s", [-86_400, -600, 600, 86_400])
def test_clock_that_differs_is_corrected(code: str, ahead_s: int) -> None:
    rejected = error(code, 403, Date=formatdate(NOW + ahead_s, usegmt=True))
    with RawDynamoDB(rejected).running() as endpoint:
        sleeps = Sleeps()
        client = client_of(endpoint, clock=lambda: NOW, sleep=sleeps)
        assert client.put_item(**PUT) == {}
        client.put_item(**PUT)
        assert signed_at(endpoint) == [compact(NOW), *[compact(NOW + ahead_s)] * 2]
        assert sleeps == []


DATES = [
    formatdate(NOW + 100, usegmt=True),
    "yesterday",
    "",
    "Mon, 32 Jan 2026 00:00:00 GMT",
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
]


@pytest.mark.parametrize("date", DATES)
def test_wrong_signature_of_a_right_time_is_an_error(date: str) -> None:
    with RawDynamoDB(error("InvalidSignatureException", Date=date)).running() as endpoint:
        with pytest.raises(DynamoDBError) as caught:
            client_of(endpoint, clock=lambda: NOW).put_item(**PUT)
        assert caught.value.code == "InvalidSignatureException"
        assert len(endpoint.requests) == 1


def test_signature_that_is_wrong_at_any_time_is_an_error() -> None:
    rejected = error("InvalidSignatureException", Date=formatdate(NOW + 3_600, usegmt=True))
    with RawDynamoDB(*[rejected] * 3).running() as endpoint:
        with pytest.raises(DynamoDBError):
            client_of(endpoint, clock=lambda: NOW).put_item(**PUT)
        assert len(endpoint.requests) == 2


def test_put_whose_response_is_lost_counts_as_created() -> None:
    """The retry fails its condition, because the first attempt has stored the record."""
    stored: list[Any] = []

    def store(peer: Any) -> bool:
        stored.append(endpoint.requests[-1].fields["Item"])
        return resets(peer)

    def reject(peer: Any) -> bool:
        kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"
        peer.sendall(response({"__type": kind, "Item": stored[0]}, 400))
        return True

    with RawDynamoDB(store, reject, reject).running() as endpoint:
        punch = {"employeeId": 1, "employerId": 2, "includedAt": "2026-11-22T08:00:00-03:00"}
        record = parse(punch, datetime(2026, 11, 22, 12, tzinfo=UTC), 60)
        buffer = Buffer(client_of(endpoint), "t")
        assert buffer.put(record) == (record, True)
        later = replace(record, created_at=datetime(2026, 11, 22, 13, tzinfo=UTC))
        assert buffer.put(later) == (record, False)


@pytest.mark.parametrize(
    "item", [{"Item": 5}, {"Item": {"record": 5}}, {"Item": {"record": {"S": 5}}}], ids=str
)
def test_item_of_another_shape_is_unavailable(item: dict[str, Any]) -> None:
    with RawDynamoDB(response(item)).running() as endpoint, pytest.raises(UnavailableError):
        Buffer(client_of(endpoint), "t").get("x")
