"""The senders' HTTP client: kept connections, and servers that break off or hang."""

import asyncio
import json
from contextlib import suppress

import pytest

from local.burst.http_client import NO_RESPONSE, HttpClient
from tests.support.raw_dynamodb import RawDynamoDB, Respond, hangs, resets, response, sends
from tests.support.waiting import wait_until

ANSWER = {"id": "x" * 100_000}


def client(server: RawDynamoDB, timeout_s: float = 10.0) -> HttpClient:
    return HttpClient(f"{server.url}/path", {"Authorization": "Bearer t"}, timeout_s=timeout_s)


def test_calls_share_a_connection() -> None:
    async def call() -> list[tuple[int, bytes]]:
        with client(server) as http:
            return [await http.post(b"{}"), await http.post(b"[1]")]

    with RawDynamoDB(response(ANSWER, 201), response(status=500)).running() as server:
        (status, body), (second, _) = asyncio.run(call())

    assert (status, json.loads(body), second) == (201, ANSWER, 500)
    assert server.connections == 1
    assert [each.body for each in server.requests] == [b"{}", b"[1]"]
    assert server.requests[0].line == "POST /path HTTP/1.1"
    assert server.requests[0].headers["authorization"] == "Bearer t"


@pytest.mark.parametrize("first", [response(connection="close"), response(Connection="Close")])
def test_connection_that_the_server_will_close_is_not_used_again(first: bytes) -> None:
    async def call() -> int:
        with client(server) as http:
            await http.post(b"{}")
            return (await http.post(b"{}"))[0]

    with RawDynamoDB(first).running() as server:
        assert asyncio.run(call()) == 200

    assert server.connections == 2


def test_kept_connection_that_the_server_has_closed_is_replaced() -> None:
    async def call() -> int:
        with client(server) as http:
            await http.post(b"{}")
            server.close_connections()
            await asyncio.sleep(0.05)
            return (await http.post(b"{}"))[0]

    with RawDynamoDB().running() as server:
        assert asyncio.run(call()) == 200

    assert server.connections == 2


@pytest.mark.parametrize(
    "respond",
    [
        resets,
        hangs(0),
        sends(b"garbage\r\n\r\n"),
        sends(response(Content_Length="")),
        sends(response(ANSWER)[:-1], keep=False),
        sends(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
    ],
    ids=["reset", "closed", "garbage", "no length", "incomplete", "long head"],
)
def test_call_without_complete_response_fails_and_the_next_succeeds(respond: Respond) -> None:
    async def call() -> int:
        with client(server) as http:
            with pytest.raises(NO_RESPONSE):
                await http.post(b"{}")
            return (await http.post(b"{}"))[0]

    with RawDynamoDB(respond).running() as server:
        assert asyncio.run(call()) == 200
        wait_until(lambda: server.connections == 2)


def test_call_that_hangs_fails_after_the_timeout_and_the_next_has_a_new_connection() -> None:
    async def call() -> None:
        with client(server, timeout_s=0.5) as http:
            with pytest.raises(NO_RESPONSE):
                await http.post(b"{}")
            with suppress(*NO_RESPONSE):  # half a second may be too short on a busy machine
                await http.post(b"{}")

    with RawDynamoDB(hangs(0.8)).running() as server:
        asyncio.run(call())
        wait_until(lambda: server.connections == 2)


def test_refused_connection_is_no_response() -> None:
    with RawDynamoDB().running() as server:
        pass

    with pytest.raises(NO_RESPONSE):
        asyncio.run(client(server).post(b"{}"))
